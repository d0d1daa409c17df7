"""How good a model is on annotated sentences, with intervals, beside simple baselines or another model.

The parts are measured in modules of their own (`metrics`, `grouping`, `reliability`, `abstention`,
`span_metrics`); here they are put together from one reading of the sentences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stancewire.abstention import Coverage, measure_abstention
from stancewire.baselines import SystemOutput, fingerprint, predict_none
from stancewire.errors import StancewireError
from stancewire.grouping import GroupingMetrics, find_groupings, measure_groups
from stancewire.judgements import Judgements
from stancewire.manifest import Manifest
from stancewire.metrics import (
    RESAMPLES,
    Differences,
    Figure,
    LabelMetrics,
    Metrics,
    decide,
    f1_differences,
    is_better,
    macro_f1_difference,
    measure,
)
from stancewire.reliability import Reliability, measure_reliability
from stancewire.segmentation import unwrap
from stancewire.span_metrics import SpanEvaluation, SpanMetrics, measure_spans

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedSentence
    from stancewire.classifier import Prediction, Stance

# Sentences between two reports of progress.
_SLICE = 256


class Classifier(Protocol):
    """What is evaluated: a StanceClassifier, or anything with its labels, thresholds and probabilities.

    One that has `predict` too is asked by it, and what it says of sources and targets is measured.
    """

    @property
    def manifest(self) -> Manifest:
        """The manifest of the model folder."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest."""

    def probabilities(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Compute the probabilities `[sentences, labels]`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A baseline on the same sentences: its figures, and the model's macro-F1 less its own, paired."""

    name: str
    metrics: Metrics
    difference: Figure

    @property
    def model_is_better(self) -> bool:
        """Whether the interval of the difference lies above 0."""
        return is_better(self.difference)


@dataclass(frozen=True, slots=True)
class Rival:
    """Another model on the same sentences: its figures, and the model's F1 less its own, paired."""

    model: str
    digest: str
    metrics: Metrics
    differences: Differences

    @property
    def model_is_better(self) -> bool:
        """Whether the interval of the difference in macro-F1 lies above 0."""
        return is_better(self.differences.macro_f1)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model measured on annotated sentences.

    `fingerprint` is the SHA-256 of the sentences' texts and labels; `clusters` how many independent samples
    the bootstrap draws from: documents, and the sentences that belong to none. `spans` is None where the
    sentences or the model name no parties, `against` where no other model was given.
    """

    digest: str
    fingerprint: str
    clusters: int
    resamples: int
    seed: int
    judgements: Judgements
    metrics: Metrics
    comparisons: tuple[Comparison, ...]
    groups: tuple[GroupingMetrics, ...]
    reliability: tuple[Reliability, ...]
    abstention: tuple[Coverage, ...]
    spans: SpanEvaluation | None
    against: Rival | None

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.judgements.model

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The probability from which each label is said to hold."""
        return self.judgements.thresholds

    def to_dict(self) -> dict[str, Any]:
        """Make a document that JSON can hold: figures with their intervals, null where one is not defined."""
        from stancewire import __version__

        document = {
            "stancewire": __version__,
            "model": self.model,
            "digest": self.digest,
            "data": {
                "sha256": self.fingerprint,
                "sentences": self.metrics.sentences,
                "clusters": self.clusters,
            },
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "interval": 0.95},
            "thresholds": dict(zip(self.judgements.labels, self.thresholds, strict=True)),
            **_metrics_dict(self.metrics),
            "baselines": {
                comparison.name: {
                    **_metrics_dict(comparison.metrics),
                    "macro_f1_difference": asdict(comparison.difference),
                    "model_is_better": comparison.model_is_better,
                }
                for comparison in self.comparisons
            },
            "against": None if self.against is None else _rival_dict(self.against),
            "groups": {
                grouping.name: {
                    group.name: {
                        "sentences": group.metrics.sentences,
                        "clusters": group.clusters,
                        **_metrics_dict(group.metrics, ("precision", "recall", "f1")),
                    }
                    for group in grouping.groups
                }
                for grouping in self.groups
            },
            "reliability": {
                row.label: {**_without(asdict(row), "label"), "is_reliable": row.is_reliable}
                for row in self.reliability
            },
            "abstention": [asdict(row) for row in self.abstention],
            "spans": None if self.spans is None else _spans_dict(self.spans),
        }
        nulled: dict[str, Any] = _null_for_nan(document)
        return nulled


def evaluate(
    classifier: Classifier,
    sentences: Sequence[AnnotatedSentence],
    baselines: Sequence[SystemOutput] = (),
    *,
    against: Classifier | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    on_progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Measure a model on annotated sentences, and compare it with what baselines said of the same sentences.

    The baseline that never predicts anything is always among them; `against` is another model to compare
    with. `on_progress` is told how many sentences a model just read. Raises StancewireError if there are no
    sentences, if they hold labels that a model does not know, or if `against` lacks labels of the model.
    """
    if against is not None:
        _refuse_other_labels(classifier.manifest.labels, against.manifest)
    judgements = judge(classifier, sentences, on_progress)
    clusters = judgements.clusters
    targets = judgements.targets
    outputs = [predict_none(*targets.shape), *(output for output in baselines if output.name != "none")]

    def figures_of(output: SystemOutput) -> Metrics:
        said = (output.decisions, output.probabilities)
        return measure(judgements.labels, targets, *said, clusters=clusters, resamples=resamples, seed=seed)

    def lead_over(output: SystemOutput) -> Figure:
        both = (judgements.decisions, output.decisions)
        return macro_f1_difference(targets, *both, clusters=clusters, resamples=resamples, seed=seed)

    def rival_of(other: Classifier) -> Rival:
        said = _in_order_of(judgements.labels, judge(other, sentences, on_progress))
        both = (judgements.decisions, said.decisions)
        differences = f1_differences(targets, *both, clusters=clusters, resamples=resamples, seed=seed)
        return Rival(other.manifest.name, other.digest, figures_of(said), differences)

    return Evaluation(
        digest=classifier.digest,
        fingerprint=fingerprint(sentences),
        clusters=len(set(clusters)),
        resamples=resamples,
        seed=seed,
        judgements=judgements,
        metrics=figures_of(SystemOutput(judgements.model, judgements.decisions, judgements.probabilities)),
        comparisons=tuple(
            Comparison(output.name, figures_of(output), lead_over(output)) for output in outputs
        ),
        groups=tuple(
            measure_groups(judgements, grouping, resamples=resamples, seed=seed)
            for grouping in find_groupings(sentences)
        ),
        reliability=tuple(
            measure_reliability(label, *columns)
            for label, *columns in zip(judgements.labels, judgements.probabilities.T, targets.T, strict=True)
        ),
        abstention=measure_abstention(judgements, resamples=resamples, seed=seed),
        spans=measure_spans(judgements, resamples=resamples, seed=seed),
        against=None if against is None else rival_of(against),
    )


def judge(
    classifier: Classifier,
    sentences: Sequence[AnnotatedSentence],
    on_progress: Callable[[int], object] | None = None,
) -> Judgements:
    """Let a model read annotated sentences, and put what it says beside what they hold.

    Raises StancewireError if there are no sentences, or if they hold labels that the model does not know.
    """
    labels, thresholds = classifier.manifest.labels, classifier.manifest.thresholds
    targets = target_matrix(sentences, labels)
    probabilities, stances = _read(classifier, sentences, on_progress)
    if stances is None:
        decisions = decide(probabilities, thresholds)
    else:
        decisions = np.array([[label in held for label in labels] for held in stances], dtype=np.bool_)
    return Judgements(
        model=classifier.manifest.name,
        labels=labels,
        thresholds=thresholds,
        sentences=tuple(sentences),
        clusters=tuple(document_clusters(sentences)),
        targets=targets,
        probabilities=probabilities,
        decisions=decisions,
        stances=stances,
    )


def target_matrix(sentences: Sequence[AnnotatedSentence], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Make the targets `[sentences, labels]`: which labels each sentence holds.

    Raises StancewireError if there are no sentences, or if they hold labels other than `labels`.
    """
    if not sentences:
        raise StancewireError("there are no annotated sentences to evaluate on: the data has no line")
    unknown = sorted(frozenset().union(*(sentence.labels for sentence in sentences)) - frozenset(labels))
    if unknown:
        first = next(sentence for sentence in sentences if unknown[0] in sentence.labels)
        raise StancewireError(
            f"{first.file}, line {first.line}: the data has labels that the model does not know "
            f"({', '.join(unknown)}); it knows {', '.join(labels)}: evaluate a model that was trained on them"
        )
    return np.array([[label in row.labels for label in labels] for row in sentences], dtype=np.bool_)


def document_clusters(sentences: Sequence[AnnotatedSentence]) -> list[Hashable]:
    """Name the bootstrap cluster of each sentence: its document, or itself where it belongs to none."""
    return [index if sentence.doc is None else sentence.doc for index, sentence in enumerate(sentences)]


def _read(
    classifier: Classifier,
    sentences: Sequence[AnnotatedSentence],
    on_progress: Callable[[int], object] | None,
) -> tuple[NDArray[np.float32], tuple[Mapping[str, Stance], ...] | None]:
    predict: Callable[[Sequence[str]], list[Prediction]] | None = getattr(classifier, "predict", None)
    blocks: list[NDArray[np.float32]] = []
    stances: list[Mapping[str, Stance]] = []
    for start in range(0, len(sentences), _SLICE):
        texts = [sentence.text for sentence in sentences[start : start + _SLICE]]
        if predict is None:
            blocks.append(classifier.probabilities([unwrap(text) for text in texts]))
        else:
            predictions = predict(texts)
            rows = [
                [said.probabilities[label] for label in classifier.manifest.labels] for said in predictions
            ]
            blocks.append(np.array(rows, np.float32))
            stances += [{stance.label: stance for stance in said.stances} for said in predictions]
        if on_progress is not None:
            on_progress(len(texts))
    return np.concatenate(blocks), None if predict is None else tuple(stances)


def _refuse_other_labels(labels: Sequence[str], other: Manifest) -> None:
    missing = [label for label in labels if label not in other.labels]
    if missing:
        raise StancewireError(
            f"{other.name} does not know {', '.join(missing)}, only {', '.join(other.labels)}: "
            "compare models of the same labels"
        )


def _in_order_of(labels: Sequence[str], said: Judgements) -> SystemOutput:
    columns = [said.labels.index(label) for label in labels]
    return SystemOutput(said.model, said.decisions[:, columns], said.probabilities[:, columns])


_LABEL_FIGURES = ("precision", "recall", "f1", "average_precision", "brier", "brier_skill")


def _metrics_dict(metrics: Metrics, names: Sequence[str] = _LABEL_FIGURES) -> dict[str, Any]:
    return {
        "macro_f1": asdict(metrics.macro_f1),
        "micro_f1": asdict(metrics.micro_f1),
        "exact_match": asdict(metrics.exact_match),
        "labels": {figures.label: _label_dict(figures, names) for figures in metrics.labels},
    }


def _label_dict(figures: LabelMetrics, names: Sequence[str]) -> dict[str, Any]:
    return {"support": figures.support, **{name: asdict(getattr(figures, name)) for name in names}}


def _rival_dict(rival: Rival) -> dict[str, Any]:
    differences = zip(rival.metrics.labels, rival.differences.f1, strict=True)
    return {
        "model": rival.model,
        "digest": rival.digest,
        **_metrics_dict(rival.metrics),
        "macro_f1_difference": asdict(rival.differences.macro_f1),
        "f1_differences": {figures.label: asdict(difference) for figures, difference in differences},
        "model_is_better": rival.model_is_better,
    }


def _spans_dict(spans: SpanEvaluation) -> dict[str, Any]:
    return {
        **_system_spans_dict(spans.model),
        "unplaced": spans.unplaced,
        "baseline": _system_spans_dict(spans.baseline),
        "labels": {label: _system_spans_dict(figures) for label, figures in spans.labels},
    }


def _system_spans_dict(figures: SpanMetrics) -> dict[str, Any]:
    values = asdict(figures)
    return {**_without(values, "source_kind"), "source_kind_accuracy": values["source_kind"]}


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_for_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value

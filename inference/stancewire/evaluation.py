"""How good a model is on annotated sentences, with intervals, beside simple baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from stancewire.baselines import SystemOutput, fingerprint, predict_none
from stancewire.errors import StancewireError
from stancewire.manifest import Manifest
from stancewire.metrics import (
    RESAMPLES,
    Figure,
    LabelMetrics,
    Metrics,
    decide,
    is_better,
    macro_f1_difference,
    measure,
)
from stancewire.segmentation import unwrap

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedSentence

# Sentences between two reports of progress.
_SLICE = 256


class Classifier(Protocol):
    """What is evaluated: a StanceClassifier, or anything with its labels, thresholds and probabilities."""

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
class Evaluation:
    """A model measured on annotated sentences.

    `fingerprint` is the SHA-256 of the sentences' texts and labels; `clusters` how many independent samples
    the bootstrap draws from: documents, and the sentences that belong to none.
    """

    model: str
    digest: str
    thresholds: tuple[float, ...]
    fingerprint: str
    clusters: int
    resamples: int
    seed: int
    metrics: Metrics
    comparisons: tuple[Comparison, ...]

    def to_dict(self) -> dict[str, Any]:
        """Make a document that JSON can hold: figures with their intervals, null where one is not defined."""
        from stancewire import __version__

        return {
            "stancewire": __version__,
            "model": self.model,
            "digest": self.digest,
            "data": {
                "sha256": self.fingerprint,
                "sentences": self.metrics.sentences,
                "clusters": self.clusters,
            },
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "interval": 0.95},
            "thresholds": dict(zip(_labels(self.metrics), self.thresholds, strict=True)),
            **_metrics_dict(self.metrics),
            "baselines": {
                comparison.name: {
                    **_metrics_dict(comparison.metrics),
                    "macro_f1_difference": _figure_dict(comparison.difference),
                    "model_is_better": comparison.model_is_better,
                }
                for comparison in self.comparisons
            },
        }


def evaluate(
    classifier: Classifier,
    sentences: Sequence[AnnotatedSentence],
    baselines: Sequence[SystemOutput] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    on_progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Measure a model on annotated sentences, and compare it with what baselines said of the same sentences.

    The baseline that never predicts anything is always among them. `on_progress` is told how many sentences
    were just read. Raises StancewireError if there are no sentences, or if they hold labels that the model
    does not know.
    """
    labels = classifier.manifest.labels
    targets = target_matrix(sentences, labels)
    clusters = document_clusters(sentences)
    probabilities = _read_probabilities(classifier, sentences, on_progress)
    decisions = decide(probabilities, classifier.manifest.thresholds)
    outputs = [predict_none(*targets.shape), *(output for output in baselines if output.name != "none")]

    def figures_of(output: SystemOutput) -> Metrics:
        said = (output.decisions, output.probabilities)
        return measure(labels, targets, *said, clusters=clusters, resamples=resamples, seed=seed)

    def lead_over(output: SystemOutput) -> Figure:
        both = (decisions, output.decisions)
        return macro_f1_difference(targets, *both, clusters=clusters, resamples=resamples, seed=seed)

    return Evaluation(
        model=classifier.manifest.name,
        digest=classifier.digest,
        thresholds=classifier.manifest.thresholds,
        fingerprint=fingerprint(sentences),
        clusters=len(set(clusters)),
        resamples=resamples,
        seed=seed,
        metrics=figures_of(SystemOutput(classifier.manifest.name, decisions, probabilities)),
        comparisons=tuple(
            Comparison(output.name, figures_of(output), lead_over(output)) for output in outputs
        ),
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


def evaluation_table(evaluation: Evaluation) -> Group:
    """Lay an evaluation out for a terminal: the labels' figures, then the model beside the baselines."""
    return Group(_label_table(evaluation), _system_table(evaluation), *map(Text, _notes(evaluation)))


def _label_table(evaluation: Evaluation) -> Table:
    title = f"{evaluation.model} on {evaluation.metrics.sentences:,} sentences"
    headings = ("", "sentences", "precision", "recall", "F1", "average\nprecision", "Brier\nskill")
    table = _empty_table(title, headings)
    for row in evaluation.metrics.labels:
        figures = (row.precision, row.recall, row.f1, row.average_precision, row.brier_skill)
        table.add_row(Text(row.label), f"{row.support:,}", *map(_cell, figures))
    return table


def _system_table(evaluation: Evaluation) -> Table:
    compared = evaluation.comparisons
    systems = (evaluation.metrics, *(comparison.metrics for comparison in compared))
    headings = ("", evaluation.model, *(comparison.name for comparison in compared))
    table = _empty_table("beside the baselines", headings)
    table.add_row("macro-F1", *(_cell(system.macro_f1) for system in systems))
    table.add_row("micro-F1", *(_cell(system.micro_f1) for system in systems))
    table.add_row("exact match", *(_cell(system.exact_match) for system in systems))
    for column, label in enumerate(_labels(evaluation.metrics)):
        table.add_row(Text(f"F1 {label}"), *(_cell(system.labels[column].f1) for system in systems))
    table.add_section()
    leads = (_cell(comparison.difference, signed=True) for comparison in compared)
    table.add_row("lead in\nmacro-F1", "", *leads)
    table.add_row("the model is", "", *(_verdict(comparison.difference) for comparison in compared))
    return table


def _empty_table(title: str, headings: Sequence[str]) -> Table:
    # Text, not str: a label or a name with square brackets is no markup.
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(Text(heading), justify="right" if heading else "left")
    return table


def _notes(evaluation: Evaluation) -> list[str]:
    together = evaluation.clusters < evaluation.metrics.sentences
    drawn = ", the sentences of a document together" if together else ""
    notes = [
        f"Below each figure: its 95% bootstrap interval ({evaluation.resamples:,} resamples of "
        f"{evaluation.clusters:,}{drawn}). Better: the paired interval of the lead excludes 0."
    ]
    if len(evaluation.comparisons) == 1:
        notes.append(
            "No other baseline's figures are stored for these sentences: "
            "--baselines measures them (extra train)."
        )
    return notes


def _read_probabilities(
    classifier: Classifier,
    sentences: Sequence[AnnotatedSentence],
    on_progress: Callable[[int], object] | None,
) -> NDArray[np.float32]:
    blocks = []
    for start in range(0, len(sentences), _SLICE):
        texts = [unwrap(sentence.text) for sentence in sentences[start : start + _SLICE]]
        blocks.append(classifier.probabilities(texts))
        if on_progress is not None:
            on_progress(len(texts))
    return np.concatenate(blocks)


def _labels(metrics: Metrics) -> list[str]:
    return [figures.label for figures in metrics.labels]


def _metrics_dict(metrics: Metrics) -> dict[str, Any]:
    return {
        "macro_f1": _figure_dict(metrics.macro_f1),
        "micro_f1": _figure_dict(metrics.micro_f1),
        "exact_match": _figure_dict(metrics.exact_match),
        "labels": {figures.label: _label_dict(figures) for figures in metrics.labels},
    }


def _label_dict(figures: LabelMetrics) -> dict[str, Any]:
    names = ("precision", "recall", "f1", "average_precision", "brier", "brier_skill")
    return {"support": figures.support, **{name: _figure_dict(getattr(figures, name)) for name in names}}


def _figure_dict(figure: Figure) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in asdict(figure).items()}


def _cell(figure: Figure, signed: bool = False) -> Text:
    if math.isnan(figure.value):
        return Text("-")
    sign = "+" if signed else ""
    cell = Text(f"{figure.value:{sign}.3f}")
    if not math.isnan(figure.low):
        # Without the 0 before the point, so that five columns and a name fit into 80 characters.
        bounds = (f"{bound:{sign}.2f}".replace("0.", ".", 1) for bound in (figure.low, figure.high))
        cell.append("\n" + " ".join(bounds), style="dim")
    return cell


def _verdict(difference: Figure) -> str:
    if is_better(difference):
        return "better"
    return "worse" if difference.high < 0 else "not told apart"

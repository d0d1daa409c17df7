"""The classifier: a model folder and text in, stances out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.manifest import Manifest, read_manifest, resolve_folder, shipped_digest
from stancewire.operating_point import prior_shifts, with_thresholds
from stancewire.runtime import OnnxRuntime, SentenceReading
from stancewire.segmentation import Sentence, split_sentences, unwrap, unwrapped_offsets
from stancewire.spans import SourceKind, Span

if TYPE_CHECKING:
    from stancewire.embedding import Embedder
    from stancewire.explanation import Explanation
    from stancewire.provenance import Provenance
    from stancewire.scoring import Progress, ScoringResult


@dataclass(frozen=True, slots=True)
class Stance:
    """A stance that holds: its label, its calibrated probability, 0 to 1, and who performs it towards whom.

    `source_kind` is `span` where words of the sentence name the source, which are then `source`; `author`
    where the writer performs the act; `none` where nobody is named. `target` is None where nobody is named.
    All are `none` and None with a model that knows no spans.
    """

    label: str
    probability: float
    source_kind: SourceKind = "none"
    source: Span | None = None
    target: Span | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one sentence.

    `probabilities` has every label, in the model's order; `stances` those at or above their thresholds, the
    likeliest first. No stance is the usual case in news. `risk` is the probability that this set of stances
    is wrong, by the model's own probabilities, labels taken for independent; `uncertain` marks what the model
    should not be trusted on, a risk above the one that the classifier was told to abstain at.
    """

    text: str
    probabilities: Mapping[str, float]
    stances: tuple[Stance, ...]
    risk: float
    uncertain: bool


@dataclass(frozen=True, slots=True)
class ScoredSentence(Prediction):
    """A sentence of an article: `text == article[start:end]`, offsets 0-based in characters.

    The spans of its stances have their offsets in the article too.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ScoredArticle:
    """The sentences of an article in order, each with its stances."""

    sentences: tuple[ScoredSentence, ...]
    labels: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many sentences hold each stance, every label named."""
        held = [stance.label for sentence in self.sentences for stance in sentence.stances]
        return {label: held.count(label) for label in self.labels}

    @property
    def strongest(self) -> dict[str, ScoredSentence]:
        """The likeliest sentence of each stance that holds anywhere in the article."""
        held = {stance.label for sentence in self.sentences for stance in sentence.stances}
        return {
            label: max(self.sentences, key=lambda sentence: sentence.probabilities[label])
            for label in self.labels
            if label in held
        }

    @property
    def summary(self) -> str:
        """The article in one line: its number of sentences, and the count of each stance."""
        counts = ", ".join(f"{label} {count}" for label, count in self.counts.items())
        return f"{len(self.sentences)} sentences: {counts}"


class StanceClassifier:
    """Reads stances with the model of one folder; make one with `StanceClassifier.load`.

    Safe to call from several threads. Probabilities are bit-identical whatever the batch, the order of
    sentences or the number of threads.
    """

    def __init__(
        self,
        manifest: Manifest,
        digest: str,
        runtime: OnnxRuntime,
        *,
        prior: Mapping[str, float] | None = None,
        abstain: float | None = None,
    ) -> None:
        self.manifest = manifest
        self.digest = digest
        self.prior = dict(prior or {})
        self.abstain = abstain
        self._runtime = runtime
        self._embedder: Embedder | None = None

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        sha256: str | None = None,
        threads: int | None = None,
        precision: float | None = None,
        recall: float | None = None,
        prior: Mapping[str, float] | None = None,
        abstain: float | None = None,
    ) -> StanceClassifier:
        """Load a model: a folder, the name of one that comes with stancewire, or None for the default.

        `sha256` is the digest that the folder's `stance.json` must have, as `stancewire info` shows it; that
        of a shipped model is known. `threads` is how many sentences are under way at once, by default one a
        processor. `precision` or `recall` chooses the thresholds that had it on the sentences that the model
        was calibrated on, instead of those of the best F1; `prior` moves the probabilities to the shares of
        sentences that hold a label in one's own articles; `abstain` is the risk above which a sentence is
        called uncertain. Raises StancewireError for a folder that is missing, damaged, of a newer format or
        with another digest, for a graph or tokenizer that does more than stancewire runs, and for what it
        cannot be asked for.
        """
        folder = resolve_folder(model)
        manifest, digest = read_manifest(folder, shipped_digest(folder) if sha256 is None else sha256)
        manifest = with_thresholds(manifest, precision=precision, recall=recall)
        shifts = prior_shifts(manifest, prior or {})
        if prior and (precision is not None or recall is not None):
            raise StancewireError(
                "a prior cannot be combined with a precision or recall: those were measured otherwise"
            )
        if abstain is not None and not 0 <= abstain <= 1:
            raise StancewireError(f"abstain should be a risk between 0 and 1, not {abstain}")
        runtime = OnnxRuntime(folder, manifest, threads, shifts)
        return cls(manifest, digest, runtime, prior=prior, abstain=abstain)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of `probabilities`."""
        return self.manifest.labels

    @property
    def folder(self) -> Path:
        """The model folder."""
        return self._runtime.folder

    @property
    def thresholds(self) -> dict[str, float]:
        """The probability from which each stance is said to hold."""
        return dict(zip(self.manifest.labels, self.manifest.thresholds, strict=True))

    def probabilities(
        self, sentences: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32]:
        """Compute the calibrated probabilities of sentences: float32 `[sentences, labels]`.

        `on_progress` is told how many sentences were just read.
        """
        return self._runtime.probabilities(sentences, on_progress)

    @overload
    def predict(self, sentences: str) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, sentences: Iterable[str]) -> list[Prediction]: ...
    def predict(self, sentences: str | Iterable[str]) -> Prediction | list[Prediction]:
        """Read one sentence, or any number: a Prediction for a string, a list in order for anything else.

        A text of several sentences is taken as one; `score_article` cuts it first.
        """
        if isinstance(sentences, str):
            return self.predict([sentences])[0]
        texts = list(sentences)
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise StancewireError(f"sentence {position} is of type {type(text).__name__}, not a string")
        readings = self._runtime.read([unwrap(text) for text in texts])
        return [
            Prediction(text, *self._judge(reading, text))
            for text, reading in zip(texts, readings, strict=True)
        ]

    def score_article(self, text: str) -> ScoredArticle:
        """Cut an article into sentences and read each one."""
        return ScoredArticle(tuple(self.score_sentences(split_sentences(text))), self.labels)

    def score_sentences(self, sentences: Sequence[Sentence]) -> list[ScoredSentence]:
        """Read sentences that are already cut, of one article or of many, in order."""
        readings = self._runtime.read([unwrap(sentence.text) for sentence in sentences])
        return [
            ScoredSentence(
                sentence.text,
                *self._judge(reading, sentence.text, sentence.start),
                sentence.start,
                sentence.end,
            )
            for sentence, reading in zip(sentences, readings, strict=True)
        ]

    def score_folder(
        self,
        folder: str | Path | Sequence[str | Path],
        out: str | Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        any_language: bool = False,
        max_document: float = 20,
        spreadsheet: bool = False,
        text_column: str = "text",
        id_column: str | None = None,
        date_column: str | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> ScoringResult:
        """Score the articles of a folder, subfolders included, or of files, as `stancewire score` does.

        `out` is a `.jsonl`, `.csv` or `.parquet` file; a name without a suffix, as `scores/`, becomes a
        folder of Parquet files. `max_document` is in megabytes. `on_progress` is told how far the run is, a
        `stancewire.scoring.Progress` every second or so. docs/output.md describes what is read and written.
        Raises StancewireError if the folder is missing, or if the output exists and neither `resume` nor
        `overwrite` is set.
        """
        from stancewire.outputs import parse_out
        from stancewire.rows import RowOptions
        from stancewire.scoring import score_paths

        paths = [folder] if isinstance(folder, str | Path) else folder
        return score_paths(
            self,
            [Path(path) for path in paths],
            parse_out(out),
            resume=resume,
            overwrite=overwrite,
            any_language=any_language,
            rows=RowOptions(text_column, id_column, date_column, round(max_document * 1e6)),
            spreadsheet=spreadsheet,
            on_progress=on_progress,
        )

    def embed(
        self, sentences: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32]:
        """Compute the vectors of sentences that the model's last layer reads: float32 `[sentences, width]`.

        Each has the length 1. `on_progress` is told how many sentences were just read.
        """
        from stancewire.embedding import Embedder

        if self._embedder is None:
            self._embedder = Embedder(self._runtime, self.manifest)
        return self._embedder.embed([unwrap(sentence) for sentence in sentences], on_progress)

    def explain(self, sentence: str, *, neighbours: int = 5, index: str | Path | None = None) -> Explanation:
        """Say which words of a sentence carry each label, and which annotated sentences are nearest to it.

        `neighbours` come from `index`, a file that `stancewire index` wrote, else from the model folder's
        own; there are none where neither is there. `stancewire.explanation.Explainer` is quicker for many
        sentences. Raises StancewireError for an index that cannot be read, or is of another model.
        """
        from stancewire.explanation import Explainer

        return Explainer(self, None if index is None else Path(index)).explain(sentence, neighbours)

    def _judge(
        self, reading: SentenceReading, text: str, start: int = 0
    ) -> tuple[dict[str, float], tuple[Stance, ...], float, bool]:
        row = reading.probabilities.tolist()
        held = [
            self._stance(position, probability, reading, text, start)
            for position, (probability, threshold) in enumerate(
                zip(row, self.manifest.thresholds, strict=True)
            )
            if probability >= threshold
        ]
        probabilities = dict(zip(self.labels, row, strict=True))
        labels = {stance.label for stance in held}
        risk = 1 - math.prod(
            value if label in labels else 1 - value for label, value in probabilities.items()
        )
        uncertain = self.abstain is not None and risk > self.abstain
        return probabilities, tuple(sorted(held, key=lambda stance: -stance.probability)), risk, uncertain

    def _stance(
        self, position: int, probability: float, reading: SentenceReading, text: str, start: int
    ) -> Stance:
        label, parties = self.labels[position], reading.parties.get(position)
        if parties is None:
            return Stance(label, probability)

        def place(span: Span | None) -> Span | None:
            if span is None:
                return None
            offsets = unwrapped_offsets(text)
            first, last = offsets[span.start], offsets[span.end - 1] + 1
            return Span(text[first:last], start + first, start + last, span.probability)

        return Stance(label, probability, parties.source_kind, place(parties.source), place(parties.target))


def load_maker(provenance: Provenance, model: str | Path | None = None) -> StanceClassifier:
    """Load the model that made an output, with the prior and the thresholds that the output was made with.

    Raises StancewireError if `model` is another one, or cannot be loaded.
    """
    classifier = StanceClassifier.load(model, prior=provenance.settings.get("prior"))
    if classifier.digest != provenance.digest:
        raise StancewireError(
            f"the scores were made by the model {provenance.model} {provenance.digest[:12]}…, and "
            f"{classifier.manifest.name} {classifier.digest[:12]}… is another: "
            "name the folder of the first with --model"
        )
    thresholds = tuple(provenance.thresholds[label] for label in classifier.labels)
    classifier.manifest = replace(classifier.manifest, thresholds=thresholds)
    return classifier

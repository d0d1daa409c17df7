"""The classifier: a model folder and text in, stances out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.manifest import Manifest, read_manifest, resolve_folder
from stancewire.runtime import OnnxRuntime
from stancewire.segmentation import Sentence, split_sentences, unwrap

if TYPE_CHECKING:
    from stancewire.scoring import ScoringResult


@dataclass(frozen=True, slots=True)
class Stance:
    """A stance that holds: its label and its calibrated probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one sentence.

    `probabilities` has every label, in the model's order; `stances` those at or above their thresholds, the
    likeliest first. No stance is the usual case in news.
    """

    text: str
    probabilities: Mapping[str, float]
    stances: tuple[Stance, ...]


@dataclass(frozen=True, slots=True)
class ScoredSentence(Prediction):
    """A sentence of an article: `text == article[start:end]`, offsets 0-based in characters."""

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

    def __init__(self, manifest: Manifest, digest: str, runtime: OnnxRuntime) -> None:
        self.manifest = manifest
        self.digest = digest
        self._runtime = runtime

    @classmethod
    def load(cls, model: str | Path | None = None, *, threads: int | None = None) -> StanceClassifier:
        """Load a model: a folder, the name of one that comes with stancewire, or None for the default.

        `threads` is how many sentences are under way at once, by default one a processor. Raises
        StancewireError for a folder that is missing, damaged or of a newer format.
        """
        folder = resolve_folder(model)
        manifest, digest = read_manifest(folder)
        return cls(manifest, digest, OnnxRuntime(folder, manifest, threads))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of `probabilities`."""
        return self.manifest.labels

    @property
    def thresholds(self) -> dict[str, float]:
        """The probability from which each stance is said to hold."""
        return dict(zip(self.manifest.labels, self.manifest.thresholds, strict=True))

    def probabilities(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Compute the calibrated probabilities of sentences: float32 `[sentences, labels]`."""
        return self._runtime.probabilities(sentences)

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
        rows = self.probabilities([unwrap(text) for text in texts])
        return [Prediction(text, *self._judge(row)) for text, row in zip(texts, rows, strict=True)]

    def score_article(self, text: str) -> ScoredArticle:
        """Cut an article into sentences and read each one."""
        return ScoredArticle(tuple(self.score_sentences(split_sentences(text))), self.labels)

    def score_sentences(self, sentences: Sequence[Sentence]) -> list[ScoredSentence]:
        """Read sentences that are already cut, of one article or of many, in order."""
        rows = self.probabilities([unwrap(sentence.text) for sentence in sentences])
        return [
            ScoredSentence(sentence.text, *self._judge(row), sentence.start, sentence.end)
            for sentence, row in zip(sentences, rows, strict=True)
        ]

    def score_folder(
        self, folder: str | Path, out: str | Path, *, overwrite: bool = False, any_language: bool = False
    ) -> ScoringResult:
        """Score the text files of a folder, subfolders included, into a `.jsonl`, `.csv` or `.parquet` file.

        Raises StancewireError if the folder is missing or the output exists and `overwrite` is not set.
        """
        from stancewire.scoring import score_paths

        return score_paths(self, [Path(folder)], Path(out), overwrite=overwrite, any_language=any_language)

    def _judge(self, row: NDArray[np.float32]) -> tuple[dict[str, float], tuple[Stance, ...]]:
        probabilities = dict(zip(self.labels, row.tolist(), strict=True))
        judged = zip(self.labels, row.tolist(), self.manifest.thresholds, strict=True)
        held = [
            Stance(label, probability) for label, probability, threshold in judged if probability >= threshold
        ]
        return probabilities, tuple(sorted(held, key=lambda stance: -stance.probability))

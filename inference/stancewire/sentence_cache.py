"""Read the same sentence once: agencies' copy stands in many articles, and standing phrases in all.

A sentence's probabilities are the same bits whatever stands beside it, so nothing but time is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from stancewire.spans import Span

if TYPE_CHECKING:
    from stancewire.classifier import ScoredSentence, Stance, StanceClassifier
    from stancewire.segmentation import Sentence

SENTENCES_KEPT: Final = 16_384
"""How many are kept, the last used ones: about 20 MB."""

_LONGEST = 1_000
"""Characters; longer ones hardly come twice, and would take more memory."""


class SentenceCache:
    """Scores sentences with a classifier, those that were scored before from memory."""

    def __init__(self, classifier: StanceClassifier, size: int = SENTENCES_KEPT) -> None:
        self._classifier = classifier
        self._size = size
        self._kept: dict[str, ScoredSentence] = {}

    def score(
        self, sentences: Sequence[Sentence], batch: int, on_progress: Callable[[int], object]
    ) -> list[ScoredSentence]:
        """Score sentences, in order; after each `batch` of new ones `on_progress` is told how far it is."""
        found: dict[str, ScoredSentence] = {}
        new: list[Sentence] = []
        for text, sentence in {sentence.text: sentence for sentence in sentences}.items():
            # Taken out and put back: the last used ones stand at the end.
            scored = self._kept.pop(text, None)
            if scored is None:
                new.append(sentence)
            else:
                found[text] = scored
        done = len(sentences) - len(new)
        for start in range(0, len(new), batch):
            part = self._classifier.score_sentences(new[start : start + batch])
            found |= {scored.text: scored for scored in part}
            done += len(part)
            on_progress(done)
        self._keep(found)
        return [_moved(found[sentence.text], sentence) for sentence in sentences]

    def _keep(self, found: Mapping[str, ScoredSentence]) -> None:
        self._kept |= {text: scored for text, scored in found.items() if len(text) <= _LONGEST}
        for text in list(islice(self._kept, max(len(self._kept) - self._size, 0))):
            del self._kept[text]


def _moved(scored: ScoredSentence, sentence: Sentence) -> ScoredSentence:
    distance = sentence.start - scored.start
    if not distance:
        return scored
    stances = tuple(_moved_stance(stance, distance) for stance in scored.stances)
    return replace(scored, stances=stances, start=sentence.start, end=sentence.end)


def _moved_stance(stance: Stance, distance: int) -> Stance:
    return replace(
        stance, source=_moved_span(stance.source, distance), target=_moved_span(stance.target, distance)
    )


def _moved_span(span: Span | None, distance: int) -> Span | None:
    return span and replace(span, start=span.start + distance, end=span.end + distance)

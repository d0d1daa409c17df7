"""What a report counts, in one pass over the documents."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from stancewire.report.dating import Dating, Origin
from stancewire.report.parties import Pair, PartyTally
from stancewire.scores import ScoredText, StoredSentence

HIGHLIGHTS: Final = 5
"""Sentences that a report shows as the strongest of a label, and as the least certain."""


MARGIN: Final = 0.25
"""How far from a label's threshold a probability may be for its sentence to count as uncertain."""


@dataclass(frozen=True, slots=True)
class Highlight:
    """A sentence worth a look: the document it stands in (its number, from 0, and name) and its words.

    `probability` is that of the label it is shown for; `held` says whether the label holds; `pair` who
    performs it towards whom, where it does.
    """

    number: int
    document: str
    text: str
    probability: float
    held: bool
    pair: Pair | None


@dataclass(slots=True)
class LabelCount:
    """What is counted of a label: sentences that hold it, documents with one, the sum of probabilities."""

    sentences: int = 0
    documents: int = 0
    expected: float = 0.0


@dataclass(slots=True)
class DayCount:
    """What is counted of a day: documents, sentences, and by label the sentences that hold it."""

    documents: int = 0
    sentences: int = 0
    held: Counter[str] = field(default_factory=Counter)


class Tally:
    """Everything that a report counts; `add` takes the documents one after the other.

    `labels` counts each label, `days` each day, `origins` where the dates of the documents were found;
    `parties` counts who performs stances towards whom; `undecided` sentences are those marked uncertain.
    `strongest` is how many of the strongest sentences of each label are kept.
    """

    def __init__(self, thresholds: Mapping[str, float], strongest: int = HIGHLIGHTS) -> None:
        self.documents = self.sentences = self.with_stance = self.undecided = self.undated = 0
        self.labels = {label: LabelCount() for label in thresholds}
        self.days: dict[date, DayCount] = {}
        self.origins: Counter[Origin] = Counter()
        self.parties = PartyTally(thresholds)
        self._thresholds = dict(thresholds)
        self._strongest = {label: _Best(strongest) for label in thresholds}
        self._uncertain = {label: _Best(HIGHLIGHTS) for label in thresholds}

    def add(self, text: ScoredText, found: Dating | None) -> list[list[Pair]]:
        """Count a document; give back, by sentence, who performs its stances towards whom."""
        number = self.documents
        self.documents += 1
        self.sentences += len(text.sentences)
        held: Counter[str] = Counter()
        pairs = []
        for sentence in text.sentences:
            here = {stance.label: self.parties.add(stance) for stance in sentence.stances}
            pairs.append(list(here.values()))
            held.update(here.keys())
            self.with_stance += bool(here)
            self.undecided += sentence.uncertain
            self._consider(number, text.document, sentence, here)
        for label, count in held.items():
            self.labels[label].sentences += count
            self.labels[label].documents += 1
        self._date(found, len(text.sentences), held)
        return pairs

    def strongest(self, label: str) -> tuple[Highlight, ...]:
        """Return the likeliest of the sentences that hold a label, none twice."""
        return self._strongest[label].highlights

    def uncertain(self, label: str) -> tuple[Highlight, ...]:
        """Return the sentences nearest to a label's threshold, within `MARGIN` of it, none twice."""
        return self._uncertain[label].highlights

    def _consider(
        self, number: int, document: str, sentence: StoredSentence, pairs: Mapping[str, Pair]
    ) -> None:
        for label, probability in sentence.probabilities.items():
            self.labels[label].expected += probability
            doubt = abs(probability - self._thresholds[label])
            pair = pairs.get(label)
            for best, merit, is_candidate in (
                (self._strongest[label], probability, pair is not None),
                (self._uncertain[label], -doubt, doubt <= MARGIN),
            ):
                if is_candidate and best.takes(merit):
                    best.offer(
                        merit,
                        Highlight(number, document, sentence.text, probability, pair is not None, pair),
                    )

    def _date(self, found: Dating | None, sentences: int, held: Mapping[str, int]) -> None:
        if found is None:
            self.undated += 1
            return
        self.origins[found.origin] += 1
        day = self.days.setdefault(found.day, DayCount())
        day.documents += 1
        day.sentences += sentences
        day.held.update(held)


class _Best:
    """The few highlights with the most merit; of equals the earlier one, of the same words one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[float, int, Highlight]] = []
        self._order = 0

    @property
    def highlights(self) -> tuple[Highlight, ...]:
        return tuple(entry[2] for entry in sorted(self._heap, reverse=True))

    def takes(self, merit: float) -> bool:
        return len(self._heap) < self._size or merit > self._heap[0][0]

    def offer(self, merit: float, highlight: Highlight) -> None:
        words = highlight.text.split()
        if any(entry[2].text.split() == words for entry in self._heap):
            return
        self._order -= 1
        heapq.heappush(self._heap, (merit, self._order, highlight))
        if len(self._heap) > self._size:
            heapq.heappop(self._heap)

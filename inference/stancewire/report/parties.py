"""Who performs stances towards whom: names under one spelling, counted in pairs, laid out as matrices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stancewire.classifier import Stance
from stancewire.spans import Span

LARGEST_SIDE: Final = 15
"""Named sources, and named targets, that a matrix shows; the others are summed."""

NOBODY: Final = -1
"""Stands for a name that is not there."""

AUTHOR: Final = -2
"""Stands for the writer, who performs the stance."""

OTHERS: Final = -3
"""Stands for the names that a matrix does not show."""

Side = Literal["source", "target"]

_ARTICLE = re.compile(r"^(?:the|an?) (?=.)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and a target by their numbers (a name's, `NOBODY` or `AUTHOR`), and the label's position."""

    label: int
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Counts `[rows, columns]` of one label, or of all: sources down, targets across.

    `sources` and `targets` are numbers of names, or `OTHERS`, `AUTHOR`, `NOBODY`, which come last;
    `other_sources` and `other_targets` are how many names were summed.
    """

    label: int | None
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    other_sources: int
    other_targets: int

    @property
    def total(self) -> int:
        """The sum of the counts."""
        return sum(map(sum, self.counts))


class Names:
    """Numbers names from 0; those that differ by case, white space or a leading article have one number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._spellings: list[Counter[str]] = []

    def __len__(self) -> int:
        return len(self._spellings)

    def number(self, name: str) -> int:
        """Return the number of a name, a new one where it was not seen before."""
        spelling = without_article(name)
        number = self._numbers.setdefault(spelling.casefold(), len(self._spellings))
        if number == len(self._spellings):
            self._spellings.append(Counter())
        self._spellings[number][spelling] += 1
        return number

    def spelling(self, number: int) -> str:
        """Return the commonest spelling of a name; of equals the one seen first."""
        return self._spellings[number].most_common(1)[0][0]


class PartyTally:
    """Counts who performs which stance towards whom."""

    def __init__(self, labels: Iterable[str]) -> None:
        self.names = Names()
        self.pairs: Counter[Pair] = Counter()
        self._positions = {label: position for position, label in enumerate(labels)}

    def add(self, stance: Stance) -> Pair:
        """Count a stance."""
        source = AUTHOR if stance.source_kind == "author" else self._number(stance.source)
        pair = Pair(self._positions[stance.label], source, self._number(stance.target))
        self.pairs[pair] += 1
        return pair

    @property
    def anybody(self) -> bool:
        """Whether any stance has a source or a target."""
        return any(pair.source != NOBODY or pair.target != NOBODY for pair in self.pairs)

    def matrix(self, label: int | None = None) -> Matrix:
        """Lay out the stances of one label, or of all, with the most frequent names on either side."""
        pairs = {pair: count for pair, count in self.pairs.items() if label in (None, pair.label)}
        sources, other_sources = _side(_totals(pairs, "source"))
        targets, other_targets = _side(_totals(pairs, "target"))
        rows, columns = ({number: place for place, number in enumerate(side)} for side in (sources, targets))
        counts = [[0] * len(targets) for _ in sources]
        for pair, count in pairs.items():
            row = rows[pair.source if pair.source in rows else OTHERS]
            counts[row][columns[pair.target if pair.target in columns else OTHERS]] += count
        return Matrix(label, sources, targets, tuple(map(tuple, counts)), other_sources, other_targets)

    def most_frequent(self, count: int) -> list[tuple[Pair, int]]:
        """List the pairs of which both sides are known, the most frequent first."""
        known = [
            entry for entry in self.pairs.items() if entry[0].source != NOBODY and entry[0].target != NOBODY
        ]
        return sorted(known, key=lambda entry: -entry[1])[:count]

    def ranked(self, side: Side) -> list[tuple[int, int]]:
        """List the names of a side with their counts, the most frequent first."""
        return _ranked(_totals(self.pairs, side))

    def total(self, side: Side, number: int) -> int:
        """Count the stances that have this name, `NOBODY` or `AUTHOR` on a side."""
        return _totals(self.pairs, side)[number]

    def _number(self, span: Span | None) -> int:
        return NOBODY if span is None else self.names.number(span.text)


def without_article(name: str) -> str:
    """Put a name on one line with single blanks, without the article before it; case stays as it is."""
    return _ARTICLE.sub("", " ".join(name.split()))


def _totals(pairs: Mapping[Pair, int], side: Side) -> Counter[int]:
    totals: Counter[int] = Counter()
    for pair, count in pairs.items():
        totals[pair.source if side == "source" else pair.target] += count
    return totals


def _ranked(totals: Mapping[int, int]) -> list[tuple[int, int]]:
    named = [entry for entry in totals.items() if entry[0] >= 0]
    return sorted(named, key=lambda entry: (-entry[1], entry[0]))


def _side(totals: Mapping[int, int]) -> tuple[tuple[int, ...], int]:
    ranked = [number for number, _ in _ranked(totals)]
    shown, others = ranked[:LARGEST_SIDE], max(len(ranked) - LARGEST_SIDE, 0)
    rest = [OTHERS] * (others > 0) + [number for number in (AUTHOR, NOBODY) if number in totals]
    return (*shown, *rest), others

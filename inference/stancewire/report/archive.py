"""The articles as they lie in a report: compressed, in a few megabytes at most.

The browser unpacks them: base64 of a zlib stream (which the web calls `deflate`, RFC 1950) of JSON lines, an
article each. Offsets count UTF-16 units, as JavaScript does.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from stancewire.classifier import Stance
from stancewire.formats import without_surrogates
from stancewire.report.dating import Dating
from stancewire.report.parties import Pair
from stancewire.scores import ScoredText, StoredSentence
from stancewire.spans import Span

BUDGET: Final = 3_000_000
"""Bytes of compressed articles; a third more as base64, which leaves a page of 5 MB room for the rest."""

LONGEST_SENTENCE: Final = 5_000
"""Characters of a sentence that are kept."""

Extent = Literal["all", "stances", "part"]
"""All sentences of all articles; of all articles those that hold a stance; these of the first articles."""

_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Archive:
    """Packed articles: base64, what of them is there, and the numbers of the documents."""

    packed: str
    extent: Extent
    numbers: frozenset[int]


class ArchiveWriter:
    """Packs articles one after the other, and keeps as much of them as there is room for."""

    def __init__(self, labels: Sequence[str], budget: int = BUDGET) -> None:
        self._positions = {label: position for position, label in enumerate(labels)}
        self._whole = _Stream(budget)
        self._held = _Stream(budget)

    def add(self, text: ScoredText, number: int, found: Dating | None, pairs: Sequence[list[Pair]]) -> None:
        """Append an article; `pairs` says by sentence who performs its stances towards whom."""
        if self._whole.full and self._held.full:
            return
        sentences: list[list[Any]] = []
        end = 0
        for sentence, parties in zip(text.sentences, pairs, strict=True):
            gap = min(max(sentence.start - end, 0), 2) if sentences else 0
            sentences.append([gap, *self._values(sentence, parties)])
            end = sentence.end
        head = [number, text.document, "" if found is None else found.day.isoformat()]
        self._whole.add(number, [*head, sentences])
        with_stance = [[2, *values[1:]] for values in sentences if values[3]]
        if with_stance:
            self._held.add(number, [*head, with_stance])

    def finish(self) -> Archive:
        """Close the archive."""
        extent: Extent = "all" if not self._whole.full else "part" if self._held.full else "stances"
        stream = self._whole if extent == "all" else self._held
        return Archive(stream.finish(), extent, frozenset(stream.numbers))

    def _values(self, sentence: StoredSentence, pairs: Sequence[Pair]) -> list[Any]:
        text, cut = sentence.text, len(sentence.text) > LONGEST_SENTENCE
        shown = text[:LONGEST_SENTENCE] + "…" if cut else text
        stances = [
            self._stance(stance, pair, sentence) for stance, pair in zip(sentence.stances, pairs, strict=True)
        ]
        thousandths = [round(1_000 * sentence.probabilities[label]) for label in self._positions]
        return [shown, thousandths, stances, int(sentence.uncertain)]

    def _stance(self, stance: Stance, pair: Pair, sentence: StoredSentence) -> list[Any]:
        spans = (_offsets(stance.source, sentence), _offsets(stance.target, sentence))
        return [self._positions[stance.label], pair.source, pair.target, *spans]


class _Stream:
    """A zlib stream of JSON lines; one that grew past its budget is full, and takes nothing more."""

    def __init__(self, budget: int) -> None:
        self.full = False
        self.numbers: list[int] = []
        self._room = budget
        self._parts: list[bytes] = []
        self._compressor = zlib.compressobj(_LEVEL)

    def add(self, number: int, values: list[Any]) -> None:
        if self.full:
            return
        line = json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"
        self._parts.append(self._compressor.compress(without_surrogates(line).encode()))
        self.numbers.append(number)
        self._room -= len(self._parts[-1])
        self.full = self._room < 0

    def finish(self) -> str:
        return base64.b64encode(b"".join(self._parts) + self._compressor.flush()).decode("ascii")


def _offsets(span: Span | None, sentence: StoredSentence) -> list[int] | int:
    """Place a span in its sentence, or 0 where it does not stand there, as in an output changed by hand."""
    if span is None:
        return 0
    start, end = span.start - sentence.start, span.end - sentence.start
    if start < 0 or end > LONGEST_SENTENCE or sentence.text[start:end] != span.text:
        return 0
    return [_utf16_length(sentence.text[:start]), _utf16_length(sentence.text[:end])]


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2

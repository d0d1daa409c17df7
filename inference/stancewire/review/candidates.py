"""The sentences of scores, a document at a time, with what choosing among them needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from stancewire.annotations import AUTHOR, AnnotatedStance
from stancewire.classifier import Stance
from stancewire.errors import StancewireError
from stancewire.estimation import DECIDED, FAR, NEAR
from stancewire.events import PERIODS, period_start, read_labels
from stancewire.report.dating import date_document
from stancewire.scores import ScoredText, StoredSentence, read_scores
from stancewire.spans import Span

NEAR_PROBABILITY: Final = 0.05
"""From this probability a label that does not hold is near."""

UNDATED: Final = "undated"
NOT_GIVEN: Final = "not given"

# `none` is no period here: everything would be in one.
_PERIODS: Final = PERIODS[:-1]


@dataclass(frozen=True, slots=True)
class Place:
    """A sentence in its document: `index` is its position from 0, `groups` what its document belongs to."""

    text: ScoredText
    index: int
    day: date | None
    groups: tuple[str, ...]

    @property
    def sentence(self) -> StoredSentence:
        """The sentence itself."""
        return self.text.sentences[self.index]

    @property
    def key(self) -> str:
        """What the sentence is known by: see `sentence_key`."""
        return sentence_key(self.text.document, self.sentence.text)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be looked at, with its neighbours and what the model said of it."""

    key: str
    document: str
    date: str | None
    text: str
    before: str
    after: str
    probabilities: Mapping[str, float]
    suggestions: tuple[AnnotatedStance, ...]


def walk(scores: Path, labels: Sequence[str], groups: Sequence[str] = ()) -> Iterator[Place]:
    """Go through the sentences of scores in order; memory does not grow with them.

    `groups` are day, week, month or year, or columns that the documents came with. Raises StancewireError,
    at the end, for a column that no document has.
    """
    columns = [name for name in groups if name not in _PERIODS]
    seen: set[str] = set()
    for text in read_scores(scores, labels):
        dating = date_document(text)
        day = dating.day if dating else None
        seen.update(text.columns)
        named = tuple(_group(text, day, name) for name in groups)
        for index in range(len(text.sentences)):
            yield Place(text, index, day, named)
    for column in columns:
        if column not in seen:
            there = ", ".join((*_PERIODS, *sorted(seen)))
            raise StancewireError(f"--by {column}: no document has this column; there are {there}")


def labels_of(scores: Path) -> tuple[str, ...]:
    """Read the labels of scores; StancewireError if there are none."""
    if not scores.exists():
        raise StancewireError(f"there is no output {scores}: stancewire score writes one")
    labels = read_labels(scores)
    if not labels:
        raise StancewireError(f"{scores} has no sentences: there is nothing to choose from")
    return labels


def sentence_key(document: str | None, text: str) -> str:
    """Make what a sentence is known by, whatever tool it went through: a hash of its document and words."""
    known = f"{document or ''}\0{' '.join(text.split())}"
    return hashlib.blake2b(known.encode("utf-8", "replace"), digest_size=8).hexdigest()


def bands_of(sentence: StoredSentence, labels: Sequence[str]) -> list[int]:
    """Say for each label what the model said of it: it holds, is near, or is far; far if it has no such."""
    held = {stance.label for stance in sentence.stances}
    probabilities = sentence.probabilities
    return [
        DECIDED if label in held else NEAR if probabilities.get(label, 0.0) >= NEAR_PROBABILITY else FAR
        for label in labels
    ]


def candidate(place: Place) -> Candidate:
    """Take of a sentence what is kept of it, without its document."""
    sentences, index = place.text.sentences, place.index
    return Candidate(
        key=place.key,
        document=place.text.document,
        date=place.day.isoformat() if place.day else None,
        text=place.sentence.text,
        before=sentences[index - 1].text if index else "",
        after=sentences[index + 1].text if index + 1 < len(sentences) else "",
        probabilities=place.sentence.probabilities,
        suggestions=tuple(_annotation(stance, place.sentence) for stance in place.sentence.stances),
    )


def _annotation(stance: Stance, sentence: StoredSentence) -> AnnotatedStance:
    source, source_start = _words(stance.source, sentence)
    target, target_start = _words(stance.target, sentence)
    if stance.source_kind == "author":
        source, source_start = AUTHOR, None
    return AnnotatedStance(stance.label, source, source_start, target, target_start)


def _words(span: Span | None, sentence: StoredSentence) -> tuple[str | None, int | None]:
    if span is None:
        return None, None
    start = span.start - sentence.start
    if sentence.text[start : start + len(span.text)] != span.text:
        return None, None
    return span.text, start


def _group(text: ScoredText, day: date | None, name: str) -> str:
    if name not in _PERIODS:
        return _named(text.columns, name)
    first = period_start(day, name)
    if first is None:
        return UNDATED
    return first.isoformat()[: {"month": 7, "year": 4}.get(name)]


def _named(columns: Mapping[str, object], name: str) -> str:
    value = columns.get(name)
    return NOT_GIVEN if value is None or not str(value).strip() else str(value)

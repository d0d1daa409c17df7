"""Date the documents of a report, and say where each date was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from stancewire.dates import DATELINE_CHARACTERS, find_date
from stancewire.scores import ScoredText, StoredSentence

Origin = Literal["date", "name", "dateline"]
"""The key or column `date` of the output, the document's name, the beginning of its text."""


@dataclass(frozen=True, slots=True)
class Dating:
    """The date of a document, and where it was found."""

    day: date
    origin: Origin


def date_document(text: ScoredText) -> Dating | None:
    """Find the date of a document as `find_date` does, or None."""
    asked: tuple[tuple[Origin, str, str, str | None], ...] = (
        ("date", "", "", text.date),
        ("name", text.document, "", None),
        ("dateline", "", _beginning(text.sentences), None),
    )
    for origin, name, beginning, given in asked:
        day = find_date(name, beginning, given)
        if day is not None:
            return Dating(day, origin)
    return None


def _beginning(sentences: Sequence[StoredSentence]) -> str:
    # Of the white space between sentences its length is known: a single character is taken for a blank.
    parts, end = [], 0
    for sentence in sentences:
        if sentence.start >= DATELINE_CHARACTERS:
            break
        parts.append(" " if sentence.start - end == 1 else "\n")
        parts.append(sentence.text)
        end = sentence.end
    return "".join(parts)

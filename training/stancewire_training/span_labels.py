"""From annotated sources and targets to the tokens that a model should point at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stancewire.annotations import AUTHOR, find_span
from stancewire.spans import NOBODY, POINTERS, ROLES

if TYPE_CHECKING:
    from datasets import Dataset

NOTHING: Final = -100
"""What stands for a pointer that there is nothing to learn of: the label does not hold."""


def span_positions(
    text: str, stances: Iterable[Mapping[str, Any]], offsets: Sequence[tuple[int, int]], labels: int
) -> list[int]:
    """Give the positions of the tokens to point at, `[labels * POINTERS]`, as `stancewire.spans` reads them.

    `stances` are rows of a corpus with the label as its number; `offsets` has the characters of each token,
    special tokens included. A span cut off with the sentence is not learnt.
    """
    positions = [NOTHING] * (labels * POINTERS)
    for stance in stances:
        for role, name in enumerate(ROLES):
            at = stance["label"] * POINTERS + 2 * role
            positions[at : at + 2] = _pair(text, stance[name], stance[f"{name}_start"], offsets)
    return positions


def has_spans(split: Dataset) -> bool:
    """Say whether any stance of a split names a source or a target."""
    rows = split.with_format(None)["stances"]
    return any(stance[name] is not None for stances in rows for stance in stances for name in ROLES)


def _pair(
    text: str, words: str | None, start: int | None, offsets: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    if words is None:
        return NOBODY, NOBODY
    if words == AUTHOR:
        return len(offsets) - 1, len(offsets) - 1
    begin, end = find_span(text, words, start)
    inside = [
        token for token, (first, last) in enumerate(offsets) if first < last and first < end and last > begin
    ]
    if not inside or offsets[inside[-1]][1] < end:
        return NOTHING, NOTHING
    return inside[0], inside[-1]

"""What can be said of an annotated sentence by itself: what is wrong with it, and what to look at."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stancewire.annotations import AUTHOR, AnnotatedSentence, find_span
from stancewire.errors import StancewireError

LONGEST: Final = 1000
"""Characters above which a sentence is likely to be several."""

_ODD_SPACE = re.compile(r"^\s|\s$|\s\s")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found at a line of a file; the line is None where it concerns the whole file or corpus."""

    file: str
    line: int | None
    what: str

    @property
    def where(self) -> str:
        """File and line in words."""
        return self.file if self.line is None else f"{self.file}, line {self.line}"


def text_faults(sentence: AnnotatedSentence) -> Iterator[str]:
    """Say what is wrong with the text and the place of a sentence."""
    for offset, character in enumerate(sentence.text):
        if unicodedata.category(character) == "Cc":
            yield f"the control character U+{ord(character):04X} stands at {offset}"
        elif character == "\ufffd":
            yield f"a replacement character stands at {offset}: some of the text was lost when it was decoded"
    if sentence.i is not None and sentence.doc is None:
        yield "i is the position in an article, but doc names none"


def text_warnings(sentence: AnnotatedSentence) -> Iterator[str]:
    """Say what an editor should look at in a sentence."""
    if len(sentence.text) > LONGEST:
        yield f"the text has {len(sentence.text)} characters: is it one sentence?"
    if not any(character.isalpha() for character in sentence.text):
        yield "the text has no letter"
    if _ODD_SPACE.search(sentence.text):
        yield "the text has white space at its ends or twice in a row"
    if any(unicodedata.category(character) == "Cf" for character in sentence.text):
        yield "the text has invisible characters"
    for stance in sentence.stances:
        if stance.source is not None and (stance.source, stance.source_start) == (
            stance.target,
            stance.target_start,
        ):
            yield f"source and target of {stance.label} are the same words, {stance.source!r}"


def stance_faults(sentence: AnnotatedSentence, labels: tuple[str, ...]) -> Iterator[str]:
    """Say what is wrong with the stances of a sentence: unknown or repeated labels, spans not in it."""
    for label, times in Counter(stance.label for stance in sentence.stances).items():
        if label not in labels:
            yield f"the label {label!r} is not one of {', '.join(labels)}"
        if times > 1:
            yield f"the label {label!r} stands {times} times: one entry a label"
    for stance in sentence.stances:
        if stance.source != AUTHOR:
            yield from _span_faults(sentence, f"source of {stance.label}", stance.source, stance.source_start)
        yield from _span_faults(sentence, f"target of {stance.label}", stance.target, stance.target_start)


def _span_faults(
    sentence: AnnotatedSentence, role: str, words: str | None, start: int | None
) -> Iterator[str]:
    if words is not None:
        try:
            find_span(sentence.text, words, start)
        except StancewireError as fault:
            yield f"{role}: {fault}"

"""Cut a document into sentences whose offsets slice back to the document.

sentencex (https://github.com/wikimedia/sentencex) knows where a sentence ends inside a paragraph: full stops,
abbreviations, initials, sentences glued without a space. What it does not know is decided here: paragraphs,
headlines and hard-wrapped lines, quotations of several sentences, list numbers, and where each piece stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import sentencex  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

# sentencex takes time quadratic in a text without spaces, so it never sees more characters than this at once.
_BLOCK = 2048
_SHORTEST_WIDTH, _LONGEST_WIDTH = 50, 100
_LONGEST_LIST_NUMBER = 12

_SEPARATOR = r"\f\x1c-\x1e\u2029"
_BREAK = rf"[\n\r\v\x85\u2028{_SEPARATOR}]"
# A break with a group is one of paragraphs: a form feed or other separator, or a blank line.
_LINE_BREAK = re.compile(rf"{_BREAK}(?:(?<=\r)\n)?((?<=[{_SEPARATOR}])|\s*{_BREAK})?\s*")
_LIST_NUMBER = re.compile(r"\W{0,3}(?:\d{1,3}|[^\W\d_]|[IVXivx]{1,5})[.)]+\s*")

_OPENING = "\u201c\u2018\u201e\u00ab\u2039"
_CLOSING = "\u201d\u2019\u00bb\u203a\"'"
_QUOTES = _OPENING + _CLOSING
_HIDDEN = '\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"\u201c\u2018\u201e\u00ab\u2039\u201d\u00bb\u203a'
_SINGLE_QUOTE = re.compile(r"['\u2019](?!(?<=\w.)\w)")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and where it stands: `text == document[start:end]`, in characters from 0."""

    text: str
    start: int
    end: int


def split_sentences(document: str) -> list[Sentence]:
    """Return the sentences of a document in order, without the white space around them.

    Offsets are indices of Python characters. A document of white space only has no sentences.
    """
    sentences: list[Sentence] = []
    position = 0

    for piece in segment(document):
        text = piece.strip()
        if text:
            start = position + len(piece) - len(piece.lstrip())
            sentences.append(Sentence(text, start, start + len(text)))
        position += len(piece)

    return sentences


def segment(document: str) -> list[str]:
    """Cut a document into pieces that joined are the document, white space included.

    White space belongs to the piece before it. Each piece holds a letter, unless the document has none:
    what has none is joined to the piece before. Takes time linear in the length of the document.
    """
    view = _view(document)
    ends: list[int] = []
    start = 0

    for paragraph in pairwise((0, *_paragraph_starts(document), len(document))):
        for end in (*_sentence_starts(document, view, *paragraph), paragraph[1]):
            if any(map(str.isalpha, document[start:end])):
                ends.append(end)
            elif ends:
                ends[-1] = end
            start = end

    if document and not ends:
        ends.append(len(document))
    return [document[a:b] for a, b in pairwise((0, *ends))]


def unwrap(sentence: str) -> str:
    """Return a sentence as one line: each run of white space, line breaks included, is a single space."""
    return " ".join(sentence.split())


def unwrapped_offsets(sentence: str) -> list[int]:
    """Say for each character of `unwrap(sentence)` where it stands in `sentence`."""
    offsets: list[int] = []
    for word in re.finditer(r"\S+", sentence):
        if offsets:
            offsets.append(word.start() - 1)
        offsets.extend(range(word.start(), word.end()))
    return offsets


def _view(document: str) -> str:
    """Return the document as sentencex is to see it, character for character.

    Line breaks and quotation marks are spaces, so that quotations are cut inside; apostrophes stay.
    """
    view = document if document.isascii() else _SURROGATE.sub("\ufffd", document).replace("\u2026", ".")
    view = _SINGLE_QUOTE.sub(" ", view)
    for character in _HIDDEN:
        view = view.replace(character, " ")
    return view


def _paragraph_starts(document: str) -> Iterator[int]:
    """Yield where each paragraph but the first begins; unless lines are wrapped, each is a paragraph."""
    end = len(document.rstrip())
    breaks = list(_LINE_BREAK.finditer(document, 0, end))
    lines = [b - a for a, b in pairwise((0, *(n for m in breaks for n in m.span()), end))][::2]
    wrapped = _wrapped_breaks(document, breaks, lines)

    for number, line_break in enumerate(breaks):
        if line_break.lastindex or number not in wrapped:
            yield line_break.end()


def _wrapped_breaks(document: str, breaks: list[re.Match[str]], lines: list[int]) -> set[int]:
    """Return the numbers of the line breaks inside hard-wrapped paragraphs.

    A text is hard-wrapped if most of it stands in lines of at most 100 characters and at least half of the
    single line breaks follow a full line, one that the first word of the next line would have made as long as
    the longest (within a tenth, since edited text is not wrapped anew).
    """
    short = [length for length in lines if length <= _LONGEST_WIDTH]
    width = max(short, default=0)
    single = [
        number
        for number, line_break in enumerate(breaks)
        if not line_break.lastindex and max(lines[number : number + 2]) <= _LONGEST_WIDTH
    ]
    if width < _SHORTEST_WIDTH or 2 * sum(short) < sum(lines):
        return set()

    full = 0
    for number in single:
        begin = breaks[number].end()
        next_word = document[begin : begin + width].split(None, 1)[0]
        full += 10 * (lines[number] + 1 + len(next_word)) >= 9 * width
    return set(single) if 2 * full >= len(single) else set()


def _sentence_starts(document: str, view: str, start: int, end: int) -> Iterator[int]:
    """Yield where each sentence but the first begins in the paragraph `document[start:end]`."""
    before = start
    for first in _block_starts(view, start, end):
        while first > before and document[first - 1] in _QUOTES and _opens(document, first - 1):
            first -= 1
        last = first - 1
        while last > before and document[last].isspace():
            last -= 1
        before = first

        # "Is it?" he asked, and so it goes… on.
        if document[first].islower() and document[last] in _CLOSING + "\u2026":
            continue
        if first - start > _LONGEST_LIST_NUMBER or not _LIST_NUMBER.fullmatch(document, start, first):
            yield first


def _opens(document: str, position: int) -> bool:
    """Tell whether a quotation mark opens what follows it."""
    if document[position] not in "\"'":
        return document[position] in _OPENING
    before = document[position - 1 : position]
    return not before or before.isspace() or before in _QUOTES


def _block_starts(view: str, start: int, end: int) -> Iterator[int]:
    """Yield where sentencex begins a new sentence, given at most a block of the view at a time."""
    while start < end:
        stop = end
        if end - start > _BLOCK:
            stop = view.rfind(" ", start + 1, start + _BLOCK) + 1 or start + _BLOCK
        block, found = view[start:stop], 0

        for piece in sentencex.segment("en", block)[:-1]:
            at = block.find(piece, found)
            if at >= 0:
                found = at + len(piece)
                yield start + found

        start = start + found if found and stop < end else stop

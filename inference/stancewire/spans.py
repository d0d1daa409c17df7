"""Who performs a stance, and towards whom: spans of the sentence, read from pointers over its tokens.

For each label the model scores every token as the start and as the end of the source, and of the target. The
special tokens around the sentence are pointed at too: the first means that the sentence names nobody, the
last that the writer performs the act. The best pair of a start and an end wins, and its probability is the
product of the two (as in the question answering of Devlin et al. 2019, https://arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

ROLES: Final = ("source", "target")
"""The two parties of a stance, in the order of the model's outputs."""

POINTERS: Final = 2 * len(ROLES)
"""Outputs a label at each token: start and end of the source, start and end of the target."""

NOBODY: Final = 0
"""The token that means nobody is named: the first. The last one means the writer."""

_LONGEST = 32

SourceKind = Literal["span", "author", "none"]
"""Words of the sentence, the writer, or nobody named."""


@dataclass(frozen=True, slots=True)
class Span:
    """Words that name a party: `text == source[start:end]`, and the probability of just these words, 0 to 1.

    Offsets count characters from 0 in the text that was given: the sentence for `predict`, the article for
    `score_article`.
    """

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class Parties:
    """Source and target of one label; None where nobody is named, or the writer is the source."""

    source_kind: SourceKind
    source: Span | None
    target: Span | None


def find_parties(scores: NDArray[np.float32], offsets: Sequence[tuple[int, int]], sentence: str) -> Parties:
    """Find the parties of one label from its scores `[tokens, POINTERS]`, in offsets of `sentence`.

    `offsets` has the characters of each token, special tokens included.
    """
    starts, ends = _word_starts(sentence, offsets), _word_ends(sentence, offsets)
    (source, kind), (target, _) = (
        _find(scores[:, 2 * role : 2 * role + 2], starts, ends, offsets, sentence, writer=name == "source")
        for role, name in enumerate(ROLES)
    )
    return Parties(kind, source, target)


def _find(
    scores: NDArray[np.float32],
    starts: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    offsets: Sequence[tuple[int, int]],
    sentence: str,
    *,
    writer: bool,
) -> tuple[Span | None, SourceKind]:
    start, end = _log_softmax(scores.astype(np.float64)).T
    pairs = np.where(starts, start, -np.inf)[:, None] + np.where(ends, end, -np.inf)[None, :]
    pairs = np.where(_in_reach(len(start)), pairs, -np.inf)
    first, last = divmod(int(np.argmax(pairs)), len(end))
    found = pairs[first, last]
    nobody = start[NOBODY] + end[NOBODY]
    author = start[-1] + end[-1] if writer else -np.inf
    if found > max(nobody, author):
        begin, stop = offsets[first][0], offsets[last][1]
        return Span(sentence[begin:stop], begin, stop, float(np.exp(found))), "span"
    return None, "author" if author > nobody else "none"


def _in_reach(tokens: int) -> NDArray[np.bool_]:
    distance = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    reach: NDArray[np.bool_] = (distance >= 0) & (distance < _LONGEST)
    return reach


def _word_starts(sentence: str, offsets: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    return np.array(
        [start < end and not _is_word(sentence[max(start - 1, 0) : start]) for start, end in offsets]
    )


def _word_ends(sentence: str, offsets: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    return np.array([start < end and not _is_word(sentence[end : end + 1]) for start, end in offsets])


def _is_word(character: str) -> bool:
    # As `annotations.find_span` has it: no letter, digit or underscore stands right before or after a span.
    return character.isalnum() or character == "_"


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(axis=0)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=0))
    return result

"""Choose the sentences of scores that are most worth a person's look.

Each label has the same share of them, so that rare labels have their part. Within a label what counts is how
unsure the model is of it (uncertainty sampling: Lewis and Gale 1994, https://doi.org/10.1007/978-1-4471-2099-5_1)
and, where there is another model, how much the two differ (query by committee: Seung et al. 1992,
https://doi.org/10.1145/130385.130417). What is like a sentence already chosen counts less (maximal marginal
relevance: Carbonell and Goldstein 1998, https://doi.org/10.1145/290941.291025).
"""

from __future__ import annotations

import heapq
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.review.candidates import Candidate, Place, candidate, labels_of, walk

DISAGREEMENT: Final = 2.0
"""What is added where another model decides otherwise: it goes before any doubt of one model."""

LIKENESS: Final = 0.5
"""How much of the interest is taken off a sentence that is word for word one already chosen."""

TOO_LIKE: Final = 0.8
"""Beyond this cosine of their words two sentences are one."""

_POOL = 10
_DIMENSIONS = 1024
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen sentence, and the label for whose sake it was chosen."""

    sentence: Candidate
    label: str


def choose_uncertain(
    scores: Path,
    size: int,
    *,
    against: Path | None = None,
    skip: Collection[str] = (),
    on_sentence: Callable[[int], object] | None = None,
) -> tuple[Choice, ...]:
    """Choose at most `size` sentences, the labels in turn, the most interesting of each first.

    `against` is what another model made of the same documents; sentences of the texts in `skip` are passed
    over. Memory grows with `size` alone. Raises StancewireError if the two are not of the same documents.
    """
    labels = labels_of(scores)
    shared = labels if against is None else _shared(scores, against, labels)
    skipped = {" ".join(text.split()) for text in skip}
    pools = {label: _Pool(max(50, _POOL * size // len(shared))) for label in shared}
    for number, (place, other) in enumerate(_side_by_side(scores, against, labels), 1):
        if on_sentence:
            on_sentence(number)
        if " ".join(place.sentence.text.split()) in skipped:
            continue
        for label in shared:
            pools[label].offer(_interest(place, other, label), number, place)
    return tuple(_diverse({label: pool.best() for label, pool in pools.items()}, size))


class _Pool:
    # The most interesting sentences of a label so far; of equal ones the earlier.
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._heap: list[tuple[float, int, Candidate]] = []

    def offer(self, interest: float, number: int, place: Place) -> None:
        if len(self._heap) < self._capacity:
            heapq.heappush(self._heap, (interest, -number, candidate(place)))
        elif (interest, -number) > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (interest, -number, candidate(place)))

    def best(self) -> list[tuple[float, Candidate]]:
        ordered = sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        return [(interest, sentence) for interest, _, sentence in ordered]


def _interest(place: Place, other: Place | None, label: str) -> float:
    probability = place.sentence.probabilities[label]
    doubt = 4 * probability * (1 - probability)
    if other is None:
        return doubt
    decided = any(stance.label == label for stance in place.sentence.stances)
    others = any(stance.label == label for stance in other.sentence.stances)
    gap = abs(probability - other.sentence.probabilities[label])
    return doubt + gap + DISAGREEMENT * (decided != others)


def _side_by_side(
    scores: Path, against: Path | None, labels: Sequence[str]
) -> Iterator[tuple[Place, Place | None]]:
    if against is None:
        yield from ((place, None) for place in walk(scores, labels))
        return
    pairs = zip_longest(walk(scores, labels), walk(against, labels_of(against)))
    for number, (place, other) in enumerate(pairs, 1):
        if place is None or other is None or place.key != other.key:
            raise StancewireError(
                f"--against {against}: sentence {number:,} is not that of {scores.name}: both should be "
                "scores of the same documents, in the same order"
            )
        yield place, other


def _shared(scores: Path, against: Path, labels: Sequence[str]) -> tuple[str, ...]:
    theirs = labels_of(against)
    shared = tuple(label for label in labels if label in theirs)
    if not shared:
        raise StancewireError(
            f"--against {against}: its labels are {', '.join(theirs)}, and none is one of {scores.name}"
        )
    return shared


def _diverse(pools: Mapping[str, Sequence[tuple[float, Candidate]]], size: int) -> Iterator[Choice]:
    every = list(dict.fromkeys(chain(*([one.key for _, one in pool] for pool in pools.values()))))
    rows = {key: row for row, key in enumerate(every)}
    texts = {one.key: one.text for pool in pools.values() for _, one in pool}
    words = np.stack([_word_vector(texts[key]) for key in every]) if every else np.zeros((0, 1))
    nearest = np.zeros(len(every))
    left = {label: list(pool) for label, pool in pools.items()}
    chosen = 0
    while chosen < size and any(left.values()):
        for label, pool in left.items():
            pool[:] = [entry for entry in pool if nearest[rows[entry[1].key]] < TOO_LIKE]
            if not pool or chosen == size:
                continue
            index = int(np.argmax([entry[0] - LIKENESS * nearest[rows[entry[1].key]] for entry in pool]))
            _, sentence = pool.pop(index)
            np.maximum(nearest, words @ words[rows[sentence.key]], out=nearest)
            chosen += 1
            yield Choice(sentence, label)


def _word_vector(text: str) -> NDArray[np.float64]:
    vector = np.zeros(_DIMENSIONS)
    for word in _WORD.findall(text.casefold()):
        vector[zlib.crc32(word.encode("utf-8", "replace")) % _DIMENSIONS] += 1
    # A sentence without words is like none but itself, which is not offered twice for one label.
    return vector / max(float(np.linalg.norm(vector)), 1e-12)

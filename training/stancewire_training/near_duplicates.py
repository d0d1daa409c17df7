"""Find sentences that say nearly the same in nearly the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

THRESHOLD: Final = 0.3

# Rows of the similarity matrix that are held at once.
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two sentences, by their positions, `first < second`, and their similarity, 0 to 1."""

    first: int
    second: int
    similarity: float


def find_near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> list[NearDuplicate]:
    """Find every pair whose Jaccard similarity of word trigrams is at least `threshold`, in order.

    Case and punctuation do not count. Exact, not hashed; memory is bounded by blocks of rows. A sentence of
    fewer than three words has no trigrams and is never found.
    """
    vectorizer = CountVectorizer(
        ngram_range=(3, 3), token_pattern=r"(?u)\b\w+\b", binary=True, dtype=np.int32
    )
    try:
        trigrams = vectorizer.fit_transform(texts).tocsr()
    except ValueError:  # no sentence has a trigram
        return []
    sizes = np.asarray(trigrams.sum(axis=1)).ravel()

    pairs = []
    for start in range(0, trigrams.shape[0], _BLOCK):
        shared = (trigrams[start : start + _BLOCK] @ trigrams[start:].T).tocoo()
        first, second = shared.row + start, shared.col + start
        similarity = shared.data / (sizes[first] + sizes[second] - shared.data)
        for index in np.flatnonzero((first < second) & (similarity >= threshold)):
            pairs.append(NearDuplicate(int(first[index]), int(second[index]), float(similarity[index])))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))

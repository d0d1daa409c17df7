"""Whether probabilities mean what they say: seven in ten of the sentences given 0.7 should hold the label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOOR: Final = 0.2
"""The probability from which predictions count for the figure of a label."""

TOLERANCE: Final = 0.05
"""How far the observed share may lie from the expected one, whatever its interval."""

_Z = 1.959963984540054
_BINS = 10
# Below, nearly all sentences lie, and nearly none holds the label: they are one bin.
_UNLIKELY = 0.05
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of like probability: `expected` is their mean, `observed` the share that holds the label.

    `low` and `high` bound the observed share: its Wilson interval, 95%.
    """

    sentences: int
    expected: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Expected and observed share of one label among its predictions from FLOOR on; NaN where there is none.

    `low` and `high` are the Wilson interval of the observed share, 95%.
    """

    label: str
    predictions: int
    expected: float
    observed: float
    low: float
    high: float

    @property
    def is_reliable(self) -> bool | None:
        """Whether the expected share is within TOLERANCE of the observed one, or in its interval."""
        if not self.predictions:
            return None
        return abs(self.expected - self.observed) <= TOLERANCE or self.low <= self.expected <= self.high


def wilson_interval(held: int, count: int) -> tuple[float, float]:
    """Give the 95% interval of a share, `held` of `count`, by Wilson (1927); NaN of nothing.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
    """
    if not count:
        return math.nan, math.nan
    share, spread = held / count, _Z**2 / count
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # Rounding may leave the bound of a share of 0 or 1 a hair beside it.
    low = 0.0 if held == 0 else (middle - half) / (1 + spread)
    high = 1.0 if held == count else (middle + half) / (1 + spread)
    return low, high


def measure_reliability(label: str, probabilities: ArrayLike, targets: ArrayLike) -> Reliability:
    """Compare what is expected of one label with what is observed, both `[sentences]`."""
    scores, held = _checked(probabilities, targets)
    likely = scores >= FLOOR
    summary = _bin(scores[likely], held[likely])
    return Reliability(
        label, summary.sentences, summary.expected, summary.observed, summary.low, summary.high
    )


def reliability_bins(probabilities: ArrayLike, targets: ArrayLike) -> tuple[ReliabilityBin, ...]:
    """Sort the predictions of one label into at most 10 bins, both `[sentences]`, probabilities rising.

    The sentences below 0.05, which are nearly all, are the first bin; the others are parted into bins of
    equal count, of 10 sentences at least. Equal probabilities are never parted.
    """
    scores, held = _checked(probabilities, targets)
    order = np.argsort(scores, kind="stable")
    scores, held = scores[order], held[order]
    unlikely = int(np.searchsorted(scores, _UNLIKELY))
    wanted = min(_BINS - 1, max(1, (len(scores) - unlikely) // _FEWEST))
    edges = {0, unlikely, len(scores)}
    for cut in np.linspace(unlikely, len(scores), wanted + 1)[1:-1].round().astype(int):
        edges.add(int(np.searchsorted(scores, scores[cut])))
    ends = sorted(edges)
    return tuple(_bin(scores[start:end], held[start:end]) for start, end in pairwise(ends))


def _checked(probabilities: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.asarray(probabilities, np.float64), np.asarray(targets) > 0.5


def _bin(scores: NDArray[np.float64], held: NDArray[np.bool_]) -> ReliabilityBin:
    count, holding = len(scores), int(held.sum())
    if not count:
        return ReliabilityBin(0, math.nan, math.nan, math.nan, math.nan)
    return ReliabilityBin(count, float(scores.mean()), holding / count, *wilson_interval(holding, count))

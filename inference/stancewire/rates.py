"""Whether two rates differ, where sentences come in clusters: those of a document are no independent samples.

A rate is a ratio of sums over clusters, and its variance that of the clusters' residuals (the usual
linearisation of surveys; Cochran 1977, Sampling Techniques, ch. 6). A rate that is near 0, as those of
stances are, is not normal: its limits are Wilson's (1927, https://doi.org/10.1080/01621459.1927.10502953)
with the effective number of sentences, rate * (1 - rate) / variance, in the place of their number (Korn and
Graubard 1998), and Student's t in that of the normal, with as many degrees of freedom as the kurtosis of the
residuals leaves: where ten of a thousand documents hold a label, about ten count. From the limits of two
rates come those of their difference by the method of variance estimates recovery (Zou and Donner 2008,
https://doi.org/10.1002/sim.3095), with the correlation of the two where clusters are on both sides.

The p-value is the level at which the interval would just reach 0; for several labels Holm's (1979,
https://www.jstor.org/stable/4615733) makes it one that bounds the chance of any false finding among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL: Final = 0.95
"""How often an interval covers the true difference."""

# Beyond this Student's t is the normal to three digits.
_MOST_FREEDOM: Final = 2_000
_STEPS: Final = 60
_LARGEST_CRITICAL: Final = 40.0


@dataclass(frozen=True, slots=True)
class RateDifferences:
    """Two rates of each label and their difference, second less first, each `[labels]`.

    `low` and `high` bound the difference with 95% confidence; they and `p` are NaN where a side has fewer
    than two clusters. `p` is not corrected for the number of labels.
    """

    first: Floats
    second: Floats
    difference: Floats
    low: Floats
    high: Floats
    p: Floats


def compare_rates(
    held_first: ArrayLike, sizes_first: ArrayLike, held_second: ArrayLike, sizes_second: ArrayLike
) -> RateDifferences:
    """Compare the rates of two sides.

    `held` is how many sentences of each cluster hold each label, `[clusters, labels]`, `sizes` how many each
    cluster has, `[clusters]`. A row is the same cluster on both sides; one that a side does not have has a
    size of 0 there.
    """
    sides = [_Side(*given) for given in ((held_first, sizes_first), (held_second, sizes_second))]
    one, two = sides
    difference = two.rates - one.rates
    freedom = _freedom(one, two)
    correlation = _correlation(one, two)

    def bounds(critical: Floats) -> tuple[Floats, Floats]:
        (low_one, high_one), (low_two, high_two) = one.limits(critical), two.limits(critical)
        below, above = two.rates - low_two, high_two - two.rates
        other_below, other_above = one.rates - low_one, high_one - one.rates
        down = below**2 + other_above**2 - 2 * correlation * below * other_above
        up = above**2 + other_below**2 - 2 * correlation * above * other_below
        return difference - np.sqrt(down.clip(0)), difference + np.sqrt(up.clip(0))

    low, high = bounds(np.array([_critical(LEVEL, degrees) for degrees in freedom]))
    reach = _smallest_that_reaches(bounds, len(difference))
    p = np.array([_two_sided(*pair) for pair in zip(reach.tolist(), freedom, strict=True)])
    unknown = np.full(len(difference), min(one.clusters, two.clusters) < 2)
    low, high, p = (np.where(unknown, np.nan, values) for values in (low.clip(-1), high.clip(max=1), p))
    return RateDifferences(one.rates, two.rates, difference, low, high, p)


def holm(p: ArrayLike) -> Floats:
    """Correct p-values `[labels]` for their number, as Holm (1979) does; NaN stays, and is not counted."""
    values = np.asarray(p, np.float64)
    corrected = np.full(len(values), np.nan)
    order = [place for place in np.argsort(values).tolist() if not math.isnan(values[place])]
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * float(values[place])))
        corrected[place] = largest
    return corrected


class _Side:
    def __init__(self, held: ArrayLike, sizes: ArrayLike) -> None:
        counts, lengths = np.asarray(held, np.float64), np.asarray(sizes, np.float64)
        total = lengths.sum()
        self.clusters = int((lengths > 0).sum())
        with np.errstate(invalid="ignore"):
            self.rates: Floats = counts.sum(axis=0) / total
        # By how much each cluster moves the rate.
        self.influences: Floats = (counts - lengths[:, None] * self.rates) / max(total, 1)
        inflation = self.clusters / max(self.clusters - 1, 1)
        self.variances: Floats = inflation * (self.influences**2).sum(axis=0)
        # Sentences of one document do not know more of each other than nothing: fewer count, never more.
        spread = self.rates * (1 - self.rates)
        some = self.variances > 0
        self.effective: Floats = np.minimum(
            np.divide(spread, self.variances, out=np.full(len(spread), total), where=some), total
        )

        # A variance is known as well as its square is: where few clusters hold a label, badly.
        squares, fourths = (self.influences**2).sum(axis=0), (self.influences**4).sum(axis=0)
        kurtosis = np.divide(self.clusters * fourths, squares**2, out=np.full(len(spread), 3.0), where=some)
        self.freedom: Floats = np.clip(
            2 * self.clusters / np.maximum(kurtosis - 1, 1e-9), 1, max(self.clusters - 1, 1)
        )

    def limits(self, critical: Floats) -> tuple[Floats, Floats]:
        share = critical**2 / np.maximum(self.effective, 1e-9)
        middle = self.rates + share / 2
        half = np.sqrt(share * (self.rates * (1 - self.rates) + share / 4))
        return (middle - half) / (1 + share), (middle + half) / (1 + share)


def _freedom(one: _Side, two: _Side) -> list[int]:
    # Welch and Satterthwaite: many clusters on one side do not make up for few on the other.
    above = (one.variances + two.variances) ** 2
    below = one.variances**2 / one.freedom + two.variances**2 / two.freedom
    fallback = np.full(len(above), float(max(one.clusters + two.clusters - 2, 1)))
    freedom = np.divide(above, below, out=fallback, where=below > 0)
    return [int(degrees) for degrees in np.clip(np.floor(freedom + 1e-9), 1, _MOST_FREEDOM)]


def _correlation(one: _Side, two: _Side) -> Floats:
    product = (one.influences * two.influences).sum(axis=0)
    scale = np.sqrt((one.influences**2).sum(axis=0) * (two.influences**2).sum(axis=0))
    correlation: Floats = np.divide(product, scale, out=np.zeros(len(scale)), where=scale > 0)
    return correlation


def _smallest_that_reaches(bounds: Callable[[Floats], tuple[Floats, Floats]], labels: int) -> Floats:
    # The critical value at which the interval takes in 0, by halving.
    below, above = np.zeros(labels), np.full(labels, _LARGEST_CRITICAL)
    for _ in range(_STEPS):
        middle = (below + above) / 2
        low, high = bounds(middle)
        reaches = (low <= 0) & (high >= 0)
        below, above = np.where(reaches, below, middle), np.where(reaches, middle, above)
    return above


@cache
def _critical(level: float, freedom: int) -> float:
    below, above = 0.0, 1_000.0
    for _ in range(_STEPS):
        middle = (below + above) / 2
        if _two_sided(middle, freedom) > 1 - level:
            below = middle
        else:
            above = middle
    return above


def _two_sided(t: float, freedom: int) -> float:
    # The chance that Student's t is beyond -t or t (Abramowitz and Stegun 26.7.3 and 26.7.4).
    if freedom >= _MOST_FREEDOM:
        return math.erfc(t / math.sqrt(2))
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    is_odd = freedom % 2 == 1
    term = total = math.cos(angle) if is_odd and freedom > 1 else float(not is_odd)
    for step in range(2 + is_odd, freedom - 1, 2):
        term *= square * (step - 1) / step
        total += term
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if is_odd else inside))

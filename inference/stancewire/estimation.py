"""Precision, recall and corrected counts from a probability sample, with intervals that follow its design.

The sentences of a collection, all of which a model has read, are divided into *bands* by what it said of a
label: it holds; it does not, but is near; it is far. How many sentences a band has is known. In which share
of a band the label truly holds is estimated from the sample, each sentence with its design weight (Hajek's
estimator), and the corrected count is the sum over the bands of size times share.

That is prediction-powered inference with its power tuned by regression (Angelopoulos et al. 2023,
https://doi.org/10.1126/science.adi6000; PPI++, https://arxiv.org/abs/2311.01453) and design-based supervised
learning (Egami et al. 2023, https://arxiv.org/abs/2306.04746) with the band as the prediction: the sum of
their `prediction + (drawn / probability of being drawn) * (truth - prediction)` is this figure, because the
weighted residuals of shares fitted by band are 0. Survey statistics calls it post-stratification (Holt and
Smith 1979, Journal of the Royal Statistical Society A 142:33). No model of the errors is assumed: it is right
on average over the samples that could have been drawn, however bad the model is; a good model makes the
interval short.

Intervals of shares are score intervals with the variance of the design: Wilson's (1927,
https://doi.org/10.1080/01621459.1927.10502953) where there is one stratum, and where there are several
widened as those of Fay and Feuer (1997, Statistics in Medicine 16:791) for sums of weighted rates. They are
joined for sums and ratios by the method of variance estimates recovery (Zou, Huang and Zhang 2009,
Computational Statistics and Data Analysis 53:1080; Donner and Zou 2012, Statistical Methods in Medical
Research 21:347). The usual normal intervals fail for rare labels: where the sample happens to hold none of
the sentences that the model missed, they say that there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BANDS: Final = 3
"""What the model said of a label: it holds, it is near, it is far."""

DECIDED, NEAR, FAR = range(BANDS)

FEWEST_IN_BAND: Final = 10
"""With fewer sampled sentences the bands near and far are one."""

_Z: Final = NormalDist().inv_cdf(0.975)
# How many sentences of a stratum the mean of its band counts for, where its own share is uncertain.
_SMOOTHING: Final = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Figures and the ends of their 95% intervals, each an array of the shape that was asked for.

    `count` is the number of sentences that hold the label; NaN stands where the sample says nothing.
    """

    precision: tuple[Floats, Floats, Floats]
    recall: tuple[Floats, Floats, Floats]
    count: tuple[Floats, Floats, Floats]


def estimate(
    sizes: ArrayLike, drawn: ArrayLike, bands: ArrayLike, seen: ArrayLike, held: ArrayLike
) -> Estimates:
    """Estimate one label in a collection, or in a part of one.

    `sizes` `[..., strata]` is how many sentences each stratum of the sample has, `drawn` `[..., strata]` how
    many of them were answered; `bands` `[..., BANDS]` how many sentences of the part each band has; `seen`
    and `held` `[..., strata, BANDS]` how many answered sentences of the part are in each stratum and band,
    and how many of those hold the label. Dimensions before these are computed side by side.
    """
    size, number = np.asarray(sizes, np.float64), np.asarray(drawn, np.float64)
    known, sampled, positive = _joined(bands, seen, held)
    weight = _ratio(size, number, 0.0)[..., None]
    left = (1 - np.minimum(_ratio(number, size, 1.0), 1.0))[..., None]

    total = (weight * sampled).sum(axis=-2)
    share = _ratio((weight * positive).sum(axis=-2), total, np.nan)
    low, high = _share_interval(weight, left, number[..., None], sampled, positive, total, share)

    # A band without sentences has nothing to hold; what is known to be empty needs no sample.
    empty = known == 0
    counts = [np.where(empty, 0.0, known * part) for part in (share, low, high)]
    found = [part[..., DECIDED] for part in counts]
    missed = _sum_up([part[..., NEAR:] for part in counts])
    every = _sum_up(counts)
    # Where no sampled sentence was decided on, the bands are one: precision is not known then.
    unknown = (known[..., DECIDED] == 0) | ~np.isfinite(share[..., DECIDED])
    precision = [np.where(unknown, np.nan, part[..., DECIDED]) for part in (share, low, high)]
    recall = [np.where(unknown, np.nan, part) for part in _recall(found, missed)]
    return Estimates(_three(precision), _three(recall), _three(every))


def _joined(bands: ArrayLike, seen: ArrayLike, held: ArrayLike) -> tuple[Floats, Floats, Floats]:
    sampled, positive = np.array(seen, np.float64), np.array(held, np.float64)
    known = np.broadcast_to(np.asarray(bands, np.float64), (*sampled.shape[:-2], BANDS)).copy()
    few = sampled.sum(axis=-2)[..., NEAR:].min(axis=-1) < FEWEST_IN_BAND
    _move(few, NEAR, FAR, known, sampled, positive)
    number = sampled.sum(axis=-2)
    unseen = ((known > 0) & (number == 0)).any(axis=-1)
    _move(unseen, DECIDED, FAR, known, sampled, positive)
    return known, sampled, positive


def _move(
    where: NDArray[np.bool_], source: int, target: int, known: Floats, sampled: Floats, positive: Floats
) -> None:
    for counts, mask in ((known, where), (sampled, where[..., None]), (positive, where[..., None])):
        counts[..., target] += np.where(mask, counts[..., source], 0)
        counts[..., source] = np.where(mask, 0, counts[..., source])


def _share_interval(
    weight: Floats,
    left: Floats,
    number: Floats,
    sampled: Floats,
    positive: Floats,
    total: Floats,
    share: Floats,
) -> tuple[Floats, Floats]:
    # The variance is that of the end, not of the figure. What is added on the way to the end that is farther
    # from 0 and 1 counts with the mean weight by size: it may lie in the stratum that is large, thinly drawn
    # and has shown nothing. That is what Fay and Feuer do for sums of weighted rates.
    within = (positive + _SMOOTHING * np.nan_to_num(share)[..., None, :]) / (sampled + _SMOOTHING)
    part = _ratio(sampled, number, 0.0)
    spread = within * (1 - within) + (within - share[..., None, :]) ** 2 * (1 - part)
    variance = _ratio((weight**2 * left * sampled * spread).sum(axis=-2), total**2, np.nan)
    even = _ratio(variance, share * (1 - share), 0.0)
    heavy = _ratio((weight**2 * left * sampled).sum(axis=-2), total**2, 0.0)
    rare = share < 0.5
    up = _reach(variance, np.where(rare, heavy, even), 1 - 2 * share)
    down = _reach(variance, np.where(rare, even, heavy), 2 * share - 1)
    return np.maximum(share - down, 0), np.minimum(share + up, 1)


def _reach(variance: Floats, weight: Floats, skew: Floats) -> Floats:
    # How far the end is: d with d**2 = z**2 (variance + d skew weight - d**2 weight).
    unit = _Z**2 * weight
    return (unit * skew + np.sqrt((unit * skew) ** 2 + 4 * (1 + unit) * _Z**2 * variance)) / (2 * (1 + unit))


def _sum_up(parts: list[Floats]) -> list[Floats]:
    value, low, high = parts
    total = value.sum(axis=-1)
    down = np.sqrt(((value - low) ** 2).sum(axis=-1))
    up = np.sqrt(((high - value) ** 2).sum(axis=-1))
    return [total, total - down, total + up]


def _recall(found: list[Floats], missed: list[Floats]) -> list[Floats]:
    # 1 / (1 + missed / found), the ratio's interval by the method of Donner and Zou.
    value, low, high = found
    lost, least, most = missed
    product = value * lost
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = np.maximum(product**2 - least * high * (2 * lost - least) * (2 * value - high), 0)
        lowest = (product - np.sqrt(inner)) / (high * (2 * value - high))
        inner = np.maximum(product**2 - most * low * (2 * lost - most) * (2 * value - low), 0)
        highest = (product + np.sqrt(inner)) / (low * (2 * value - low))
    recall = _ratio(value, value + lost, np.nan)
    upper = np.where(lost > 0, 1 / (1 + np.maximum(np.nan_to_num(lowest), 0)), 1.0)
    lower = np.where(low > 0, 1 / (1 + np.nan_to_num(highest, nan=np.inf, posinf=np.inf)), 0.0)
    known = np.isfinite(recall)
    ends = (np.minimum(lower, recall), np.maximum(upper, recall))
    return [recall, *(np.where(known, end, np.nan) for end in ends)]


def _three(parts: list[Floats]) -> tuple[Floats, Floats, Floats]:
    value, low, high = parts
    return value, low, high


def _ratio(numerator: ArrayLike, denominator: ArrayLike, otherwise: float) -> Floats:
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    ratio: Floats = np.divide(above, below, out=np.full(above.shape, otherwise), where=below != 0)
    return ratio

"""What is gained by leaving the sentences that a model is least sure of to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stancewire.metrics import RESAMPLES, Figure, measure

if TYPE_CHECKING:
    from stancewire.judgements import Judgements

COVERAGES: Final = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of the sentences that are kept, the surest first."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The sentences that are kept: those of a risk of at most `risk`.

    `wrong` is the share of them whose set of labels is wrong, `macro_f1` that of the labels that any of them
    holds; the intervals take the choice of sentences as given.
    """

    coverage: float
    sentences: int
    risk: float
    wrong: Figure
    macro_f1: Figure


def sentence_risk(probabilities: ArrayLike, decisions: ArrayLike) -> NDArray[np.float64]:
    """Compute the risk that a sentence's set of labels is wrong, `[sentences]`, by its own probabilities.

    It is one less the product over the labels of p where the label is said to hold and of 1 - p where it is
    not: labels are taken as independent. Both are `[sentences, labels]`.
    """
    scores = np.asarray(probabilities, np.float64)
    risk: NDArray[np.float64] = 1 - np.where(np.asarray(decisions) > 0, scores, 1 - scores).prod(axis=1)
    return risk


def measure_abstention(
    judgements: Judgements,
    coverages: Sequence[float] = COVERAGES,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Coverage, ...]:
    """Measure a model on the share of the sentences that it is surest of, for each of `coverages`.

    Of sentences of the same risk the earlier is kept.
    """
    risk = sentence_risk(judgements.probabilities, judgements.decisions)
    surest = np.argsort(risk, kind="stable")
    return tuple(
        _measure_kept(
            judgements, coverage, surest[: max(1, round(coverage * len(risk)))], risk, resamples, seed
        )
        for coverage in coverages
    )


def _measure_kept(
    judgements: Judgements,
    coverage: float,
    kept: NDArray[np.intp],
    risk: NDArray[np.float64],
    resamples: int,
    seed: int,
) -> Coverage:
    clusters = [judgements.clusters[row] for row in kept]
    metrics = measure(
        judgements.labels,
        judgements.targets[kept],
        judgements.decisions[kept],
        clusters=clusters,
        resamples=resamples,
        seed=seed,
    )
    right = metrics.exact_match
    return Coverage(
        coverage=coverage,
        sentences=len(kept),
        risk=float(risk[kept[-1]]),
        wrong=Figure(1 - right.value, 1 - right.high, 1 - right.low),
        macro_f1=metrics.macro_f1,
    )

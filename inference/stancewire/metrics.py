"""How well decisions and probabilities fit the annotated stances, with bootstrap intervals.

A figure that has no meaning is NaN, never a silent 0: recall, F1 and average precision of a label that no
sentence holds, precision of a label that is never predicted, Brier skill where all sentences agree. A label
that sentences hold and that is never predicted has an F1 of 0. Macro-F1 is the mean over the labels that have
an F1. Resamples in which a figure is not defined are left out of its interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

RESAMPLES: Final = 1000
# Weights of this many resamples times sentences are held at once: 32 MB.
_BLOCK: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure and its 95% bootstrap percentile interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """The figures of one label; `support` is the number of sentences that hold it.

    Average precision and the Brier figures need probabilities and are NaN for a system that only decides.
    """

    label: str
    support: int
    precision: Figure
    recall: Figure
    f1: Figure
    average_precision: Figure
    brier: Figure
    brier_skill: Figure


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of one system on a set of sentences.

    `exact_match` is the share of sentences whose set of labels is right in full.
    """

    sentences: int
    labels: tuple[LabelMetrics, ...]
    macro_f1: Figure
    micro_f1: Figure
    exact_match: Figure


@dataclass(frozen=True, slots=True)
class Differences:
    """What one system has more than another on the same sentences: of macro-F1, and of each label's F1."""

    macro_f1: Figure
    f1: tuple[Figure, ...]


def decide(probabilities: ArrayLike, thresholds: ArrayLike) -> Booleans:
    """Say which labels hold: probabilities `[sentences, labels]` at or above thresholds `[labels]`."""
    decisions: Booleans = np.asarray(probabilities, np.float64) >= np.asarray(thresholds, np.float64)
    return decisions


def best_thresholds(probabilities: ArrayLike, targets: ArrayLike) -> Floats:
    """Find for each label the threshold `[labels]` that gives the best F1 on these sentences.

    It lies midway between the lowest probability that it takes in and the highest that it leaves out, so that
    it does not hang on the last digit of one sentence. Of several that are as good it is the highest.
    Probabilities of 0 are never taken in; a label that no sentence holds, or that has no other probability,
    gets 0.5.
    """
    scores, held = _checked(probabilities, targets)
    return np.array([_best_threshold(*columns) for columns in zip(scores.T, held.T, strict=True)])


def threshold_curve(
    probabilities: ArrayLike, targets: ArrayLike, points: int = 64
) -> tuple[tuple[float, float, float], ...]:
    """List what thresholds of one label cost: `(threshold, precision, recall)`, thresholds rising.

    `probabilities` and `targets` are `[sentences]`. At most `points` of the probabilities that sentences have
    are taken, at equal distances of the ranks of those that hold the label.
    """
    scores, held = np.asarray(probabilities, np.float64), np.asarray(targets) > 0.5
    candidates = np.unique(scores[held])
    if not len(candidates):
        return ()
    kept = np.unique(np.linspace(0, len(candidates) - 1, points).round().astype(int))
    curve = []
    for threshold in candidates[kept]:
        decided = scores >= threshold
        hits = float((decided & held).sum())
        curve.append((float(threshold), hits / float(decided.sum()), hits / float(held.sum())))
    return tuple(curve)


def measure(
    labels: Sequence[str],
    targets: ArrayLike,
    decisions: ArrayLike,
    probabilities: ArrayLike | None = None,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Metrics:
    """Measure one system: targets, decisions and, if it has them, probabilities, each `[sentences, labels]`.

    `clusters` names the document of each sentence: the sentences of one are drawn together, since they are no
    independent samples. With `resamples` 0 the intervals are NaN. Average precision is scikit-learn's: the
    sum over the distinct probabilities of the gain in recall times the precision. Brier skill is
    1 - BS / BS_base, where BS_base is the Brier score of always giving the label's own base rate
    (https://en.wikipedia.org/wiki/Brier_score#Brier_Skill_Score_(BSS)).
    """
    decided, held = _checked(decisions, targets)
    scores = None if probabilities is None else _checked(probabilities, targets)[0]
    blocks = _weight_blocks(len(held), clusters, resamples, seed)
    values = _join(_figures(weights, held, decided > 0, scores) for weights in blocks)
    support = held.sum(axis=0).tolist()
    return Metrics(
        sentences=len(held),
        labels=tuple(
            LabelMetrics(label, support[column], *(_figure(values[name][:, column]) for name in _BY_LABEL))
            for column, label in enumerate(labels)
        ),
        macro_f1=_figure(values["macro_f1"]),
        micro_f1=_figure(values["micro_f1"]),
        exact_match=_figure(values["exact_match"]),
    )


def macro_f1(targets: ArrayLike, decisions: ArrayLike) -> float:
    """Compute the mean F1 over the labels that have one, without an interval."""
    decided, held = _checked(decisions, targets)
    return float(_counts(np.ones((1, len(held))), held, decided > 0)["macro_f1"][0])


def macro_f1_difference(
    targets: ArrayLike,
    decisions: ArrayLike,
    others: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Compare two systems on the same sentences: the macro-F1 of `decisions` less that of `others`.

    The bootstrap is paired: each resample of the sentences is taken for both.
    """
    both = (decisions, others)
    return f1_differences(targets, *both, clusters=clusters, resamples=resamples, seed=seed).macro_f1


def f1_differences(
    targets: ArrayLike,
    decisions: ArrayLike,
    others: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Differences:
    """Compare two systems on the same sentences: what the F1 of `decisions` has more than that of `others`.

    The bootstrap is paired: each resample of the sentences is taken for both.
    """
    decided, held = _checked(decisions, targets)
    compared = _checked(others, targets)[0]

    def difference(weights: Floats) -> dict[str, Floats]:
        one, other = _counts(weights, held, decided > 0), _counts(weights, held, compared > 0)
        return {name: one[name] - other[name] for name in ("macro_f1", "f1")}

    values = _join(map(difference, _weight_blocks(len(held), clusters, resamples, seed)))
    return Differences(_figure(values["macro_f1"]), tuple(map(_figure, values["f1"].T)))


def bootstrap_share(
    part: ArrayLike,
    whole: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Divide two counts, each `[sentences]`, summed over the sentences; NaN where the whole is 0."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    blocks = _weight_blocks(len(parts), clusters, resamples, seed)
    return _figure(np.concatenate([_ratio(weights @ parts, weights @ wholes) for weights in blocks]))


def bootstrap_f1(
    hits: ArrayLike,
    predicted: ArrayLike,
    annotated: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Compute the F1 of counts, each `[sentences]`, summed over the sentences.

    NaN where nothing is annotated, as with a label that no sentence holds.
    """
    found, said, held = (np.asarray(counts, np.float64) for counts in (hits, predicted, annotated))
    values = [
        np.where(weights @ held > 0, _ratio(2 * (weights @ found), weights @ (said + held)), np.nan)
        for weights in _weight_blocks(len(found), clusters, resamples, seed)
    ]
    return _figure(np.concatenate(values))


def is_better(difference: Figure) -> bool:
    """Say whether a system is better: the paired interval of the difference lies above 0."""
    return difference.low > 0


_BY_LABEL: Final = ("precision", "recall", "f1", "average_precision", "brier", "brier_skill")


def _checked(values: ArrayLike, targets: ArrayLike) -> tuple[Floats, Booleans]:
    array, held = np.asarray(values, dtype=np.float64), np.asarray(targets) > 0.5
    if array.ndim != 2 or array.shape != held.shape:
        raise ValueError(f"both should be [sentences, labels], they are {array.shape} and {held.shape}")
    return array, held


def _weight_blocks(
    sentences: int, clusters: Sequence[Hashable] | None, resamples: int, seed: int
) -> Iterator[Floats]:
    # How often each sentence is drawn, [resamples, sentences]; the first row of all is the sample itself.
    yield np.ones((1, sentences))
    if sentences == 0 or resamples == 0:
        return
    numbers: dict[Hashable, int] = {}
    names = range(sentences) if clusters is None else clusters
    members = np.array([numbers.setdefault(name, len(numbers)) for name in names])
    generator = np.random.default_rng(seed)
    step = max(1, _BLOCK // sentences)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(len(numbers), size=(rows, len(numbers)))
        drawn += np.arange(rows)[:, None] * len(numbers)
        counts = np.bincount(drawn.ravel(), minlength=rows * len(numbers)).reshape(rows, -1)
        yield counts[:, members].astype(np.float64)


def _figures(weights: Floats, held: Booleans, decided: Booleans, scores: Floats | None) -> dict[str, Floats]:
    figures = _counts(weights, held, decided)
    if scores is None:
        absent = np.full((len(weights), held.shape[1]), np.nan)
        return figures | dict.fromkeys(("average_precision", "brier", "brier_skill"), absent)
    total = weights.sum(axis=1, keepdims=True)
    rate = _ratio(weights @ held, total)
    brier = _ratio(weights @ (scores - held) ** 2, total)
    columns = [_average_precision(weights, *columns) for columns in zip(scores.T, held.T, strict=True)]
    return figures | {
        "average_precision": np.stack(columns, axis=1),
        "brier": brier,
        "brier_skill": 1 - _ratio(brier, rate * (1 - rate)),
    }


def _counts(weights: Floats, held: Booleans, decided: Booleans) -> dict[str, Floats]:
    hits = weights @ (held & decided)
    positives, predicted = weights @ held, weights @ decided
    f1 = np.where(positives > 0, _ratio(2 * hits, positives + predicted), np.nan)
    defined = positives > 0
    wrong = (held != decided).any(axis=1)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, positives),
        "f1": f1,
        "macro_f1": _ratio(np.where(defined, f1, 0).sum(axis=1), defined.sum(axis=1)),
        "micro_f1": np.where(
            defined.any(axis=1), _ratio(2 * hits.sum(axis=1), (positives + predicted).sum(axis=1)), np.nan
        ),
        "exact_match": _ratio(weights @ ~wrong, weights.sum(axis=1)),
    }


def _average_precision(weights: Floats, scores: Floats, held: Booleans) -> Floats:
    order = np.argsort(-scores, kind="stable")
    drawn = weights[:, order]
    # Sentences of one probability come in together: only the last of them is a point of the curve.
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    taken = np.cumsum(drawn, axis=1)[:, last]
    hits = np.cumsum(drawn * held[order], axis=1)[:, last]
    gained = np.diff(hits, axis=1, prepend=0)
    return _ratio((gained * np.nan_to_num(_ratio(hits, taken))).sum(axis=1), gained.sum(axis=1))


def _best_threshold(scores: Floats, held: Booleans) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked = np.append(scores[order], 0.0)
    last = np.flatnonzero(np.diff(ranked))
    if not held.any() or not len(last):
        return 0.5
    hits = np.cumsum(held[order])[last]
    best = last[np.argmax(2 * hits / (last + 1 + held.sum()))]
    above, below = float(ranked[best]), float(ranked[best + 1])
    middle = (above + below) / 2
    return middle if middle > below else above


def _join(blocks: Iterator[dict[str, Floats]]) -> dict[str, Floats]:
    parts = list(blocks)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ratio(numerator: Any, denominator: Any) -> Floats:
    # NaN where the denominator is 0, without numpy's warning.
    above, below = np.broadcast_arrays(numerator, denominator)
    ratio: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    return ratio


def _figure(values: Floats) -> Figure:
    resampled = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(resampled, (2.5, 97.5)) if len(resampled) else (np.nan, np.nan)
    return Figure(float(values[0]), float(low), float(high))

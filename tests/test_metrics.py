from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stancewire.metrics import (
    best_thresholds,
    decide,
    is_better,
    macro_f1,
    macro_f1_difference,
    measure,
)

LABELS = ("praise", "blame", "offer")


def draw(sentences: int, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    targets = generator.random((sentences, len(LABELS))) < 0.3
    noise = generator.random(targets.shape)
    # Two decimals, so that sentences share a probability.
    return targets, np.round(0.6 * noise + 0.4 * targets, 2).astype(np.float32)


@st.composite
def scored_sentences(draw_from: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    sentences = draw_from(st.integers(1, 12))
    shares = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
    held = draw_from(st.lists(st.booleans(), min_size=sentences, max_size=sentences))
    scores = draw_from(st.lists(shares, min_size=sentences, max_size=sentences))
    return np.array(held).reshape(-1, 1), np.array(scores).reshape(-1, 1)


def test_every_figure_is_that_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    targets, probabilities = draw(300)
    decisions = decide(probabilities, [0.4, 0.5, 0.6])

    metrics = measure(LABELS, targets, decisions, probabilities, resamples=0)

    precision, recall, f1, support = sklearn.precision_recall_fscore_support(targets, decisions)
    assert [row.support for row in metrics.labels] == support.tolist()
    assert [row.precision.value for row in metrics.labels] == pytest.approx(precision)
    assert [row.recall.value for row in metrics.labels] == pytest.approx(recall)
    assert [row.f1.value for row in metrics.labels] == pytest.approx(f1)
    assert [row.average_precision.value for row in metrics.labels] == pytest.approx(
        sklearn.average_precision_score(targets, probabilities, average=None)
    )
    assert [row.brier.value for row in metrics.labels] == pytest.approx(
        [sklearn.brier_score_loss(targets[:, column], probabilities[:, column]) for column in range(3)]
    )
    assert metrics.macro_f1.value == pytest.approx(sklearn.f1_score(targets, decisions, average="macro"))
    assert metrics.micro_f1.value == pytest.approx(sklearn.f1_score(targets, decisions, average="micro"))
    assert metrics.exact_match.value == pytest.approx(sklearn.accuracy_score(targets, decisions))


@given(scored_sentences())
def test_average_precision_is_that_of_scikit_learn_for_any_ties(scored: tuple) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    targets, probabilities = np.vstack([scored[0], [[True]]]), np.vstack([scored[1], [[0.25]]])

    metrics = measure(["praise"], targets, probabilities > 0.5, probabilities, resamples=0)

    expected = sklearn.average_precision_score(targets[:, 0], probabilities[:, 0])
    assert metrics.labels[0].average_precision.value == pytest.approx(expected)


def test_brier_skill_is_0_for_the_base_rate_and_1_for_certainty() -> None:
    targets = np.array([[1, 1], [0, 0], [0, 0], [0, 0]])
    probabilities = np.array([[0.25, 1.0], [0.25, 0.0], [0.25, 0.0], [0.25, 0.0]])

    metrics = measure(["praise", "blame"], targets, targets, probabilities, resamples=0)

    assert [row.brier_skill.value for row in metrics.labels] == pytest.approx([0.0, 1.0])


def test_a_label_that_is_held_but_never_predicted_has_an_f1_of_0() -> None:
    targets = np.array([[True], [False]])

    metrics = measure(["praise"], targets, np.zeros((2, 1)), resamples=0)

    assert metrics.labels[0].f1.value == 0
    assert metrics.labels[0].recall.value == 0
    assert math.isnan(metrics.labels[0].precision.value)


def test_a_label_that_no_sentence_holds_has_no_f1_and_is_left_out_of_macro_f1() -> None:
    targets = np.array([[True, False], [False, False]])
    decisions = np.array([[True, True], [False, False]])

    metrics = measure(["praise", "blame"], targets, decisions, decisions, resamples=50)

    undefined = metrics.labels[1]
    assert math.isnan(undefined.f1.value)
    assert math.isnan(undefined.f1.low)
    assert math.isnan(undefined.recall.value)
    assert math.isnan(undefined.average_precision.value)
    assert math.isnan(undefined.brier_skill.value)
    assert undefined.precision.value == 0
    assert metrics.macro_f1.value == 1
    assert metrics.micro_f1.value == pytest.approx(2 / 3)


def test_nothing_to_measure_gives_figures_that_are_not_defined() -> None:
    metrics = measure(LABELS, np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)))

    assert metrics.sentences == 0
    assert math.isnan(metrics.macro_f1.value)
    assert math.isnan(metrics.exact_match.value)


def test_a_system_that_only_decides_has_no_average_precision() -> None:
    targets, probabilities = draw(40)

    metrics = measure(LABELS, targets, probabilities > 0.5, resamples=20)

    assert math.isnan(metrics.labels[0].average_precision.value)
    assert math.isnan(metrics.labels[0].brier_skill.low)
    assert metrics.labels[0].f1.low <= metrics.labels[0].f1.value <= metrics.labels[0].f1.high


def test_tables_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(3, 3\)"):
        measure(LABELS, np.zeros((3, 3)), np.zeros((3, 2)))


def test_intervals_are_those_of_a_bootstrap_drawn_sentence_by_sentence() -> None:
    targets, probabilities = draw(200)
    decisions = decide(probabilities, [0.5] * 3)
    generator = np.random.default_rng(7)
    samples = [generator.integers(200, size=200) for _ in range(1000)]
    expected = np.percentile([macro_f1(targets[rows], decisions[rows]) for rows in samples], (2.5, 97.5))

    figure = measure(LABELS, targets, decisions).macro_f1

    assert (figure.low, figure.high) == pytest.approx(expected, abs=0.01)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    targets, probabilities = draw(60)
    decisions = decide(probabilities, [0.5] * 3)

    first = measure(LABELS, targets, decisions, probabilities, seed=3)
    again = measure(LABELS, targets, decisions, probabilities, seed=3)
    other = measure(LABELS, targets, decisions, probabilities, seed=4)

    assert first == again
    assert first.macro_f1 != other.macro_f1
    assert first.macro_f1.value == other.macro_f1.value


def test_memory_is_bounded_and_the_size_of_a_block_does_not_change_an_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets, probabilities = draw(50)
    decisions = decide(probabilities, [0.5] * 3)
    in_one_block = measure(LABELS, targets, decisions, probabilities, resamples=90)

    monkeypatch.setattr("stancewire.metrics._BLOCK", 50 * 7)
    in_many_blocks = measure(LABELS, targets, decisions, probabilities, resamples=90)

    assert in_many_blocks == in_one_block


def test_sentences_of_one_document_are_drawn_together() -> None:
    # Ten sentences that say the same are one observation: the interval is that of the documents.
    targets = np.repeat([[True], [True], [False], [True]], 10, axis=0)
    decisions = np.repeat([[True], [False], [False], [True]], 10, axis=0)
    documents = np.repeat(["a", "b", "c", "d"], 10).tolist()

    apart = measure(["praise"], targets, decisions).exact_match
    together = measure(["praise"], targets, decisions, clusters=documents).exact_match

    assert together.value == apart.value == 0.75
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_clusters_of_one_sentence_each_are_no_clusters() -> None:
    targets, probabilities = draw(30)
    decisions = decide(probabilities, [0.5] * 3)

    names = [f"document {number}" for number in range(30)]
    alone = measure(LABELS, targets, decisions, probabilities, clusters=names)

    assert alone == measure(LABELS, targets, decisions, probabilities)


def test_the_paired_interval_excludes_0_where_one_system_is_clearly_better() -> None:
    targets, probabilities = draw(400)

    difference = macro_f1_difference(targets, probabilities > 0.5, np.zeros_like(targets))

    assert 0 < difference.low < difference.value < difference.high
    assert is_better(difference)


def test_a_system_is_not_better_than_itself() -> None:
    targets, probabilities = draw(50)

    difference = macro_f1_difference(targets, probabilities > 0.5, probabilities > 0.5)

    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert not is_better(difference)


def test_the_pairing_makes_the_interval_narrower_than_those_of_the_two_systems() -> None:
    targets, probabilities = draw(300)
    ours, theirs = probabilities > 0.5, probabilities > 0.52

    difference = macro_f1_difference(targets, ours, theirs)

    alone = measure(LABELS, targets, ours).macro_f1
    assert difference.high - difference.low < (alone.high - alone.low) / 2


def test_a_probability_at_the_threshold_holds() -> None:
    held = decide(np.array([[0.5], [0.49]], dtype=np.float32), [0.5])

    assert held.tolist() == [[True], [False]]


@given(scored_sentences())
def test_no_threshold_above_0_gives_a_better_f1_than_the_best_one(scored: tuple) -> None:
    targets, probabilities = np.vstack([scored[0], [[True]]]), np.vstack([scored[1], [[0.5]]])

    (threshold,) = best_thresholds(probabilities, targets)

    best = macro_f1(targets, decide(probabilities, [threshold]))
    others = [macro_f1(targets, decide(probabilities, [cut])) for cut in (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)]
    assert 0 < threshold <= 1
    assert best >= max(others)


def test_the_best_threshold_lies_midway_between_what_it_takes_in_and_what_it_leaves_out() -> None:
    thresholds = best_thresholds([[0.9], [0.7], [0.3], [0.1]], [[1], [1], [0], [0]])

    assert thresholds == pytest.approx([0.5])


def test_a_label_without_examples_has_the_threshold_one_half() -> None:
    thresholds = best_thresholds([[0.9, 0.0], [0.7, 0.0]], [[0, 1], [0, 0]])

    assert thresholds.tolist() == [0.5, 0.5]

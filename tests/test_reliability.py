from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire.reliability import measure_reliability, reliability_bins, wilson_interval


@pytest.mark.parametrize(
    ("held", "count", "low", "high"),
    # R: prop.test(held, count, correct = FALSE)
    [
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (1, 100, 0.0017674, 0.0544862),
    ],
)
def test_the_interval_is_wilsons(held, count, low, high):
    assert wilson_interval(held, count) == pytest.approx((low, high), abs=1e-6)


def test_nothing_has_no_interval():
    assert all(map(math.isnan, wilson_interval(0, 0)))


@given(st.integers(1, 500).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(counts):
    low, high = wilson_interval(*counts)

    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_predictions_from_a_fifth_on_are_compared():
    probabilities = [0.1, 0.19, 0.2, 0.6, 1.0]
    held = [True, True, False, True, True]

    figures = measure_reliability("praise", probabilities, held)

    assert figures.predictions == 3
    assert figures.expected == pytest.approx(0.6)
    assert figures.observed == pytest.approx(2 / 3)


def test_float32_probabilities_of_a_fifth_count():
    assert measure_reliability("praise", np.array([0.2], np.float32), [True]).predictions == 1


def test_a_share_far_from_what_is_expected_is_not_reliable():
    assert measure_reliability("praise", [0.9] * 200, [True, False] * 100).is_reliable is False


def test_a_share_within_the_tolerance_is_reliable_whatever_its_interval():
    count = 20_000
    held = np.arange(count) < 0.54 * count

    figures = measure_reliability("praise", [0.5] * count, held)

    assert figures.low > 0.5
    assert figures.is_reliable is True


def test_a_share_whose_interval_holds_the_expectation_is_reliable():
    figures = measure_reliability("praise", [0.5] * 5, [True, True, True, True, False])

    assert figures.observed - figures.expected > 0.05
    assert figures.is_reliable is True


def test_without_a_likely_prediction_nothing_is_said():
    figures = measure_reliability("praise", [0.1, 0.0], [False, True])

    assert figures.predictions == 0
    assert figures.is_reliable is None
    assert math.isnan(figures.expected)


def test_bins_have_equal_counts_above_the_many_unlikely_ones():
    probabilities = np.concatenate([np.full(900, 0.01), np.linspace(0.05, 0.99, 180)])

    bins = reliability_bins(probabilities, probabilities > 0.5)

    assert [row.sentences for row in bins] == [900, *[20] * 9]
    assert [row.observed for row in bins][-1] == 1.0


def test_few_likely_predictions_make_few_bins():
    probabilities = np.concatenate([np.full(50, 0.01), np.linspace(0.1, 0.9, 25)])

    assert [row.sentences for row in reliability_bins(probabilities, probabilities > 0.5)] == [50, 12, 13]


def test_equal_probabilities_stay_in_one_bin():
    probabilities = [0.5] * 70 + [0.9] * 30

    assert [row.sentences for row in reliability_bins(probabilities, [True] * 100)] == [70, 30]


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), max_size=200))
def test_bins_hold_every_sentence_once_and_rise(pairs):
    probabilities = [probability for probability, _ in pairs]

    bins = reliability_bins(probabilities, [held for _, held in pairs])

    assert sum(row.sentences for row in bins) == len(pairs)
    assert len(bins) <= 10
    assert [row.expected for row in bins] == sorted(row.expected for row in bins)
    assert all(row.low <= row.observed <= row.high for row in bins)

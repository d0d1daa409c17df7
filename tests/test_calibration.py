"""From logits to probabilities: what Platt scaling finds, what it leaves alone, and folding it in."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from stancewire.runtime import sigmoid  # noqa: E402
from stancewire_training.calibration import Calibration, fit_platt, fold_into  # noqa: E402


def draw(slope: float, intercept: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=2, size=(count, 1)).astype(np.float32)
    targets = generator.random((count, 1)) < sigmoid(np.float32(slope) * logits + np.float32(intercept))
    return logits, targets.astype(np.float32)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (2.0, -1.0), (0.4, -2.0), (3.0, 0.5)])
def test_platt_recovers_the_slope_and_intercept_that_made_the_targets(slope, intercept):
    logits, targets = draw(slope, intercept)

    found = fit_platt(logits, targets, ["praise"])

    assert found.slopes[0] == pytest.approx(slope, rel=0.08)
    assert found.intercepts[0] == pytest.approx(intercept, abs=0.1)


def test_each_label_has_its_own_slope_and_intercept():
    first, second = draw(2.0, -1.0), draw(0.5, 1.0)

    both = fit_platt(np.hstack([first[0], second[0]]), np.hstack([first[1], second[1]]), ["praise", "blame"])

    assert both.slopes == (*fit_platt(*first, ["praise"]).slopes, *fit_platt(*second, ["blame"]).slopes)


def test_calibrated_probabilities_average_to_the_share_of_sentences_that_hold_the_label():
    logits, targets = draw(2.0, -1.0, 2000)

    found = fit_platt(logits, targets, ["praise"])

    calibrated = sigmoid(np.float32(found.slopes[0]) * logits + np.float32(found.intercepts[0]))
    assert calibrated.mean() == pytest.approx(targets.mean(), abs=0.002)


def test_a_label_that_the_logits_separate_gets_no_infinite_slope():
    logits = np.array([[-3.0], [-2.0], [2.0], [3.0]], dtype=np.float32)
    targets = np.array([[0.0], [0.0], [1.0], [1.0]], dtype=np.float32)

    found = fit_platt(logits, targets, ["praise"])

    assert 0 < found.slopes[0] < 10


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ([0, 0, 0, 0], "held by none or by all"),
        ([1, 1, 1, 1], "held by none or by all"),
        ([1, 1, 0, 0], "do not rise"),
    ],
)
def test_a_label_that_cannot_be_calibrated_is_left_alone_with_a_warning(targets, reason, caplog):
    logits = np.array([[-2.0], [-1.0], [1.0], [2.0]], dtype=np.float32)

    with caplog.at_level(logging.WARNING):
        found = fit_platt(logits, np.array([targets], dtype=np.float32).T, ["praise"])

    assert found == Calibration((1.0,), (0.0,))
    assert "praise" in caplog.text
    assert reason in caplog.text


@given(
    slopes=st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
    intercepts=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_folding_into_the_last_layer_equals_applying(slopes, intercepts, seed):
    torch.manual_seed(seed)
    layer, inputs = torch.nn.Linear(8, 3), torch.randn(5, 8)
    applied = np.float32(slopes) * layer(inputs).detach().numpy() + np.float32(intercepts)

    fold_into(layer, Calibration(tuple(slopes), tuple(intercepts)))

    np.testing.assert_allclose(layer(inputs).detach().numpy(), applied, rtol=1e-4, atol=1e-4)


def test_the_sigmoid_is_exact_in_the_middle_and_silent_at_the_ends():
    logits = np.array([-1000, -89, -1, 0, 1, 89, 1000], dtype=np.float32)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = sigmoid(logits)

    assert probabilities.dtype == np.float32
    expected = 1 / (1 + np.exp(-logits[1:-1].astype(np.float64)))
    np.testing.assert_allclose(probabilities[1:-1], expected, rtol=1e-6, atol=1e-38)
    assert probabilities[[0, 3, -1]].tolist() == [0.0, 0.5, 1.0]

"""Thresholds for a wanted precision or recall, and probabilities for other shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire import StanceClassifier
from stancewire.errors import StancewireError
from stancewire.manifest import Calibration, Manifest, parse_manifest
from stancewire.metrics import threshold_curve
from stancewire.operating_point import NEVER, prior_shifts, with_thresholds

CURVE = ((0.1, 0.4, 1.0), (0.3, 0.7, 0.8), (0.6, 0.95, 0.5), (0.9, 0.9, 0.2))


def manifest(**values: object) -> Manifest:
    calibration = Calibration("news", 100, {"a": 0.1, "b": 0.5}, {"a": CURVE, "b": ((0.5, 0.6, 1.0),)})
    return Manifest("m", ("a", "b"), (0.5, 0.5), 64, {}, **{"calibration": calibration} | values)


def test_a_wanted_precision_takes_the_lowest_threshold_that_had_it() -> None:
    assert with_thresholds(manifest(), precision=0.9).thresholds == (0.6, NEVER)
    assert with_thresholds(manifest(), precision=0.6).thresholds == (0.3, 0.5)


def test_a_wanted_recall_takes_the_highest_threshold_that_had_it() -> None:
    assert with_thresholds(manifest(), recall=0.8).thresholds == (0.3, 0.5)


def test_without_a_wish_nothing_changes() -> None:
    assert with_thresholds(manifest()) == manifest()


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"precision": 0.9, "recall": 0.9}, "both"),
        ({"precision": 1.5}, "at most 1"),
        ({"recall": 0.0}, "above 0"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(wishes: dict, said: str) -> None:
    with pytest.raises(StancewireError, match=said):
        with_thresholds(manifest(), **wishes)


def test_a_model_without_curves_says_so() -> None:
    with pytest.raises(StancewireError, match="without figures"):
        with_thresholds(manifest(calibration=None), precision=0.9)
    with pytest.raises(StancewireError, match="without figures"):
        prior_shifts(manifest(calibration=None), {"a": 0.2})


def test_a_prior_moves_the_odds_by_those_of_the_shares() -> None:
    shifts = prior_shifts(manifest(), {"b": 0.2})

    assert shifts.dtype == np.float32
    assert shifts.tolist() == pytest.approx([0.0, np.log(0.25)], abs=1e-6)


def test_the_models_own_share_moves_nothing() -> None:
    assert prior_shifts(manifest(), {"a": 0.1}).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("prior", [{"c": 0.1}, {"a": 0.0}, {"a": 1.0}, {"a": -1.0}])
def test_a_prior_that_makes_no_sense_is_refused(prior: dict) -> None:
    with pytest.raises(StancewireError):
        prior_shifts(manifest(), prior)


def test_calibration_stands_in_the_manifest_and_is_read_back() -> None:
    whole = Manifest(
        "m", ("a", "b"), (0.5, 0.5), 64, {"model.onnx": "0", "tokenizer.json": "0"},
        calibration=manifest().calibration,
    )  # fmt: skip

    assert parse_manifest(whole.to_json(), "stance.json") == whole


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_a_curve_tells_the_precision_and_recall_of_its_thresholds(rows: list, points: int) -> None:
    scores, held = (np.array(column) for column in zip(*rows, strict=True))

    curve = threshold_curve(scores, held, points)

    assert len(curve) <= max(points, 2)
    assert [threshold for threshold, _, _ in curve] == sorted({threshold for threshold, _, _ in curve})
    for threshold, precision, recall in curve:
        decided = scores >= threshold
        assert precision == pytest.approx((decided & held).sum() / decided.sum())
        assert recall == pytest.approx((decided & held).sum() / held.sum())


def test_a_classifier_takes_priors_and_abstains(tiny_model) -> None:
    plain = StanceClassifier.load(tiny_model)
    texts = ["They will pay for this.", "It rained."]
    low = StanceClassifier.load(tiny_model, prior=dict.fromkeys(plain.labels, 1e-6))
    careful = StanceClassifier.load(tiny_model, abstain=0.0)

    assert (low.probabilities(texts) < plain.probabilities(texts)).all()
    assert all(p.uncertain == (p.risk > 0) for p in careful.predict(texts))
    assert not any(p.uncertain for p in plain.predict(texts))
    with pytest.raises(StancewireError, match="prior cannot be combined"):
        StanceClassifier.load(tiny_model, precision=0.5, prior={plain.labels[0]: 0.1})

"""Other thresholds, and other shares, than those that a model was calibrated for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.manifest import Calibration, Manifest

NEVER: Final = 1.0
"""The threshold of a label that is not to be found: no probability is as high."""


def with_thresholds(
    manifest: Manifest, *, precision: float | None = None, recall: float | None = None
) -> Manifest:
    """Return a manifest whose thresholds had a wanted precision or recall where the model was calibrated.

    Precision: for each label the lowest threshold that had it, for the most recall. Recall: the highest
    threshold that still had it. A label that never had it gets the threshold NEVER. Raises StancewireError if
    both are asked for, if one is no share, or if the model has no curves.
    """
    if precision is None and recall is None:
        return manifest
    if precision is not None and recall is not None:
        raise StancewireError("a precision and a recall cannot be had both: ask for one")
    name, wanted = ("precision", precision) if precision is not None else ("recall", recall)
    assert wanted is not None
    if not 0 < wanted <= 1:
        raise StancewireError(f"the {name} should be above 0 and at most 1, not {wanted}")
    calibration = _calibration(manifest, f"a wanted {name}")
    choose = _for_precision if precision is not None else _for_recall
    thresholds = tuple(choose(calibration.curves[label], wanted) for label in manifest.labels)
    return replace(manifest, thresholds=thresholds)


def prior_shifts(manifest: Manifest, prior: Mapping[str, float]) -> NDArray[np.float32]:
    """Say by how much each label's logit moves for other shares: float32 `[labels]`, 0 where none is given.

    The log odds of the new share less those of the share that the model was calibrated at (Saerens et al.
    2002, https://doi.org/10.1162/089976602753284446). Raises StancewireError for a label that the model does
    not know, for what is no share, or if the model does not say its shares.
    """
    shifts = np.zeros(len(manifest.labels), dtype=np.float32)
    for label, share in prior.items():
        if label not in manifest.labels:
            raise StancewireError(
                f"there is no label {label!r}: the model knows {', '.join(manifest.labels)}"
            )
        if not 0 < share < 1:
            raise StancewireError(f"the prior of {label} should be a share between 0 and 1, not {share}")
        known = _calibration(manifest, "a prior").shares[label]
        if not 0 < known < 1:
            raise StancewireError(f"the model was calibrated where {label} had a share of {known}: no prior")
        shifts[manifest.labels.index(label)] = _log_odds(share) - _log_odds(known)
    return shifts


def _calibration(manifest: Manifest, what: str) -> Calibration:
    if manifest.calibration is None:
        raise StancewireError(f"{manifest.name} was made without figures for {what}")
    return manifest.calibration


def _for_precision(curve: tuple[tuple[float, float, float], ...], wanted: float) -> float:
    return min((threshold for threshold, precision, _ in curve if precision >= wanted), default=NEVER)


def _for_recall(curve: tuple[tuple[float, float, float], ...], wanted: float) -> float:
    return max((threshold for threshold, _, recall in curve if recall >= wanted), default=NEVER)


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))

"""From logits to probabilities that mean something."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A slope and an intercept a label: the calibrated logit is `slope * logit + intercept`."""

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]


def fit_platt(
    logits: NDArray[np.float32], targets: NDArray[np.float32], labels: Sequence[str]
) -> Calibration:
    """Fit Platt scaling on held-out rows, both `[sentences, labels]`.

    With the smoothed targets of Platt (1999), "Probabilistic outputs for support vector machines": (N+ + 1) /
    (N+ + 2) for positives and 1 / (N- + 2) for negatives, so that a separable label gets no infinite slope. A
    label without positives or negatives, or whose logits do not rise with its targets, is left as it is, with
    a warning that names it.
    """
    pairs = [_fit_label(*columns) for columns in zip(labels, logits.T, targets.T, strict=True)]
    return Calibration(tuple(slope for slope, _ in pairs), tuple(intercept for _, intercept in pairs))


def fold_into(layer: torch.nn.Linear, calibration: Calibration) -> None:
    """Fold slopes and intercepts into the last layer, so that every runtime gives the calibrated logits."""
    slopes = torch.tensor(calibration.slopes, dtype=layer.weight.dtype, device=layer.weight.device)
    intercepts = torch.tensor(calibration.intercepts, dtype=layer.bias.dtype, device=layer.bias.device)
    with torch.no_grad():
        layer.weight.mul_(slopes.unsqueeze(1))
        layer.bias.mul_(slopes).add_(intercepts)


def _fit_label(label: str, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> tuple[float, float]:
    positives = int(targets.sum())
    negatives = len(targets) - positives
    if not positives or not negatives:
        logger.warning(
            "%s is held by none or by all of the held-out sentences: its logits are not calibrated", label
        )
        return 1.0, 0.0
    smoothed = np.where(targets > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # A row with target t is a positive of weight t and a negative of weight 1 - t.
    rows = np.concatenate([logits, logits]).reshape(-1, 1)
    outcomes = np.repeat([1, 0], len(targets))
    weights = np.concatenate([smoothed, 1 - smoothed])
    model = LogisticRegression(C=np.inf, max_iter=1000).fit(rows, outcomes, sample_weight=weights)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        logger.warning(
            "the logits of %s do not rise with its targets on held-out sentences: they are not calibrated",
            label,
        )
        return 1.0, 0.0
    return slope, intercept

"""An `evaluate.Metric` for multi-label stances, made from its class: no script, no hub, no cache folder.

`StanceMetric(["praise", "blame"]).compute(predictions=probabilities, references=targets)` gives
`{"macro_f1": ..., "f1_praise": ..., ...}`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike
from transformers import EvalPrediction

from stancewire.metrics import best_thresholds, decide, measure
from stancewire.runtime import sigmoid

Thresholds = Literal["best_f1", "half"] | Sequence[float]

_DESCRIPTION = "F1, precision, recall and average precision of a multi-label classifier."
_INPUTS = """
Args:
    predictions: the probability of each label, `[sentences, labels]`.
    references: 1 for each label that a sentence holds, 0 for the others, `[sentences, labels]`.
Returns:
    macro_f1, micro_f1, exact_match, and f1_LABEL, precision_LABEL, recall_LABEL, average_precision_LABEL for
    each label; NaN where a figure is not defined, such as the recall of a label that no sentence holds.
"""


class StanceMetric(evaluate.Metric):  # type: ignore[misc]
    """The figures of `stancewire.metrics` as a metric of the `evaluate` library.

    `thresholds` is `best_f1` (for each label the threshold of best F1 on the sentences given, an optimistic
    figure that is right for choosing between epochs), `half` (0.5 for each), or a probability for each label.
    Other arguments are those of `evaluate.Metric`; predictions stay in memory unless processes share them.
    """

    def __init__(self, labels: Sequence[str], thresholds: Thresholds = "best_f1", **kwargs: Any) -> None:
        if thresholds not in ("best_f1", "half") and len(thresholds) != len(labels):
            raise ValueError(
                f"thresholds should be best_f1, half or {len(labels)} figures, not {thresholds!r}"
            )
        self.labels = tuple(labels)
        self.thresholds = thresholds
        super().__init__(**{"keep_in_memory": kwargs.get("num_process", 1) == 1, **kwargs})

    def _info(self) -> evaluate.MetricInfo:
        row = datasets.List(datasets.Value("float32"), length=len(self.labels))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": row, "references": row}),
        )

    def _build_data_dir(self) -> str:
        # The base class makes a folder in the user's cache even when everything stays in memory.
        if self.keep_in_memory:
            return str(self._data_dir_root)
        return str(super()._build_data_dir())

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
        shape = (-1, len(self.labels))
        probabilities = np.asarray(predictions, dtype=np.float32).reshape(shape)
        targets = np.asarray(references, dtype=np.float32).reshape(shape)
        decisions = decide(probabilities, self._resolve_thresholds(probabilities, targets))
        metrics = measure(self.labels, targets, decisions, probabilities, resamples=0)
        figures = {name: getattr(metrics, name).value for name in ("macro_f1", "micro_f1", "exact_match")}
        for name in ("f1", "precision", "recall", "average_precision"):
            figures |= {f"{name}_{row.label}": getattr(row, name).value for row in metrics.labels}
        return figures

    def _resolve_thresholds(self, probabilities: ArrayLike, targets: ArrayLike) -> ArrayLike:
        if self.thresholds == "best_f1":
            return best_thresholds(probabilities, targets)
        return [0.5] * len(self.labels) if self.thresholds == "half" else self.thresholds


def compute_metrics_for(
    labels: Sequence[str], thresholds: Thresholds = "best_f1"
) -> Callable[[EvalPrediction], dict[str, float]]:
    """Make the `compute_metrics` of a transformers Trainer whose model gives logits `[sentences, labels]`."""

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        outputs = prediction.predictions
        logits = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs, dtype=np.float32)
        probabilities, targets = sigmoid(logits), prediction.label_ids
        metric = StanceMetric(labels, thresholds)
        figures: dict[str, float] = metric.compute(predictions=probabilities, references=targets)
        return figures

    return compute_metrics

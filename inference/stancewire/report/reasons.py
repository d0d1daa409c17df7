"""Why the strongest sentences of a report got their stances, where that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stancewire.explanation import Explainer, Explanation
from stancewire.provenance import Provenance

if TYPE_CHECKING:
    from stancewire.report.tally import Tally

Reasons = Mapping[tuple[str, str], Explanation]
"""Explanations by label and sentence."""


@dataclass(frozen=True, slots=True)
class ReasonOptions:
    """That the strongest `count` sentences of each stance are explained, by which model, with which index.

    `model` and `index` are as `StanceClassifier.load` and `Explainer` take them.
    """

    count: int
    model: str | Path | None = None
    index: Path | None = None


def load_explainer(provenance: Provenance, options: ReasonOptions) -> Explainer:
    """Load the model that made an output as `load_maker` does, and the index."""
    from stancewire.classifier import load_maker

    return Explainer(load_maker(provenance, options.model), options.index)


def explain_strongest(
    tally: Tally, explainer: Explainer, count: int, on_sentence: Callable[[], object] = lambda: None
) -> Reasons:
    """Explain the strongest `count` sentences of each label."""
    reasons: dict[tuple[str, str], Explanation] = {}
    for label in tally.labels:
        for highlight in tally.strongest(label)[:count]:
            reasons[label, highlight.text] = explainer.explain(highlight.text)
            on_sentence()
    return reasons

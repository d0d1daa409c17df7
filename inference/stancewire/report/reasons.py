"""Why the strongest sentences of a report got their stances, where that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stancewire.errors import StancewireError
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
    """Load the model that made an output, with the prior and the thresholds that the output was made with.

    Raises StancewireError if the model is another one, or cannot be loaded.
    """
    from stancewire.classifier import StanceClassifier

    classifier = StanceClassifier.load(options.model, prior=provenance.settings.get("prior"))
    if classifier.digest != provenance.digest:
        raise StancewireError(
            f"the scores were made by the model {provenance.model} {provenance.digest[:12]}…, and "
            f"{classifier.manifest.name} {classifier.digest[:12]}… is another: "
            "name the folder of the first with --model"
        )
    thresholds = tuple(provenance.thresholds[label] for label in classifier.labels)
    classifier.manifest = replace(classifier.manifest, thresholds=thresholds)
    return Explainer(classifier, options.index)


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

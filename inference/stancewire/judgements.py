"""What a model said of annotated sentences, beside what they hold: what every part of an evaluation reads."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedSentence
    from stancewire.classifier import Stance


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """A model's answers for annotated sentences.

    `targets` and `decisions` are bool, `probabilities` float32, each `[sentences, labels]`; `clusters` names
    the document of each sentence. `stances` has for each sentence the stances that the model says hold, by
    label, with their sources and targets; it is None for a model that gives only probabilities.
    """

    model: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    sentences: tuple[AnnotatedSentence, ...]
    clusters: tuple[Hashable, ...]
    targets: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    decisions: NDArray[np.bool_]
    stances: tuple[Mapping[str, Stance], ...] | None = None

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether the set of labels of each sentence is wrong, `[sentences]`."""
        wrong: NDArray[np.bool_] = (self.targets != self.decisions).any(axis=1)
        return wrong

"""stancewire reads the stances that actors take in the news, sentence by sentence.

Nothing heavy is imported here: the public names are resolved on first use (PEP 562), so that
`import stancewire` stays quick.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stancewire.classifier import Prediction, ScoredArticle, ScoredSentence, Stance, StanceClassifier
    from stancewire.errors import StancewireError
    from stancewire.segmentation import Sentence, split_sentences

__version__ = "0.1.0"

# Official builds of onnxruntime send telemetry, with a lasting identifier of the machine, unless told not to
# before they are first imported. This runs before any import of ours; who wants telemetry sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "Prediction": "classifier",
    "ScoredArticle": "classifier",
    "ScoredSentence": "classifier",
    "Sentence": "segmentation",
    "Stance": "classifier",
    "StanceClassifier": "classifier",
    "StancewireError": "errors",
    "split_sentences": "segmentation",
}

__all__ = [
    "Prediction",
    "ScoredArticle",
    "ScoredSentence",
    "Sentence",
    "Stance",
    "StanceClassifier",
    "StancewireError",
    "__version__",
    "split_sentences",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Fine-tuning for stancewire: annotated sentences and a config file in, a model folder out.

Importing this makes transformers' Auto classes and pipelines know the model type of stancewire's checkpoints.
"""

from __future__ import annotations

import stancewire  # noqa: F401  # first of all: it turns onnxruntime's telemetry off
from stancewire_training.network import register

register()

"""Fine-tuning for stancewire: annotated sentences and a config file in, a model folder out.

Importing this makes transformers' Auto classes and pipelines know the model type of stancewire's checkpoints.
"""

from __future__ import annotations

from stancewire_training.network import register

register()

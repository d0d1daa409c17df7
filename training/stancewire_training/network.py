"""The network, as a model type of its own: a pretrained encoder, the mean over its tokens, one linear layer.

The mean over all tokens learns faster and ends better here than transformers' own head on the first token
(docs/experiments.md). No class of transformers has that forward pass, so checkpoints carry a model type of
their own, registered when `stancewire_training` is imported. No code travels in a checkpoint.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput


class StanceConfig(PreTrainedConfig):
    """The encoder's own configuration under `encoder`, the dropout before the last layer, and the labels."""

    model_type = "stancewire"
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012  # the base class declares it so

    def __init__(
        self,
        encoder: dict[str, Any] | PreTrainedConfig | None = None,
        head_dropout: float = 0.0,
        **rest: Any,
    ) -> None:
        # transformers makes a configuration without arguments to compare with; such a one has no encoder.
        self.encoder: Any = AutoConfig.for_model(**encoder) if isinstance(encoder, dict) else encoder
        self.head_dropout = head_dropout
        super().__init__(**{"problem_type": "multi_label_classification", **rest})


class StanceForSequenceClassification(PreTrainedModel):
    """Logits `[batch, labels]` from the mean over the tokens of the encoder's last layer."""

    config_class = StanceConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: StanceConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder, **without_pooler(config.encoder))
        self.dropout = nn.Dropout(config.head_dropout)
        self.classifier = nn.Linear(config.encoder.hidden_size, len(config.id2label or ()))
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Compute the logits, and with `labels` the binary cross-entropy too.

        Labels are float and multi-hot, `[batch, labels]`. Without `attention_mask` `[batch, tokens]` every
        token counts. Token types are always 0, whatever is given.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if "token_type_ids" in inspect.signature(self.encoder.forward).parameters:
            inputs["token_type_ids"] = torch.zeros_like(input_ids)
        hidden = self.encoder(**inputs).last_hidden_state
        if attention_mask is None:
            mean = hidden.mean(dim=1)
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        logits = self.classifier(self.dropout(mean))
        loss = None
        if labels is not None:
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
        return SequenceClassifierOutput(loss=loss, logits=logits)


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """Give the argument that leaves out an encoder's pooler, which a mean does not need, where it has one."""
    network: Any = AutoModel._model_mapping[type(config)]
    accepted = inspect.signature(network).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def register() -> None:
    """Make transformers' Auto classes and pipelines know the model type."""
    AutoConfig.register(StanceConfig.model_type, StanceConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(StanceConfig, StanceForSequenceClassification, exist_ok=True)

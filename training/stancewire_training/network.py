"""The network, as a model type of its own: a pretrained encoder and two linear layers on its last states.

One layer reads the labels from the mean over all tokens, which learns faster and ends better here than
transformers' own head on the first token (docs/experiments.md). The other reads, for each label, where its
source and its target start and end, as a pointer over the tokens; `stancewire.spans` says how. No class of
transformers has that forward pass, so checkpoints carry a model type of their own, registered when
`stancewire_training` is imported. No code travels in a checkpoint.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
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

from stancewire.spans import POINTERS


class StanceConfig(PreTrainedConfig):
    """The encoder's own configuration under `encoder`, and what stands on it.

    `head_dropout` is that before the last layers; `spans` says whether there is a layer for sources and
    targets, and `span_weight` how much its loss counts beside that of the labels.
    """

    model_type = "stancewire"
    keys_to_ignore_at_inference = ["spans"]  # noqa: RUF012  # the Trainer collects the other outputs
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012  # the base class declares it so

    def __init__(
        self,
        encoder: dict[str, Any] | PreTrainedConfig | None = None,
        head_dropout: float = 0.0,
        spans: bool = False,
        span_weight: float = 0.0,
        **rest: Any,
    ) -> None:
        # transformers makes a configuration without arguments to compare with; such a one has no encoder.
        self.encoder: Any = AutoConfig.for_model(**encoder) if isinstance(encoder, dict) else encoder
        self.head_dropout = head_dropout
        self.spans = spans
        self.span_weight = span_weight
        super().__init__(**{"problem_type": "multi_label_classification", **rest})


@dataclass
class StanceOutput(SequenceClassifierOutput):
    """`logits` `[batch, labels]` and, if the model has them, `spans` `[batch, tokens, labels * POINTERS]`."""

    spans: torch.Tensor | None = None


class StanceForSequenceClassification(PreTrainedModel):
    """Labels from the mean over the tokens of the encoder's last layer, parties from each of them."""

    config_class = StanceConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: StanceConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder, **without_pooler(config.encoder))
        self.dropout = nn.Dropout(config.head_dropout)
        labels = len(config.id2label or ())
        self.classifier = nn.Linear(config.encoder.hidden_size, labels)
        self.span_classifier = (
            nn.Linear(config.encoder.hidden_size, labels * POINTERS) if config.spans else None
        )
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        span_labels: torch.Tensor | None = None,
    ) -> StanceOutput:
        """Compute the outputs, and with `labels` the loss too.

        Labels are float and multi-hot, or a teacher's probabilities, `[batch, labels]`; their loss is the
        binary cross-entropy. `span_labels` are positions of tokens, `[batch, labels * POINTERS]`, negative
        where there is nothing to learn; their loss, the cross-entropy over the tokens, is added with the
        configuration's weight. Without `attention_mask` `[batch, tokens]` every token counts. Token types are
        always 0, whatever is given.
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
        spans = None if self.span_classifier is None else self.span_classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
            if spans is not None and span_labels is not None:
                loss = loss + self.config.span_weight * _span_loss(spans, span_labels, attention_mask)
        return StanceOutput(loss=loss, logits=logits, spans=spans)


def _span_loss(
    spans: torch.Tensor, positions: torch.Tensor, attention_mask: torch.Tensor | None
) -> torch.Tensor:
    scores = spans.float().transpose(1, 2)
    if attention_mask is not None:
        scores = scores.masked_fill(attention_mask.unsqueeze(1) == 0, torch.finfo(scores.dtype).min)
    # Summed and divided by hand: a batch without any stance has no span, and a mean of none is no number.
    summed = nn.functional.cross_entropy(
        scores.flatten(0, 1), positions.flatten(), ignore_index=-100, reduction="sum"
    )
    return summed / (positions >= 0).sum().clamp(min=1)


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """Give the argument that leaves out an encoder's pooler, which a mean does not need, where it has one."""
    network: Any = AutoModel._model_mapping[type(config)]
    accepted = inspect.signature(network).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def register() -> None:
    """Make transformers' Auto classes and pipelines know the model type."""
    AutoConfig.register(StanceConfig.model_type, StanceConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(StanceConfig, StanceForSequenceClassification, exist_ok=True)

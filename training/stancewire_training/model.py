"""Building, loading and running the network of `stancewire_training.network`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel, AutoTokenizer

from stancewire.errors import StancewireError
from stancewire.spans import POINTERS
from stancewire_training.config import Config
from stancewire_training.network import StanceConfig, StanceForSequenceClassification, without_pooler

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def build_model(
    config: Config, folder: Path, labels: Sequence[str], *, spans: bool = False
) -> StanceForSequenceClassification:
    """Put a head of one logit a label on the encoder in `folder`, in float32; with `spans` one for them too.

    The heads are drawn from torch's present seed. If the folder is a checkpoint of ours, its encoder is
    taken, and of its heads what is for labels of the same name. Raises StancewireError if
    the folder is no encoder that transformers can load, if it cannot read `config.data.max_length` tokens,
    or has fewer layers than are to be frozen.
    """
    with readable(folder):
        found = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        ours = isinstance(found, StanceConfig)
        encoder = found.encoder if ours else found
        _set_dropout(encoder, config.training.hidden_dropout)
        model = StanceForSequenceClassification(
            StanceConfig(
                encoder=encoder,
                head_dropout=config.training.head_dropout,
                spans=spans,
                span_weight=config.training.span_weight if spans else 0.0,
                id2label=dict(enumerate(labels)),
                label2id={label: index for index, label in enumerate(labels)},
            )
        )
        if ours:
            _take_over(model, _load_ours(folder))
        else:
            model.encoder = _load_encoder(folder, encoder)
    _refuse_too_long(model, folder, config.data.max_length)
    _freeze(model.encoder, config.training.frozen_layers)
    return model


def load_tokenizer(folder: Path, max_length: int) -> PreTrainedTokenizerBase:
    """Load a tokenizer whose budget is `max_length` tokens; only the fast kind can be exported."""
    # Without this file transformers may make a tokenizer that knows no word.
    if not (folder / "tokenizer.json").is_file():
        raise StancewireError(
            f"{folder} has no tokenizer.json: an encoder without a fast tokenizer cannot be exported"
        )
    with readable(folder):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise StancewireError(f"{folder} has a tokenizer of the slow kind, which cannot be exported")
    tokenizer.model_max_length = max_length
    return tokenizer


def load_checkpoint(folder: Path) -> tuple[StanceForSequenceClassification, PreTrainedTokenizerBase]:
    """Load a trained folder, ready for inference; StancewireError if it is none, or is damaged."""
    if not (folder / "config.json").is_file():
        raise StancewireError(
            f"{folder} has no config.json: it should be a folder that `stancewire train` made"
        )
    with readable(folder):
        return _load_ours(folder).eval(), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@torch.inference_mode()
def compute_logits(
    model: StanceForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int = 64,
    on_progress: Callable[[int], Any] | None = None,
) -> NDArray[np.float32]:
    """Compute the logits of texts, like lengths together: float32 `[texts, labels]`.

    A text beyond the tokenizer's budget is read as stancewire reads it: in windows that overlap by half, each
    label with the highest logit that any window gives it. `on_progress` is told how many windows were just
    read.
    """
    logits = np.full((len(texts), model.classifier.out_features), -np.inf, dtype=np.float32)
    if not texts:
        return logits
    model.eval()
    encoded = tokenizer(
        list(texts),
        truncation=True,
        stride=tokenizer.model_max_length // 2,
        return_overflowing_tokens=True,
    )
    windows, owners = encoded["input_ids"], np.array(encoded["overflow_to_sample_mapping"])
    order = sorted(range(len(windows)), key=lambda index: -len(windows[index]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        inputs = tokenizer.pad({"input_ids": [windows[index] for index in batch]}, return_tensors="pt")
        found = model(**inputs.to(model.device)).logits.float().cpu().numpy()
        np.maximum.at(logits, owners[batch], found)
        if on_progress is not None:
            on_progress(len(batch))
    return logits


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Raise StancewireError in place of whatever transformers raises inside, and name `folder`."""
    try:
        yield
    except StancewireError:
        raise
    except Exception as error:  # transformers' errors have no common class but this
        raise StancewireError(
            f"{folder} is not a folder that transformers can load: {' '.join(str(error).split())}"
        ) from error


def _set_dropout(encoder: PreTrainedConfig, rate: float) -> None:
    # The names differ between architectures.
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(encoder, name):
            setattr(encoder, name, rate)


def _take_over(model: StanceForSequenceClassification, source: StanceForSequenceClassification) -> None:
    model.encoder.load_state_dict(source.encoder.state_dict())
    rows = {label: row for row, label in _labels(source)}
    for row, label in _labels(model):
        if label in rows:
            _copy_rows(model.classifier, row, source.classifier, rows[label], 1)
            if model.span_classifier is not None and source.span_classifier is not None:
                _copy_rows(model.span_classifier, row, source.span_classifier, rows[label], POINTERS)


def _labels(model: StanceForSequenceClassification) -> list[tuple[int, str]]:
    return [(int(row), str(label)) for row, label in (model.config.id2label or {}).items()]


@torch.no_grad()
def _copy_rows(head: torch.nn.Linear, row: int, source: torch.nn.Linear, other: int, count: int) -> None:
    to, of = slice(row * count, (row + 1) * count), slice(other * count, (other + 1) * count)
    head.weight[to] = source.weight[of]
    head.bias[to] = source.bias[of]


def _load_ours(folder: Path) -> StanceForSequenceClassification:
    return StanceForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False
    )


def _load_encoder(folder: Path, encoder: PreTrainedConfig) -> PreTrainedModel:
    # In float32 whatever the file has: AdamW's steps are lost in a half-precision weight.
    model: PreTrainedModel
    model, loading = AutoModel.from_pretrained(
        folder,
        config=encoder,
        dtype=torch.float32,
        output_loading_info=True,
        trust_remote_code=False,
        **without_pooler(encoder),
    )
    if loading["missing_keys"]:
        raise StancewireError(
            f"{folder / 'model.safetensors'} lacks {', '.join(sorted(loading['missing_keys'])[:3])}: "
            "it is not this encoder's"
        )
    return model


def _freeze(encoder: torch.nn.Module, count: int) -> None:
    # The stack of layers is the one list of modules that every encoder has.
    layers = next(module for module in encoder.modules() if isinstance(module, torch.nn.ModuleList))
    if count > len(layers):
        raise StancewireError(
            f"training.frozen_layers is {count}, more than the encoder's {len(layers)} layers"
        )
    frozen = [] if count == 0 else [encoder.get_submodule("embeddings"), *layers[:count]]
    for module in frozen:
        module.requires_grad_(False)


@torch.inference_mode()
def _refuse_too_long(model: StanceForSequenceClassification, folder: Path, max_length: int) -> None:
    # Architectures count their positions differently: whether one can read so many tokens is seen by trying.
    token = 0 if model.config.encoder.pad_token_id != 0 else 1
    model.eval()
    try:
        model(input_ids=torch.full((1, max_length), token))
    except (IndexError, RuntimeError):
        raise StancewireError(
            f"data.max_length is {max_length}, more tokens than the encoder in {folder} can read"
        ) from None

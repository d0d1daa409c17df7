"""A smaller encoder cut out of a larger one: fewer layers, and of the vocabulary what the texts use.

Both are common ways to begin a small student: the layers that are kept lie evenly between the first and the
last (Sanh et al. 2019, https://arxiv.org/abs/1910.01108), and a word that loses its own piece is read in
smaller ones, since every ASCII character keeps its piece.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from stancewire.errors import StancewireError
from stancewire_training.model import readable
from stancewire_training.network import StanceConfig, StanceForSequenceClassification

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER = "tokenizer.json"


def trim_encoder(
    folder: Path, into: Path, texts: Iterable[str], *, layers: int | None, pieces: int | None
) -> Path:
    """Write the encoder in `folder` with fewer layers and pieces into the folder `into`, and return that.

    `layers` of its layers are kept, and the `pieces` of its vocabulary that `texts` use most; None keeps all.
    `folder` may be a checkpoint of ours, whose encoder is taken. Raises StancewireError if it has fewer
    layers, or if its tokenizer is not of the kind (WordPiece) whose vocabulary can be cut.
    """
    model = _load(folder)
    _keep_layers(model, folder, layers)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in ("tokenizer_config.json", "special_tokens_map.json", TOKENIZER):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, into / name)
    if pieces is not None:
        kept = choose_pieces(folder, texts, pieces)
        model.set_input_embeddings(_rows(model.get_input_embeddings(), list(kept.values())))
        model.config.vocab_size = len(kept)
        _write_vocabulary(into / TOKENIZER, list(kept))
    model.save_pretrained(into)
    return into


def choose_pieces(folder: Path, texts: Iterable[str], pieces: int) -> dict[str, int]:
    """Choose the pieces to keep, in their old order: each with the number it had.

    Special tokens and ASCII characters always stay, then what `texts` use most; a piece that they never use
    goes, however many are allowed.
    """
    with readable(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    described = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    if described["model"].get("type") != "WordPiece":
        raise StancewireError(
            f"{folder} has a tokenizer of the kind {described['model'].get('type')}: "
            "encoder.pieces needs WordPiece"
        )
    vocabulary: dict[str, int] = described["model"]["vocab"]
    counts: Counter[int] = Counter()
    for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]:
        counts.update(ids)
    special = {*tokenizer.all_special_ids, *(token["id"] for token in described["added_tokens"])}
    needed = {
        number
        for piece, number in vocabulary.items()
        if number in special or (len(piece.removeprefix("##")) == 1 and piece.isascii())
    }
    wanted = [number for number, _ in counts.most_common() if number not in needed]
    chosen = needed | set(wanted[: max(0, pieces - len(needed))])
    return {
        piece: number
        for piece, number in sorted(vocabulary.items(), key=lambda item: item[1])
        if number in chosen
    }


def _load(folder: Path) -> PreTrainedModel:
    with readable(folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if isinstance(config, StanceConfig):
            whole = StanceForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False
            )
            encoder: PreTrainedModel = whole.encoder
            return encoder
        model: PreTrainedModel = AutoModel.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False
        )
        return model


def _keep_layers(model: PreTrainedModel, folder: Path, count: int | None) -> None:
    stacks = [
        (parent, name, module)
        for parent in model.modules()
        for name, module in parent.named_children()
        if isinstance(module, torch.nn.ModuleList)
    ]
    if count is None:
        return
    if not stacks:
        raise StancewireError(
            f"the encoder in {folder} has no stack of layers: encoder.layers should be null"
        )
    parent, name, layers = stacks[0]
    if count > len(layers):
        raise StancewireError(f"encoder.layers is {count}, more than the {len(layers)} layers in {folder}")
    chosen = np.linspace(0, len(layers) - 1, count).round().astype(int) if count > 1 else [0]
    setattr(parent, name, torch.nn.ModuleList(layers[int(index)] for index in chosen))
    model.config.num_hidden_layers = count


def _rows(embeddings: Any, rows: list[int]) -> torch.nn.Embedding:
    kept: torch.nn.Embedding = torch.nn.Embedding.from_pretrained(
        embeddings.weight[rows].detach().clone(), freeze=False
    )
    # The padding token is a special one, and these stay in order; encoders number it 0 or 1.
    kept.padding_idx = None if embeddings.padding_idx is None else rows.index(embeddings.padding_idx)
    return kept


def _write_vocabulary(path: Path, pieces: list[str]) -> None:
    described = json.loads(path.read_text(encoding="utf-8"))
    numbers = {piece: number for number, piece in enumerate(pieces)}
    described["model"]["vocab"] = numbers
    for token in described["added_tokens"]:
        token["id"] = numbers[token["content"]]
    _renumber(described["post_processor"] or {}, numbers)
    if isinstance(described.get("padding"), dict):
        described["padding"]["pad_id"] = numbers[described["padding"]["pad_token"]]
    path.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")


def _renumber(processor: Any, numbers: dict[str, int]) -> None:
    # A template names its special tokens with their numbers; BERT's own processor pairs each with one.
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [numbers[name] for name in token["tokens"]]
    for name in ("cls", "sep"):
        if name in processor:
            processor[name] = [processor[name][0], numbers[processor[name][0]]]

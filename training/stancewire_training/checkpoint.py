"""From a shipped model folder back to a checkpoint: to train on from it, or to load it in transformers."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoConfig, AutoTokenizer

from stancewire.errors import StancewireError
from stancewire.manifest import MANIFEST, MODEL, TOKENIZER, read_manifest, resolve_folder
from stancewire_training.graph import read_parameters
from stancewire_training.model import readable
from stancewire_training.network import StanceForSequenceClassification

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def from_shipped(folder: str | Path) -> tuple[StanceForSequenceClassification, PreTrainedTokenizerBase]:
    """Rebuild model and tokenizer of a shipped folder, or a shipped model's name, by dequantizing weights.

    Every parameter is restored, int8 ones to within half a quantization step. Raises StancewireError if the
    folder is damaged, or was not written by `stancewire export`.
    """
    path = resolve_folder(folder)
    manifest, _ = read_manifest(path)
    try:
        architecture, tokenizer_config = manifest.provenance["architecture"], manifest.provenance["tokenizer"]
    except KeyError as error:
        raise StancewireError(
            f"{path}: {MANIFEST} does not give its {error}, without which it cannot be rebuilt"
        ) from None
    with tempfile.TemporaryDirectory() as beside, readable(path):
        (Path(beside) / "config.json").write_text(json.dumps(architecture), encoding="utf-8")
        (Path(beside) / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), encoding="utf-8")
        shutil.copyfile(path / TOKENIZER, Path(beside) / TOKENIZER)
        model = StanceForSequenceClassification(AutoConfig.from_pretrained(beside))
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(beside)
        parameters = {
            name: torch.from_numpy(values) for name, values in read_parameters(path / MODEL).items()
        }
        missing = [name for name, _ in model.named_parameters() if name not in parameters]
        if missing:
            raise StancewireError(f"{path / MODEL} lacks the parameters {', '.join(missing)}")
        wanted = {name: parameters[name] for name, _ in model.named_parameters()}
        model.load_state_dict(wanted, strict=False)
    return model.float().eval(), tokenizer


def write_transformers(folder: str | Path, out: Path) -> Path:
    """Write a shipped model as a folder that plain transformers loads; StancewireError if `out` exists."""
    if out.exists():
        raise StancewireError(f"{out} exists: name another folder")
    model, tokenizer = from_shipped(folder)
    beside = out.absolute().with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        os.replace(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out

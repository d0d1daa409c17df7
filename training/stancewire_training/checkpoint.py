"""From a shipped model folder back to a checkpoint: to train on from it, or to load it in transformers."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import AutoConfig, AutoTokenizer

from stancewire.errors import StancewireError
from stancewire.manifest import MANIFEST, MODEL, TOKENIZER, read_manifest, resolve_folder, shipped_digest
from stancewire.tokenizer_reader import read_tokenizer
from stancewire_training.graph import read_parameters
from stancewire_training.model import readable
from stancewire_training.network import StanceForSequenceClassification

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# By these keys transformers finds a stranger's classes, kernels and quantizers. No export of ours has them.
_NAMING_CODE: Final = ("auto_map", "_implementation", "use_kernels", "quantization_config")


def from_shipped(
    folder: str | Path, *, sha256: str | None = None
) -> tuple[StanceForSequenceClassification, PreTrainedTokenizerBase]:
    """Rebuild model and tokenizer of a shipped folder, or a shipped model's name, by dequantizing weights.

    Every parameter is restored, int8 ones to within half a quantization step. `sha256` is the digest that the
    folder must have; that of a shipped model is known. Raises StancewireError if the folder is damaged, has
    another digest, was not written by `stancewire export`, or holds what stancewire would not run.
    """
    path = resolve_folder(folder)
    manifest, _ = read_manifest(path, shipped_digest(path) if sha256 is None else sha256)
    try:
        architecture, tokenizer_config = manifest.provenance["architecture"], manifest.provenance["tokenizer"]
    except KeyError as error:
        raise StancewireError(
            f"{path}: {MANIFEST} does not give its {error}, without which it cannot be rebuilt"
        ) from None
    _refuse_code(path, {"architecture": architecture, "tokenizer": tokenizer_config})
    with tempfile.TemporaryDirectory() as beside, readable(path):
        (Path(beside) / "config.json").write_text(json.dumps(architecture), encoding="utf-8")
        (Path(beside) / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), encoding="utf-8")
        read_tokenizer(path / TOKENIZER, manifest.max_length)
        shutil.copyfile(path / TOKENIZER, Path(beside) / TOKENIZER)
        config = AutoConfig.from_pretrained(beside, local_files_only=True, trust_remote_code=False)
        model = StanceForSequenceClassification(config)
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            beside, local_files_only=True, trust_remote_code=False
        )
        parameters = {
            name: torch.from_numpy(values) for name, values in read_parameters(path / MODEL).items()
        }
        missing = [name for name, _ in model.named_parameters() if name not in parameters]
        if missing:
            raise StancewireError(f"{path / MODEL} lacks the parameters {', '.join(missing)}")
        wanted = {name: parameters[name] for name, _ in model.named_parameters()}
        model.load_state_dict(wanted, strict=False)
    return model.float().eval(), tokenizer


def write_transformers(folder: str | Path, out: Path, *, sha256: str | None = None) -> Path:
    """Write a shipped model as a folder that plain transformers loads.

    Raises StancewireError if `out` exists, and for what `from_shipped` refuses.
    """
    if out.exists():
        raise StancewireError(f"{out} exists: name another folder")
    model, tokenizer = from_shipped(folder, sha256=sha256)
    beside = out.absolute().with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        os.replace(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out


def _refuse_code(path: Path, values: Any) -> None:
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if any(part in str(key) for part in _NAMING_CODE):
            raise StancewireError(
                f"{path / MANIFEST} gives {str(key)[:40]!a}, which can name code: it is not loaded"
            )
        if isinstance(value, dict | list):
            _refuse_code(path, value)


@contextmanager
def as_encoder(folder: str | Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Make a shipped folder, or a shipped model's name, the encoder to train on from.

    Gives the checkpoint, which is gone afterwards, and what a configuration has to say in place of its own
    encoder. Raises StancewireError as `from_shipped` does.
    """
    with tempfile.TemporaryDirectory(prefix="stancewire-") as beside:
        trained_on = f"what the card of {folder} says, from whose weights the training went on"
        values: dict[str, str | None] = {"name": str(folder), "trained_on": trained_on}
        values |= dict.fromkeys(("revision", "sha256", "layers", "pieces"))
        overrides = tuple(f"encoder.{key}={json.dumps(value)}" for key, value in values.items())
        yield write_transformers(folder, Path(beside) / "start"), overrides

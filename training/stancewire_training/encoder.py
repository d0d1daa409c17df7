"""Where the pretrained encoder comes from: a local folder, or the Hugging Face hub at a pinned commit."""

from __future__ import annotations

from pathlib import Path

from stancewire.errors import StancewireError
from stancewire.manifest import sha256_of
from stancewire_training.config import EncoderConfig

_WANTED = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def fetch_encoder(config: EncoderConfig, local: Path | None = None) -> Path:
    """Find the encoder's folder and check the hash of its weights.

    That is `local` if given, else `config.name` if it is a folder, else the hub's. Raises StancewireError if
    it cannot be had, and says how to get it; or if its weights are not the expected ones.
    """
    if local is not None and not local.is_dir():
        raise StancewireError(f"there is no encoder folder {local}")
    folder = local or Path(config.name)
    if not folder.is_dir():
        folder = _download(config)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise StancewireError(
                f"{folder} has no {name}: it should be the folder, or the hub id, of an encoder that has one"
            )
    weights = folder / "model.safetensors"
    found = sha256_of(weights)
    if config.sha256 is not None and found != config.sha256:
        raise StancewireError(
            f"{weights} is not the encoder of the config: its SHA-256 is {found}, "
            f"encoder.sha256 says {config.sha256} (set it to null to take any weights)"
        )
    return folder


def _download(config: EncoderConfig) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(config.name, revision=config.revision, allow_patterns=list(_WANTED)))
    except Exception as error:  # the hub's client raises httpx's, its own and OS errors alike
        pinned = f" --revision {config.revision}" if config.revision else ""
        raise StancewireError(
            f"the encoder {config.name} is no local folder and cannot be had from the Hugging Face hub "
            f"({type(error).__name__}): on a machine that reaches the hub run "
            f"`hf download {config.name}{pinned} --local-dir encoder`, copy that folder here, "
            "and add `--encoder encoder`"
        ) from None

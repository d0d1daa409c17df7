"""Text files that are there in full or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from stancewire.errors import StancewireError


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 beside its place, then rename it there, over what was there; folders are made.

    Half of a surrogate pair, which UTF-8 cannot write, becomes `?`. Raises StancewireError if it cannot be
    written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(text.encode("utf-8", "replace"))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StancewireError(f"{path} cannot be written: {error.strerror}") from None

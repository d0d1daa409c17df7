"""A folder of Parquet parts: how it and they are named, and what of them is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

SENTENCES_A_PART: Final = 100_000
"""After how many a part ends, once the document under way is whole: 10 to 20 MB."""

_NAME: Final = re.compile(r"part-\d{5,}\.parquet")


def is_folder(out: Path) -> bool:
    """Tell by its name, which has no suffix, whether an output is a folder of parts."""
    return out.suffix == "" and not out.name.startswith((".", "-")) and out.name != ""


def part_name(number: int) -> str:
    """Name a part, from 0, so that names sort as the parts do (up to 100,000 of them)."""
    return f"part-{number:05}.parquet"


def is_part(name: str) -> bool:
    """Tell whether a file is a part, by its name."""
    return _NAME.fullmatch(name) is not None


def part_paths(folder: Path) -> list[Path]:
    """List the parts of a folder in order."""
    found = (path for path in folder.glob("part-*.parquet") if is_part(path.name))
    return sorted(found, key=lambda path: (len(path.name), path.name))


def holds_others(folder: Path) -> bool:
    """Tell whether anything but parts lies in a folder."""
    return not all(is_part(path.name) for path in folder.iterdir())

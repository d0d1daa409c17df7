"""Which labels people were asked for, as what `stancewire review` wrote says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from stancewire.errors import StancewireError
from stancewire.review.answers import sheet_rows
from stancewire.review.sampling import DESIGN_SUFFIX, read_design
from stancewire.review.tasks import LABEL_FILES, STANCES, split_party
from stancewire.spreadsheet import unguard

_KEY: Final = re.compile(r"\b[0-9a-f]{16}\b")


def asked_labels(files: Sequence[Path]) -> tuple[str, ...]:
    """Find the labels that the tasks answered in `files` asked for; none if nothing says which.

    A spreadsheet names them in its columns `source_LABEL` and `target_LABEL`. Otherwise the design of a
    sample or the labels for Label Studio or doccano in the folder of the file do, where they are of the same
    sentences: the file may have another name than the tasks had.
    """
    return tuple(dict.fromkeys(label for file in files for label in _asked(file)))


def _asked(file: Path) -> tuple[str, ...]:
    return _columns(file) or tuple(_beside(file))


def _columns(file: Path) -> tuple[str, ...]:
    if file.suffix.lower() != ".csv" or not file.is_file():
        return ()
    columns = [unguard(cell).strip() for cell in next(sheet_rows(file, file.read_bytes()), [])]
    if "key" not in columns:
        return ()
    sources = (name.removeprefix("source_") for name in columns if name.startswith("source_"))
    return tuple(label for label in sources if f"target_{label}" in columns)


def _beside(file: Path) -> Iterator[str]:
    keys = _keys(file)
    for path in sorted(file.parent.iterdir()) if keys else ():
        try:
            yield from _labels_for(path, keys)
        except (StancewireError, OSError, ValueError, KeyError, TypeError, ElementTree.ParseError):
            continue


def _labels_for(path: Path, keys: frozenset[str]) -> tuple[str, ...]:
    if path.name.endswith(DESIGN_SUFFIX):
        design = read_design(path)
        return design.labels if any(one.key in keys for one in design.sample) else ()
    suffix = next((suffix for suffix in LABEL_FILES.values() if path.name.endswith(suffix)), None)
    if suffix is None or not keys & _keys(path.with_name(path.name.removesuffix(suffix))):
        return ()
    if path.suffix == ".xml":
        choices = ElementTree.parse(path).iterfind(f".//Choices[@name='{STANCES}']/Choice")
        return tuple(choice.attrib["value"] for choice in choices)
    names = (split_party(entry["text"]) for entry in json.loads(path.read_text(encoding="utf-8")))
    return tuple(label for label, role in names if role is None)


def _keys(file: Path) -> frozenset[str]:
    try:
        return frozenset(_KEY.findall(file.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return frozenset()

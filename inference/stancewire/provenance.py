"""What made an output: written into every one, and read back by `stancewire info`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from stancewire.documents import ERRORS_SUFFIX, META_SUFFIX, Skipped
from stancewire.errors import StancewireError
from stancewire.parts import part_name, part_paths

FORMAT: Final = 3
METADATA_KEY: Final = "stancewire"
"""The key of a Parquet file's metadata under which the provenance stands, as JSON."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made an output, and what it holds.

    `digest` is the SHA-256 of the model's manifest; `libraries` the versions of those that decide what comes
    out; `documents` and `sentences` are how many stand in the output; `counts` how many sentences hold each
    stance; `languages` and `encodings` how many of the documents that could be read were in each, `repaired`
    in how many of them mojibake was mended; `skipped` which documents were left out, and why, at most the
    first 1,000 of the `skipped_count`; `ignored` how many files of other kinds lay in the folders, by suffix.
    There is no date: the same run gives the same bytes.
    """

    stancewire: str
    model: str
    digest: str
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    settings: Mapping[str, Any]
    libraries: Mapping[str, str]
    documents: int
    sentences: int
    counts: Mapping[str, int]
    languages: Mapping[str, int]
    encodings: Mapping[str, int]
    repaired: int
    skipped: tuple[Skipped, ...]
    ignored: Mapping[str, int]
    skipped_count: int = 0
    format: int = FORMAT

    def to_json(self) -> str:
        """Write the provenance as JSON that `parse_provenance` reads."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def meta_path(out: Path) -> Path:
    """Name the file beside a `.jsonl` or `.csv` output that holds its provenance."""
    return out.with_name(out.name + META_SUFFIX)


def errors_path(out: Path) -> Path:
    """Name the file beside an output that lists the documents which were skipped."""
    return out.with_name(out.name + ERRORS_SUFFIX)


def read_provenance(out: Path) -> Provenance:
    """Read what made an output.

    Raises StancewireError if there is no such output, if it does not say, or if a folder lacks parts.
    """
    if out.is_dir() and (parts := part_paths(out)):
        return _read_parts(out, parts)
    if not out.is_file():
        raise StancewireError(f"there is no output {out}")
    if out.suffix.lower() == ".parquet":
        return parse_provenance(_read_parquet_metadata(out), str(out))
    meta = meta_path(out)
    try:
        return parse_provenance(meta.read_text(encoding="utf-8"), str(meta))
    except FileNotFoundError:
        raise StancewireError(
            f"{out} does not say what made it: {meta.name} should lie beside it and is missing"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StancewireError(f"{meta} cannot be read: {error}") from None


def parse_provenance(text: str, where: str) -> Provenance:
    """Read provenance from its JSON; `where` names the file in the StancewireError that this may raise."""
    try:
        values = json.loads(text)
        newest = int(values["format"])
        if newest <= FORMAT:
            return _from_values(values)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StancewireError(
            f"{where} does not say what made the output: it is damaged, or not stancewire's"
        ) from None
    raise StancewireError(
        f"{where} has format {newest}, this stancewire reads up to {FORMAT}: "
        "upgrade it with pip install --upgrade stancewire"
    )


def _from_values(values: dict[str, Any]) -> Provenance:
    # The count came with format 3; before, all were named.
    values = {"skipped_count": len(values["skipped"]), **values}
    known = {field.name: values[field.name] for field in fields(Provenance)}
    known["labels"] = tuple(known["labels"])
    known["skipped"] = tuple(Skipped(**entry) for entry in known["skipped"])
    return Provenance(**known)


def _read_parts(out: Path, parts: Sequence[Path]) -> Provenance:
    import pyarrow.parquet as pq

    text = _read_parquet_metadata(parts[0])
    made = parse_provenance(text, str(parts[0]))
    sentences = 0
    for number, part in enumerate(parts):
        if part.name != part_name(number) or _read_parquet_metadata(part) != text:
            raise StancewireError(f"{out} holds {part.name} of another output, or lacks the part before it")
        sentences += pq.read_metadata(part).num_rows
    if sentences != made.sentences:
        raise StancewireError(
            f"{out} lacks parts: it holds {sentences:,} of {made.sentences:,} sentences; copy all of it"
        )
    return made


def _read_parquet_metadata(out: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(out).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise StancewireError(f"{out} is not a Parquet file that can be read: {error}") from None
    if METADATA_KEY.encode() not in metadata:
        raise StancewireError(f"{out} does not say what made it: it has no metadata of stancewire's")
    return str(metadata[METADATA_KEY.encode()], "utf-8", "replace")

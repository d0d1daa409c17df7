"""The sentences whose labels changed, written as JSON lines, CSV or Parquet: whole, or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from stancewire.errors import StancewireError
from stancewire.formats import without_surrogates
from stancewire.tables import Table

SUFFIXES: Final = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Change:
    """A label that a sentence gained or lost from the first scores to the second.

    Offsets are those in the text of the document; the probabilities are the label's, 0 to 1.
    """

    document: str
    date: str | None
    start: int
    end: int
    text: str
    label: str
    change: Literal["gained", "lost"]
    probability_first: float
    probability_second: float


class Writer(Protocol):
    """Takes changes, one after the other."""

    def write(self, change: Change) -> None:
        """Append one."""

    def commit(self) -> None:
        """Finish the file and give it its name."""


@contextmanager
def open_writer(path: Path | None, *, overwrite: bool = False) -> Iterator[Writer]:
    """Open a file of changes, which is there only if `commit` was called; without a path they are dropped.

    Raises StancewireError for another suffix, a folder that is missing, or a file that is already there and
    may not be overwritten.
    """
    if path is None:
        yield _Nowhere()
    elif path.suffix.lower() not in SUFFIXES:
        raise StancewireError(f"{path} should end in {', '.join(SUFFIXES)}: the suffix says what is written")
    elif path.suffix.lower() == ".jsonl":
        yield from _open_json_lines(path, overwrite)
    else:
        with Table(path, _schema(), overwrite=overwrite) as table:
            yield _Rows(table)


class _Nowhere:
    def write(self, change: Change) -> None:
        pass

    def commit(self) -> None:
        pass


class _Rows:
    def __init__(self, table: Table) -> None:
        self._table = table

    def write(self, change: Change) -> None:
        self._table.write(astuple(change))

    def commit(self) -> None:
        self._table.commit()


class _JsonLines:
    def __init__(self, path: Path, part: Path) -> None:
        self._path, self._part = path, part
        self.stream = part.open("xb")

    def write(self, change: Change) -> None:
        line = without_surrogates(json.dumps(asdict(change), ensure_ascii=False)) + "\n"
        self.stream.write(line.encode())

    def commit(self) -> None:
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        os.replace(self._part, self._path)


def _open_json_lines(path: Path, overwrite: bool) -> Iterator[Writer]:
    if not path.parent.is_dir():
        raise StancewireError(f"there is no folder {path.parent} to write {path.name} in: make it first")
    if path.is_dir():
        raise StancewireError(f"{path} is a folder: give the file another name")
    if path.exists() and not overwrite:
        raise StancewireError(f"{path} is already there: --overwrite (overwrite=True) replaces it")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        writer = _JsonLines(path, part)
        try:
            yield writer
        finally:
            with suppress(OSError):
                writer.stream.close()
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StancewireError(f"{path} cannot be written: {error.strerror or error}") from None


def _schema() -> Any:
    import pyarrow as pa

    kinds = (pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string())
    names = ("document", "date", "start", "end", "text", "label", "change")
    probabilities = [("probability_first", pa.float64()), ("probability_second", pa.float64())]
    return pa.schema([*zip(names, kinds, strict=True), *probabilities])

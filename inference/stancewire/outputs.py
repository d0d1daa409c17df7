"""Write an output so that it is whole or not there.

An output is written under a temporary name beside its own and renamed once it is whole; what interrupts a run
leaves the old output, or none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from stancewire.columns import ColumnKind
from stancewire.documents import Skipped
from stancewire.errors import StancewireError
from stancewire.formats import FORMATS, ScoredDocument, SpreadsheetCsv, without_surrogates
from stancewire.provenance import Provenance, errors_path, meta_path


class WriteError(StancewireError):
    """An output could not be written, as on a full disk."""


class Output:
    """An output file under way; a context manager that leaves nothing behind unless `commit` was called.

    The format is that of the suffix: `.jsonl`, `.csv` or `.parquet`. Raises StancewireError, when made, for
    another suffix, a folder that is missing, or an output that is already there and may not be overwritten.
    `columns` are what the documents came with, and of which kind; with `spreadsheet`, CSV has an apostrophe
    before cells that a spreadsheet would run.
    """

    def __init__(
        self,
        path: Path,
        labels: Sequence[str],
        *,
        columns: Mapping[str, ColumnKind] | None = None,
        spreadsheet: bool = False,
        overwrite: bool = False,
    ) -> None:
        check_place(path, labels)
        if not overwrite and (existing := find_existing(path)):
            raise StancewireError(f"{existing} is already there: --overwrite (overwrite=True) replaces it")
        self._path = path
        self._meta = meta_path(path)
        self._errors = errors_path(path)
        self._has_meta = path.suffix.lower() != ".parquet"
        self._parts = {name: name.with_name(f".{name.name}.new") for name in (path, self._meta, self._errors)}
        self._labels = tuple(labels)
        self._columns = columns
        self._form = SpreadsheetCsv if spreadsheet else FORMATS[path.suffix.lower()]
        self._error_stream: BinaryIO | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._undo.callback(_remove, *self._parts.values())
            with self._naming_faults():
                self._stream = self._open(self._path)
            self._format = self._form(self._stream, self._labels, self._columns)
            self._undo.callback(self._format.abandon)
        except BaseException:
            self._undo.close()
            raise
        return self

    def write(self, scored: ScoredDocument, line: str | None = None) -> None:
        """Append one document; `line` is what `to_line` makes of it, where that is known."""
        with self._naming_faults():
            self._format.write(scored, line)

    def skip(self, skipped: Skipped) -> None:
        """List a document that is not in the output, in the file of errors beside it."""
        with self._naming_faults():
            if self._error_stream is None:
                self._error_stream = self._open(self._errors)
            values = {"document": skipped.document, "reason": skipped.reason}
            line = without_surrogates(json.dumps(values, ensure_ascii=False)) + "\n"
            self._error_stream.write(line.encode())

    def commit(self, provenance: Provenance) -> None:
        """Finish the output and give it its name: from here on the file is there, and whole."""
        with self._naming_faults():
            self._format.finish(provenance)
            _sync(self._stream)
            self._stream.close()
            if self._has_meta:
                meta = self._open(self._meta)
                meta.write(without_surrogates(provenance.to_json()).encode())
                _sync(meta)
                meta.close()
            if self._error_stream is not None:
                _sync(self._error_stream)
                self._error_stream.close()
            # In this order a crash in between leaves an output without provenance, never one with another's.
            self._meta.unlink(missing_ok=True)
            self._errors.unlink(missing_ok=True)
            for name, part in self._parts.items():
                if part.exists():
                    os.replace(part, name)
            _sync_folder(self._path.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def _open(self, name: Path) -> BinaryIO:
        stream = self._parts[name].open("wb")
        self._undo.callback(_close, stream)
        return stream

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WriteError(f"{self._path} cannot be written: {error.strerror or error}") from None


def check_place(path: Path, labels: Sequence[str]) -> None:
    """Raise StancewireError for a form that is unknown or cannot hold the labels, or for a wrong place.

    A place is wrong if its folder is missing, or if it is a folder.
    """
    if path.suffix.lower() not in FORMATS:
        raise StancewireError(f"{path} should end in {', '.join(FORMATS)}: the suffix says what is written")
    if not path.parent.is_dir():
        raise StancewireError(f"there is no folder {path.parent} to write {path.name} in: make it first")
    if path.is_dir():
        raise StancewireError(f"{path} is a folder: give the output another name")
    FORMATS[path.suffix.lower()].check(labels)


def find_existing(path: Path) -> Path | None:
    """Name what is there of a finished output: itself, or else a file that belongs to it."""
    return next((name for name in (path, meta_path(path), errors_path(path)) if name.exists()), None)


def store_path(out: Path) -> Path:
    """Name the file beside an output that holds what an unfinished run has done."""
    return out.with_name(f".{out.name}.part")


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    # That the names outlast a power cut; Windows opens no folders.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _close(stream: BinaryIO) -> None:
    # What is still in the buffer of a full disk's file is not wanted any more.
    with suppress(OSError):
        stream.close()


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()

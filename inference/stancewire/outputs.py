"""Write an output so that it is whole or not there.

An output, a file or a folder of parts, is written under a temporary name beside its own and renamed once it
is whole; what interrupts a run leaves the old output, or none.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from stancewire.columns import ColumnKind
from stancewire.documents import Skipped
from stancewire.errors import StancewireError
from stancewire.formats import FORMATS, Format, Parquet, ScoredDocument, SpreadsheetCsv, without_surrogates
from stancewire.parts import SENTENCES_A_PART, holds_others, is_folder, part_name, part_paths
from stancewire.provenance import Provenance, errors_path, meta_path

_DIGEST: Final = ".digest"
_PART: Final = ".part.new"


class WriteError(StancewireError):
    """An output could not be written, as on a full disk."""


class Output:
    """An output file under way; a context manager that leaves nothing behind unless `commit` was called.

    The format is that of the suffix: `.jsonl`, `.csv` or `.parquet`; for a name without one `FolderOutput`
    writes a folder of Parquet files. Raises StancewireError, when made, for
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
        self._has_meta = path.suffix.lower() in (".jsonl", ".csv")
        self._parts = {name: name.with_name(f".{name.name}.new") for name in (path, self._meta, self._errors)}
        self._labels = tuple(labels)
        self._columns = columns
        self._form = SpreadsheetCsv if spreadsheet else FORMATS.get(path.suffix.lower(), Parquet)
        self._error_stream: BinaryIO | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._undo.callback(_remove, *self._parts.values())
            self._begin()
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
            self._finish(provenance)
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
                    _rename(part, name)
            _sync_folder(self._path.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def _begin(self) -> None:
        self._begin_file(self._parts[self._path])

    def _finish(self, provenance: Provenance) -> None:
        self._format.finish(provenance)
        _sync(self._stream)
        self._stream.close()

    def _begin_file(self, path: Path) -> None:
        with self._naming_faults():
            self._stream = self._open_new(path)
        self._format: Format = self._form(self._stream, self._labels, self._columns)
        self._undo.callback(self._format.abandon)

    def _open(self, name: Path) -> BinaryIO:
        return self._open_new(self._parts[name])

    def _open_new(self, path: Path) -> BinaryIO:
        stream = path.open("wb")
        self._undo.callback(_close, stream)
        return stream

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WriteError(f"{self._path} cannot be written: {error.strerror or error}") from None


class FolderOutput(Output):
    """A folder of Parquet files under way, each of about 100,000 sentences; no document is in two of them.

    `provenance`, that of all parts, stands in each; `digest` is that of all that will be written. A part is
    written beside its name and renamed. The folder under way stays where a run is cut short, and one of the
    same digest keeps the parts that are whole.
    """

    def __init__(
        self,
        path: Path,
        labels: Sequence[str],
        provenance: Provenance,
        digest: str,
        *,
        columns: Mapping[str, ColumnKind] | None = None,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, labels, columns=columns, overwrite=overwrite)
        self._provenance = provenance
        self._digest = digest
        self._under_way = self._parts[path]
        self._number = -1
        self._sentences = 0
        self._is_kept = False

    def write(self, scored: ScoredDocument, line: str | None = None) -> None:
        """Append one document."""
        with self._naming_faults():
            if self._sentences >= SENTENCES_A_PART:
                self._end_part()
                self._begin_part()
            if not self._is_kept:
                self._format.write(scored, line)
            self._sentences += len(scored.sentences)

    def _begin(self) -> None:
        with self._naming_faults():
            mark = self._under_way / _DIGEST
            if not mark.exists() or mark.read_text(encoding="utf-8") != self._digest:
                shutil.rmtree(self._under_way, ignore_errors=True)
                self._under_way.mkdir()
                mark.write_text(self._digest, encoding="utf-8")
                _sync_folder(self._under_way)
            self._begin_part()

    def _finish(self, provenance: Provenance) -> None:
        self._end_part()
        for path in self._under_way.iterdir():
            if path.name.startswith("."):
                path.unlink()
        _sync_folder(self._under_way)

    def _begin_part(self) -> None:
        self._number += 1
        self._sentences = 0
        self._is_kept = (self._under_way / part_name(self._number)).exists()
        if not self._is_kept:
            self._begin_file(self._under_way / _PART)

    def _end_part(self) -> None:
        if not self._is_kept:
            super()._finish(self._provenance)
            os.replace(self._under_way / _PART, self._under_way / part_name(self._number))


def parse_out(out: str | Path) -> Path:
    """Read the name of an output; one that ends in a slash is a folder of parts, and has no suffix.

    Raises StancewireError for a name that ends in a slash and has one.
    """
    path = Path(out)
    if isinstance(out, str) and out.endswith(("/", os.sep)) and not is_folder(path):
        raise StancewireError(f"{out} should have no suffix: a folder of parts is known by that")
    return path


def check_place(path: Path, labels: Sequence[str]) -> None:
    """Raise StancewireError for a form that is unknown or cannot hold the labels, or for a wrong place.

    A place is wrong if its folder is missing, or if it is a folder, but one of parts where that is asked for.
    """
    if path.suffix.lower() not in FORMATS and not is_folder(path):
        raise StancewireError(
            f"{path} should end in {', '.join(FORMATS)}: the suffix says what is written; "
            "a name without one is a folder of Parquet files"
        )
    if not path.parent.is_dir():
        raise StancewireError(f"there is no folder {path.parent} to write {path.name} in: make it first")
    if is_folder(path):
        if path.is_file() or (path.is_dir() and holds_others(path)):
            raise StancewireError(
                f"{path} is there and is no folder of scores: give them a folder of their own, or a file "
                f"that ends in {', '.join(FORMATS)}"
            )
        return
    if path.is_dir():
        raise StancewireError(f"{path} is a folder: give the output another name")
    FORMATS[path.suffix.lower()].check(labels)


def find_existing(path: Path) -> Path | None:
    """Name what is there of a finished output: itself, or else a file that belongs to it."""
    names = (path, meta_path(path), errors_path(path))
    return next((name for name in names if (part_paths(name) if name.is_dir() else name.exists())), None)


def put_back(path: Path) -> None:
    """Give a folder its name again that a run had moved away when it was killed before the new one had it."""
    old = _old_path(path)
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(old, path)


def store_path(out: Path) -> Path:
    """Name the file beside an output that holds what an unfinished run has done."""
    return out.with_name(f".{out.name}.part")


def _old_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _rename(part: Path, name: Path) -> None:
    # A folder takes the place of none but an empty one.
    if part.is_dir() and name.exists():
        old = _old_path(name)
        os.replace(name, old)
        os.replace(part, name)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(part, name)


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

"""Write an output so that it is whole or not there.

An output is written under a temporary name beside its own and renamed once it is whole; what interrupts a run
leaves the old output, or none.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from stancewire.errors import StancewireError
from stancewire.formats import FORMATS, ScoredDocument, without_surrogates
from stancewire.provenance import Provenance, meta_path


class Output:
    """An output file under way; a context manager that leaves nothing behind unless `commit` was called.

    The format is that of the suffix: `.jsonl`, `.csv` or `.parquet`. Raises StancewireError, when made, for
    another suffix, a folder that is missing, or an output that is already there and may not be overwritten.
    """

    def __init__(self, path: Path, labels: Sequence[str], *, overwrite: bool = False) -> None:
        self._path = path
        self._meta = meta_path(path)
        self._has_meta = path.suffix.lower() != ".parquet"
        _check(path, overwrite)
        token = secrets.token_hex(4)
        self._part = path.with_name(f".{path.name}.{token}.part")
        self._meta_part = path.with_name(f".{self._meta.name}.{token}.part")
        self._labels = tuple(labels)
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._undo.callback(_remove, self._part, self._meta_part)
            with self._naming_faults():
                self._stream = self._part.open("xb")
            self._undo.callback(_close, self._stream)
            self._format = FORMATS[self._path.suffix.lower()](self._stream, self._labels)
            self._undo.callback(self._format.abandon)
        except BaseException:
            self._undo.close()
            raise
        return self

    def write(self, scored: ScoredDocument) -> None:
        """Append one document."""
        with self._naming_faults():
            self._format.write(scored)

    def commit(self, provenance: Provenance) -> None:
        """Finish the output and give it its name: from here on the file is there, and whole."""
        with self._naming_faults():
            self._format.finish(provenance)
            _sync(self._stream)
            if self._has_meta:
                with self._meta_part.open("xb") as meta:
                    meta.write(without_surrogates(provenance.to_json()).encode())
                    _sync(meta)
            self._stream.close()
            # In this order a crash in between leaves an output without provenance, never one with another's.
            self._meta.unlink(missing_ok=True)
            os.replace(self._part, self._path)
            if self._has_meta:
                os.replace(self._meta_part, self._meta)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StancewireError(f"{self._path} cannot be written: {error.strerror or error}") from None


def _check(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() not in FORMATS:
        raise StancewireError(f"{path} should end in {', '.join(FORMATS)}: the suffix says what is written")
    if not path.parent.is_dir():
        raise StancewireError(f"there is no folder {path.parent} to write {path.name} in: make it first")
    if path.is_dir():
        raise StancewireError(f"{path} is a folder: give the output another name")
    existing = [name for name in (path, meta_path(path)) if name.exists()]
    if existing and not overwrite:
        raise StancewireError(f"{existing[0]} is already there: --overwrite (overwrite=True) replaces it")


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _close(stream: BinaryIO) -> None:
    # What is still in the buffer of a full disk's file is not wanted any more.
    with suppress(OSError):
        stream.close()


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()

"""Write a table so that it is whole or not there, as CSV or Parquet: the suffix says which.

It is written under a temporary name beside its own and renamed once it is whole.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from stancewire.errors import StancewireError
from stancewire.formats import without_surrogates
from stancewire.parquet_rows import ParquetRows

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES: Final = (".csv", ".parquet")
"""The suffixes that a table may have, in any case."""


class Table:
    """A table under way; a context manager that leaves nothing behind unless `commit` was called.

    CSV is in UTF-8, quoted as RFC 4180 says: lists joined by `;`, `true` or `false`, nothing for null. Raises
    StancewireError, when made, for another suffix, a folder that is missing, or a file that is already there
    and may not be overwritten.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, overwrite: bool = False) -> None:
        check_writable(path, overwrite=overwrite)
        self._path = path
        self._schema = schema
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._undo.callback(_remove, self._part)
            with self._naming_faults():
                self._stream = self._part.open("xb")
                self._undo.callback(_close, self._stream)
                form = _Parquet if self._path.suffix.lower() == ".parquet" else _Csv
                self._form: _Form = form(self._stream, self._schema)
            self._undo.callback(self._form.abandon)
        except BaseException:
            self._undo.close()
            raise
        return self

    def write(self, row: Sequence[Any]) -> None:
        """Append a row, a value for each field of the schema."""
        with self._naming_faults():
            self._form.write(row)

    def commit(self) -> None:
        """Finish the table and give it its name: from here on the file is there, and whole."""
        with self._naming_faults():
            self._form.finish()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            os.replace(self._part, self._path)

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


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise StancewireError for a table that could not be written, or should not be written over."""
    if path.suffix.lower() not in SUFFIXES:
        raise StancewireError(
            f"{path} should end in {' or '.join(SUFFIXES)}: the suffix says what is written"
        )
    if not path.parent.is_dir():
        raise StancewireError(f"there is no folder {path.parent} to write {path.name} in: make it first")
    if path.is_dir():
        raise StancewireError(f"{path} is a folder: give the table another name")
    if path.exists() and not overwrite:
        raise StancewireError(f"{path} is already there: --overwrite (overwrite=True) replaces it")


class _Form(ABC):
    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self._stream = stream
        self._schema = schema

    @abstractmethod
    def write(self, row: Sequence[Any]) -> None: ...

    @abstractmethod
    def finish(self) -> None: ...

    def abandon(self) -> None:  # noqa: B027 - CSV has nothing to let go of
        pass


class _Csv(_Form):
    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        super().__init__(stream, schema)
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._writer.writerow(schema.names)

    def write(self, row: Sequence[Any]) -> None:
        self._writer.writerow([_cell(value) for value in row])

    def finish(self) -> None:
        self._text.detach()


class _Parquet(_Form):
    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        super().__init__(stream, schema)
        self._writer = ParquetRows(stream, schema)

    def write(self, row: Sequence[Any]) -> None:
        self._writer.write([without_surrogates(value) if isinstance(value, str) else value for value in row])

    def finish(self) -> None:
        self._writer.finish()

    def abandon(self) -> None:
        self._writer.abandon()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return without_surrogates(";".join(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return without_surrogates(value) if isinstance(value, str) else value


def _close(stream: BinaryIO) -> None:
    # What is still in the buffer of a full disk's file is not wanted any more.
    with suppress(OSError):
        stream.close()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()

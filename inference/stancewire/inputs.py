"""Open what was found, and give the documents in it one after the other, as they came.

Files, standard input, gzip and zip archives; of each a document, a web page, or the rows of a table. Nothing
is unpacked under a name of its own, and memory does not grow with what a file holds.
"""

from __future__ import annotations

import codecs
import functools
import gzip
import io
import json
import lzma
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, cast

from stancewire.documents import (
    KINDS,
    STANDARD_INPUT,
    DocumentError,
    Kind,
    Skipped,
    Source,
    counted_suffix,
    fingerprint,
    kind_of,
    printable_name,
)
from stancewire.errors import StancewireError
from stancewire.rows import (
    ColumnError,
    Row,
    RowOptions,
    column_text,
    read_csv,
    read_json_lines,
    read_parquet,
    too_large,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MOST_GROWTH: Final = 1_000
# Of a small archive the ratio says little.
_LEAST_PACKED: Final = 4_096
_HEAD: Final = 1 << 16
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_MAGIC: Final[Mapping[bytes, Kind]] = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"PAR1": "parquet"}
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TABLES: Final[Mapping[Kind, Callable[[str, BinaryIO, RowOptions], Iterator[Row]]]] = {
    "jsonl": read_json_lines,
    "csv": read_csv,
    "parquet": read_parquet,
}


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A document before it is decoded, and what came with it."""

    name: str
    content: bytes
    is_html: bool = False
    date: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of all of it; of a file that is one document, of its bytes."""
        if self.date is None and not self.columns:
            return fingerprint(self.content)
        rest = json.dumps([self.date, self.columns]).encode()
        return fingerprint(len(rest).to_bytes(8, "big") + rest + self.content)


class Inputs:
    """The documents of what was found, in order, and why others cannot be read; to be gone through once.

    `consumed` is how many bytes of the files were read so far; `ignored` counts what in archives is of no
    kind that is looked at, by suffix.
    """

    def __init__(self, found: Iterable[Source | Skipped], options: RowOptions | None = None) -> None:
        self.consumed = 0
        self.ignored: Counter[str] = Counter()
        self._found = found
        self._options = options or RowOptions()
        self._position: Callable[[], int] = int
        self._check: Callable[[str], None] = _accept

    def __iter__(self) -> Iterator[RawDocument | Skipped]:
        done = 0
        for entry in self._found:
            if isinstance(entry, Skipped):
                yield entry
                continue
            for document in self._guarded(entry):
                self.consumed = max(self.consumed, done + min(self._position(), entry.size))
                yield document
            done += entry.size
            self.consumed = done

    def _guarded(self, source: Source) -> Iterator[RawDocument | Skipped]:
        self._position, self._check = int, _accept
        try:
            if source.path == STANDARD_INPUT:
                yield from self._sniffed(source.id, sys.stdin.buffer)
                return
            with source.path.open("rb") as stream:
                self._position = lambda: 0 if stream.closed else stream.tell()
                self._check = _Unchanged(stream)
                yield from self._documents(source.id, _kind(source.path), stream)
        except DocumentError as error:
            yield Skipped(error.document, error.reason)
        except _BROKEN as error:
            yield Skipped(source.id, f"cannot be read: {_reason(error)}")

    def _documents(self, name: str, kind: Kind, stream: BinaryIO) -> Iterator[RawDocument | Skipped]:
        if kind == "gzip":
            yield from self._unpacked(name, stream)
        elif kind == "zip":
            yield from self._archive(name, _seekable(stream))
        elif kind in _TABLES:
            table = _seekable(stream) if kind == "parquet" else stream
            for row in _TABLES[kind](name, table, self._options):
                yield self._row(name, row)
            self._check(name)
        else:
            yield self._whole(name, stream, kind == "html")

    def _sniffed(self, name: str, stream: BinaryIO) -> Iterator[RawDocument | Skipped]:
        head = stream.read(_HEAD)
        chained = io.BufferedReader(_Chained(head, stream), _HEAD)
        yield from self._documents(name, _sniff(head, self._options), chained)

    def _unpacked(self, name: str, stream: BinaryIO) -> Iterator[RawDocument | Skipped]:
        inner = PurePosixPath(name.removesuffix(PurePosixPath(name).suffix))
        with gzip.GzipFile(fileobj=stream) as opened:
            unpacked = io.BufferedReader(
                _Unpacked(cast("IO[bytes]", opened), _Growth(name, stream.tell)), _HEAD
            )
            if inner.suffix and name != str(inner):
                yield from self._documents(name, _kind(inner), unpacked)
            else:
                yield from self._sniffed(name, unpacked)

    def _archive(self, name: str, stream: BinaryIO) -> Iterator[RawDocument | Skipped]:
        size = stream.seek(0, os.SEEK_END)
        growth = _Growth(name, lambda: size)
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if not member.filename:
                    yield Skipped(name, "holds a file without a name")
                    continue
                path = PurePosixPath(member.filename.replace("\\", "/"))
                if member.is_dir() or any(_is_hidden(part) for part in path.parts):
                    continue
                kind = kind_of(path)
                if kind is None:
                    self.ignored[printable_name(counted_suffix(path))] += 1
                    continue
                place = printable_name(f"{name}/{path}")
                try:
                    _refuse_member(place, path, kind, member)
                    with archive.open(member) as opened:
                        packed = _Growth(place, functools.partial(int, member.compress_size))
                        unpacked = io.BufferedReader(_Unpacked(opened, packed, growth), _HEAD)
                        yield from self._documents(place, kind, unpacked)
                except DocumentError as error:
                    yield Skipped(error.document, error.reason)
                    if error.document == name:
                        return
                except _BROKEN as error:
                    yield Skipped(place, f"cannot be read: {_reason(error)}")

    def _whole(self, name: str, stream: BinaryIO, is_html: bool) -> RawDocument:
        content = stream.read(self._options.max_bytes + 1)
        self._check(name)
        if len(content) > self._options.max_bytes:
            raise DocumentError(name, too_large(self._options))
        if not content:
            raise DocumentError(name, "is empty")
        return RawDocument(name, content, is_html)

    def _row(self, table: str, row: Row) -> RawDocument | Skipped:
        options = self._options
        values = dict(row.values)
        name = column_text(values.pop(options.id_column or "id", None))
        name = _SURROGATE.sub("\ufffd", name) if name else f"{table}:{row.number}"
        if row.reason is not None:
            return Skipped(name, row.reason)
        text = values.pop(options.text_column, None)
        if isinstance(text, str):
            text = _SURROGATE.sub("\ufffd", text).encode()
        if text is None or not text:
            return Skipped(name, f"has no {options.text_column}")
        if not isinstance(text, bytes):
            return Skipped(name, f"has something else than text in {options.text_column}")
        if len(text) > options.max_bytes:
            return Skipped(name, too_large(options))
        date = column_text(values.pop(options.date_column or "date", None))
        columns = {
            _SURROGATE.sub("\ufffd", column): plain
            for column, value in sorted(values.items())
            if (plain := column_text(value) if isinstance(value, bytes) else value) not in (None, "")
        }
        return RawDocument(name, text, date=date, columns=columns)


def refuse_columns(paths: Sequence[Path], options: RowOptions) -> None:
    """Raise StancewireError if a table that is named itself lacks a column that is asked for."""
    for path in paths:
        kind = kind_of(path)
        if kind in ("csv", "parquet") and path.is_file():
            try:
                with path.open("rb") as stream:
                    next(_TABLES[kind](str(path), stream, options), None)
            except ColumnError as error:
                raise StancewireError(str(error)) from None
            except (DocumentError, *_BROKEN):
                continue


class _Growth:
    """How much came out of an archive, or of one file in it, for what went in."""

    def __init__(self, name: str, packed: Callable[[], int]) -> None:
        self._name = name
        self._packed = packed
        self._size = 0

    def add(self, size: int) -> None:
        self._size += size
        if self._size > _MOST_GROWTH * max(self._packed(), _LEAST_PACKED):
            raise DocumentError(
                self._name, f"unpacks to more than {_MOST_GROWTH:,} times its size, and is not read further"
            )


class _Unpacked(io.RawIOBase):
    """What comes out of an archive, as long as it is not suspiciously much."""

    def __init__(self, stream: IO[bytes], *growths: _Growth) -> None:
        self._stream = stream
        self._growths = growths
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        content = self._stream.read(len(view))
        view[: len(content)] = content
        self._size += len(content)
        for growth in self._growths:
            growth.add(len(content))
        return len(content)

    def tell(self) -> int:
        return self._size


class _Chained(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        content = self._head[: len(view)] or self._rest.read(len(view))
        self._head = self._head[len(view) :]
        view[: len(content)] = content
        self._size += len(content)
        return len(content)

    def tell(self) -> int:
        return self._size


class _Unchanged:
    """Refuses a file that changed since it was opened."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._state = self._look()

    def __call__(self, name: str) -> None:
        if self._look() != self._state:
            raise DocumentError(name, "changed while it was read")

    def _look(self) -> tuple[int, int]:
        status = os.fstat(self._stream.fileno())
        return status.st_size, status.st_mtime_ns


def _accept(name: str) -> None:
    """Take standard input as it comes."""


def _kind(path: PurePath) -> Kind:
    # A file that is named itself is tried, whatever its name.
    return kind_of(path) or ("html" if KINDS.get(path.suffix.lower()) == "html" else "text")


def _sniff(head: bytes, options: RowOptions) -> Kind:
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if _HTML.match(head):
        return "html"
    line = head.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")[0].strip()
    if re.match(rb'\{\s*"', line) and (line.endswith(b"}") or len(line) > _HEAD // 2):
        return "jsonl"
    columns = re.split(rb"[,;\t|]", line.replace(b'"', b""))
    return "csv" if len(columns) > 1 and options.text_column.encode() in columns else "text"


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def _refuse_member(place: str, path: PurePosixPath, kind: Kind, member: zipfile.ZipInfo) -> None:
    if ".." in path.parts or path.is_absolute() or ":" in path.parts[0]:
        raise DocumentError(place, "has a name that leads out of the archive, and is not read")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DocumentError(place, "is a link, and links in archives are not followed")
    if kind == "zip":
        raise DocumentError(place, "is an archive in an archive: unpack that one first")


def _seekable(stream: BinaryIO) -> BinaryIO:
    if stream.seekable():
        return stream
    # Without a name, so that nothing of it is left whatever ends the process.
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is gone with the last word of it
    shutil.copyfileobj(stream, copy, 1 << 20)
    copy.seek(0)
    return copy


def _reason(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__

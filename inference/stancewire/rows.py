"""Read the rows of JSON lines, CSV and Parquet, one after the other."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any, BinaryIO, Final

from stancewire.decoding import NotTextError, decode
from stancewire.documents import MAX_BYTES, DocumentError
from stancewire.provenance import METADATA_KEY

_DEEPEST: Final = 50
_DELIMITERS: Final = (",", ";", "\t", "|")
_ROWS_AT_A_TIME: Final = 64
# What tables call the column with the text, the likeliest first.
_LIKELY: Final = ("text", "body", "content", "article", "story", "sentence")
_STRAY = re.compile("[\udc80-\udcff]")


class ColumnError(DocumentError):
    """A table lacks a column that is asked for."""


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Which columns hold what, and how many bytes a text may have.

    Without `id_column` the column `id` names a document where there is one, without `date_column` the column
    `date` dates it.
    """

    text_column: str = "text"
    id_column: str | None = None
    date_column: str | None = None
    max_bytes: int = MAX_BYTES

    @property
    def demanded(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return tuple(name for name in (self.text_column, self.id_column, self.date_column) if name)


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number, as an editor or a spreadsheet counts, and its values; or why it cannot be read."""

    number: int
    values: Mapping[str, Any]
    reason: str | None = None


def read_json_lines(name: str, stream: BinaryIO, options: RowOptions) -> Iterator[Row]:
    """Read the lines that are not blank; raises DocumentError for a file in UTF-16."""
    # An escaped character takes up to six bytes, and there are other values.
    longest = 6 * options.max_bytes + 1_000_000
    number = 0
    while line := stream.readline(longest + 1):
        number += 1
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DocumentError(name, "is in UTF-16, and JSON lines are in UTF-8")
        if len(line) > longest:
            while line and not line.endswith(b"\n"):
                line = stream.readline(1 << 20)
            yield Row(number, {}, too_large(options))
        elif line.strip():
            yield _parse(number, line.removeprefix(codecs.BOM_UTF8).strip())


def read_csv(name: str, stream: BinaryIO, options: RowOptions) -> Iterator[Row]:
    """Read the rows under a header; what parts them is told by it: comma, semicolon, tab or stroke.

    Raises DocumentError if a column that is asked for is not there, or for damaged UTF-16.
    """
    csv.field_size_limit(2**31 - 1)
    head = stream.peek(4)[:4] if isinstance(stream, io.BufferedReader) else b""
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding, errors = ("utf-16", "strict") if is_utf16 else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(stream, encoding, errors, newline="")
    try:
        yield from _csv_rows(name, text, options)
    except UnicodeError as error:
        raise DocumentError(name, f"begins as UTF-16 and goes on otherwise ({error})") from None
    finally:
        text.detach()


def read_parquet(name: str, stream: BinaryIO, options: RowOptions) -> Iterator[Row]:
    """Read the rows of a file that can be sought in.

    Raises DocumentError if it is damaged, is an output of stancewire, or lacks a column that is asked for.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stream, buffer_size=1 << 16, pre_buffer=False) as file:
            if METADATA_KEY.encode() in (file.metadata.metadata or {}):
                raise DocumentError(name, "is an output of stancewire score, not articles")
            _demand(name, file.schema_arrow.names, options)
            number = 0
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                for values in batch.to_pylist():
                    number += 1
                    yield _plain_row(number, values)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DocumentError(name, f"is not a Parquet file that can be read: {reason}") from None


def _parse(number: int, line: bytes) -> Row:
    try:
        values = json.loads(line.decode("utf-8"), parse_constant=_nothing, parse_float=_finite)
    except UnicodeDecodeError:
        return Row(number, {}, "is not in UTF-8, as JSON lines are")
    except json.JSONDecodeError as error:
        return Row(number, {}, f"is not JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"is not JSON that can be read: {error}")
    if not isinstance(values, dict):
        return Row(number, {}, "is not a JSON object")
    return _plain_row(number, values)


def _csv_rows(name: str, text: io.TextIOWrapper, options: RowOptions) -> Iterator[Row]:
    lines = _Lines(name, text, options)
    first = next(lines, "")
    if not first.strip():
        raise DocumentError(name, "has no header: its first line should name the columns")
    headers = [next(csv.reader([first], delimiter=delimiter), []) for delimiter in _DELIMITERS]
    # Where the text column is missing, what parts most shows the columns that there are.
    most = max(range(len(headers)), key=lambda n: len(headers[n]))
    chosen = next((n for n, header in enumerate(headers) if options.text_column in header), most)
    header = _unique(headers[chosen])
    _demand(name, header, options)
    reader = csv.reader(lines, delimiter=_DELIMITERS[chosen])
    for number in itertools.count(2):
        lines.begin_row(number)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, {}, f"is not CSV: {error}")
            continue
        if len(cells) > len(header):
            yield Row(number, {}, f"has {len(cells)} cells, and the header {len(header)}")
        elif cells:
            yield Row(number, {name: _cell(cell) for name, cell in zip(header, cells, strict=False)})


class _Lines:
    """The lines of a table; refuses a row without an end, which would be read until memory is full."""

    def __init__(self, name: str, text: io.TextIOWrapper, options: RowOptions) -> None:
        self._name = name
        self._text = text
        self._longest = 4 * options.max_bytes + 1_000_000
        self.begin_row(1)

    def begin_row(self, number: int) -> None:
        self._number = number
        self._left = self._longest

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise DocumentError(
                self._name,
                f"is not read beyond row {self._number}, which has more than {self._longest / 1e6:g} MB: "
                "is a quotation mark left open?",
            )
        if not line:
            raise StopIteration
        return line


def _unique(header: Sequence[str]) -> list[str]:
    names: list[str] = []
    for position, name in enumerate(header, 1):
        wanted = name.strip() or f"column {position}"
        unique, number = wanted, 1
        while unique in names:
            number += 1
            unique = f"{wanted} {number}"
        names.append(unique)
    return names


def _demand(name: str, columns: Sequence[str], options: RowOptions) -> None:
    for wanted in options.demanded:
        if wanted not in columns:
            way_out = _way_out(columns) if wanted == options.text_column else ""
            raise ColumnError(
                name, f"has no column {wanted!r}; its columns are {', '.join(columns)}{way_out}"
            )


def _way_out(columns: Sequence[str]) -> str:
    texts = [name for likely in _LIKELY for name in columns if likely in name.casefold()]
    named = shlex.quote(texts[0]) if texts else "NAME"
    return f": name the one with the text, `--text-column {named}`"


def _cell(cell: str) -> str | bytes:
    # Bytes that are no UTF-8 are decoded with the rest of their cell.
    return cell.encode("utf-8", "surrogateescape") if _STRAY.search(cell) else cell


def _plain_row(number: int, values: Mapping[str, Any]) -> Row:
    try:
        return Row(number, {str(name): _plain(value) for name, value in values.items()})
    except RecursionError:
        return Row(number, {}, f"is nested more than {_DEEPEST} deep")


def _plain(value: Any, depth: int = 0) -> Any:
    # What JSON can hold, and bytes, which may be a text.
    if depth > _DEEPEST:
        raise RecursionError
    if value is None or isinstance(value, str | bool | int | bytes):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {
            str(name): _plain(column_text(entry) if isinstance(entry, bytes) else entry, depth + 1)
            for name, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _plain(column_text(entry) if isinstance(entry, bytes) else entry, depth + 1) for entry in value
        ]
    return value.isoformat() if isinstance(value, date | time) else str(value)


def column_text(value: Any) -> str | None:
    """Write a value as text; nothing, and bytes that are no text, become None."""
    if isinstance(value, bytes):
        try:
            return decode(value).text
        except NotTextError:
            return None
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None or value == "" else str(value)


def too_large(options: RowOptions) -> str:
    """Say why a document is refused that has too many bytes."""
    return f"is larger than the {options.max_bytes / 1e6:g} MB that one document may have"


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _nothing(_: str) -> None:
    return None

"""Annotated sentences: what a row of a corpus holds, and the readers for JSONL and CSV.

JSONL has one object a line: `text`, and `stances`, a list of `{"label", "source", "target"}` with, where
the words of a span stand several times in the sentence, `source_start` or `target_start`. Without spans,
`labels` (a list of labels) does. `doc` and `i` say which article a sentence is from and at which position,
from 0. Other keys are kept as they are in `extra`.

CSV has the columns `text` and `labels` (parted by semicolons, empty for none), and may have `doc` and `i`;
further columns go to `extra`. Spans need JSONL.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, Final

from stancewire.errors import StancewireError

AUTHOR: Final = "@author"
SUFFIXES: Final = (".jsonl", ".csv")

_STANCE_KEYS = ("label", "source", "source_start", "target", "target_start")
_ROW_KEYS = ("text", "stances", "labels", "doc", "i")


@dataclass(frozen=True, slots=True)
class AnnotatedStance:
    """One label of a sentence: who performs the act, and whom it is aimed at.

    `source` and `target` are the words of the sentence, or None where it names nobody; a source may be
    AUTHOR, the writer. A start is the offset of a span, in characters from 0, given where the words stand
    several times.
    """

    label: str
    source: str | None = None
    source_start: int | None = None
    target: str | None = None
    target_start: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedSentence:
    """A sentence with the stances it was given; `file` and `line` say where it was read."""

    text: str
    stances: tuple[AnnotatedStance, ...] = ()
    doc: str | None = None
    i: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0

    @property
    def labels(self) -> frozenset[str]:
        """The labels that hold."""
        return frozenset(stance.label for stance in self.stances)


def read_annotations(
    path: str | Path, on_fault: Callable[[int, str], object] | None = None
) -> list[AnnotatedSentence]:
    """Read the sentences of a `.jsonl` or `.csv` file in order; a BOM and empty lines are passed over.

    A row that cannot be read raises StancewireError with file and line; with `on_fault` it is left out and
    told as (line, what is wrong). A file that cannot be read at all always raises.
    """
    return _read_rows(Path(path), lambda row: row, on_fault)


def _read_rows(
    path: Path,
    prepare: Callable[[dict[str, Any]], dict[str, Any]],
    on_fault: Callable[[int, str], object] | None,
) -> list[AnnotatedSentence]:
    if path.suffix.lower() not in SUFFIXES:
        raise StancewireError(f"{path} should be a .jsonl or .csv file of annotated sentences")
    try:
        raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise StancewireError(f"{path} cannot be read: {error.strerror}") from None

    sentences = []
    for line, row in _json_rows(raw) if path.suffix.lower() == ".jsonl" else _csv_rows(raw):
        try:
            ready = prepare(row) if isinstance(row, dict) else row
            sentences.append(parse_annotation(ready, str(path), line))
        except StancewireError as fault:
            if on_fault is None:
                raise StancewireError(f"{path}, line {line}: {fault}") from None
            on_fault(line, str(fault))
    return sentences


def read_annotated(path: str | Path) -> list[AnnotatedSentence]:
    """Read the sentences of a file, or of all the `.jsonl` and `.csv` files right in a folder, by name.

    Raises StancewireError as `read_annotations` does, and for a folder without such a file.
    """
    path = Path(path)
    if not path.is_dir():
        return read_annotations(path)
    files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
    if not files:
        raise StancewireError(f"{path} has no .jsonl or .csv file of annotated sentences")
    return [sentence for file in files for sentence in read_annotations(file)]


def read_texts(path: str | Path) -> list[str]:
    """Read the column `text` of a `.jsonl` or `.csv` file, annotated or not; raises as `read_annotations`."""
    return [sentence.text for sentence in _read_rows(Path(path), lambda row: {**row, "stances": []}, None)]


def parse_annotation(row: object, file: str = "", line: int = 0) -> AnnotatedSentence:
    """Make a sentence of a row of a corpus: a mapping with the keys that the head of this module describes.

    Raises StancewireError that says what is wrong with the row, without file and line: the reader knows them.
    """
    if isinstance(row, StancewireError):
        raise row
    if not isinstance(row, dict):
        raise StancewireError("should be an object with text and stances")
    text, doc, i = row.get("text"), row.get("doc"), row.get("i")
    if not isinstance(text, str) or not text.strip():
        state = "missing" if "text" not in row else "empty" if isinstance(text, str) else "not a string"
        raise StancewireError(f"text should be a sentence, and is {state}")
    if doc is not None and (not isinstance(doc, str) or not doc):
        raise StancewireError(f"doc should be the name of an article or null, not {doc!r}")
    if i is not None and not _is_offset(i):
        raise StancewireError(f"i should be a position in an article, from 0, or null, not {i!r}")
    extra = {key: value for key, value in row.items() if key not in _ROW_KEYS}
    return AnnotatedSentence(text, _parse_stances(row), doc, i, extra, file, line)


def find_span(text: str, words: str, start: int | None = None) -> tuple[int, int]:
    """Find the words of a span in a sentence: its start and end, `text[start:end] == words`.

    A span is a whole-word match: no letter, digit or underscore stands right before or after it. Raises
    StancewireError if there is no such match, if there are several and `start` does not say which, or if
    `start` is not where one of them stands.
    """
    # A look-ahead, so that matches that overlap are found.
    starts = [match.start() for match in re.finditer(rf"(?<!\w)(?={re.escape(words)}(?!\w))", text)]
    if not words or not starts:
        where = "only inside another word" if words and words in text else "nowhere in the sentence"
        raise StancewireError(f"the span {words!r} stands {where}")
    if start is None and len(starts) > 1:
        raise StancewireError(
            f"the span {words!r} stands {len(starts)} times in the sentence (at {_listed(starts)}): "
            "a start should say which is meant"
        )
    if start is not None and start not in starts:
        raise StancewireError(f"the span {words!r} does not stand at {start}, but at {_listed(starts)}")
    found = starts[0] if start is None else start
    return found, found + len(words)


def _json_rows(raw: bytes) -> Iterator[tuple[int, object]]:
    # Split by bytes: a line separator such as U+2028 may stand inside a JSON string.
    for line, encoded in enumerate(raw.split(b"\n"), start=1):
        if encoded.strip():
            yield line, _parse_json(encoded)


def _parse_json(encoded: bytes) -> object:
    try:
        row = json.loads(encoded.decode("utf-8"))
        if b"\\u" in encoded:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
        return row
    except UnicodeDecodeError as error:
        return StancewireError(f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8")
    except UnicodeEncodeError:
        return StancewireError("has half of a surrogate pair, which is no character")
    except (ValueError, RecursionError) as error:
        return StancewireError(f"is not JSON ({error})")


def _csv_rows(raw: bytes) -> Iterator[tuple[int, object]]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        yield raw.count(b"\n", 0, error.start) + 1, StancewireError("is not UTF-8: save the file as UTF-8")
        return
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        columns = next(reader, [])
        if columns.count("text") != 1 or columns.count("labels") != 1:
            yield line, StancewireError("should name columns, text and labels among them, parted by commas")
            return
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                yield line, _csv_row(columns, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        yield line, StancewireError(f"is not CSV ({error}): what follows was not read")


def _csv_row(columns: list[str], cells: list[str]) -> object:
    if len(cells) != len(columns):
        return StancewireError(f"has {len(cells)} cells, but the first line names {len(columns)} columns")
    row: dict[str, Any] = dict(zip(columns, cells, strict=True))
    row["labels"] = [label.strip() for label in row["labels"].split(";") if label.strip()]
    row["doc"] = row.get("doc") or None
    position = row.get("i") or None
    row["i"] = int(position) if position and re.fullmatch("[0-9]{1,9}", position) else position
    row.pop("stances", None)
    return row


def _parse_stances(row: dict[str, Any]) -> tuple[AnnotatedStance, ...]:
    if isinstance(row.get("stances"), list):
        return tuple(_parse_stance(stance) for stance in row["stances"])
    if isinstance(row.get("labels"), list) and "stances" not in row:
        return tuple(_parse_stance({"label": label}) for label in row["labels"])
    raise StancewireError("stances should be a list, empty for a sentence without any")


def _parse_stance(stance: object) -> AnnotatedStance:
    if not isinstance(stance, dict):
        raise StancewireError(f"a stance should be an object with a label, not {stance!r}")
    for key in stance:
        if key not in _STANCE_KEYS:
            near = get_close_matches(str(key), _STANCE_KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(_STANCE_KEYS)}"
            raise StancewireError(f"a stance has the unknown key {key!r}: {hint}")
    label = stance.get("label")
    if not isinstance(label, str) or not label.strip():
        raise StancewireError(f"the label of a stance should be a name, not {label!r}")
    for role in ("source", "target"):
        words, start = stance.get(role), stance.get(f"{role}_start")
        if words is not None and (not isinstance(words, str) or not words):
            raise StancewireError(f"{role} should be words of the sentence or null, not {words!r}")
        if start is not None and not _is_offset(start):
            raise StancewireError(f"{role}_start should be an offset, from 0, or null, not {start!r}")
        if start is not None and words in (None, AUTHOR):
            raise StancewireError(f"{role}_start says where words stand, but {role} is {json.dumps(words)}")
    return AnnotatedStance(**stance)


def _is_offset(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _listed(starts: list[int]) -> str:
    return f"{', '.join(map(str, starts[:-1]))} and {starts[-1]}" if len(starts) > 1 else str(starts[0])

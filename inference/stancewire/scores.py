"""Read back what `stancewire score` wrote, in any of its forms, a document at a time.

Memory does not grow with the number of documents. `docs/output.md` describes what is read; a `date` key or
column, which a user may fill in, is read where there is one.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from stancewire.classifier import Stance
from stancewire.errors import StancewireError
from stancewire.formats import PROBABILITY_PREFIX, column_names
from stancewire.parts import part_paths
from stancewire.provenance import meta_path, read_provenance
from stancewire.spans import SourceKind, Span
from stancewire.spreadsheet import unguard

_SOURCE_KINDS: Final[Mapping[str, SourceKind]] = {"span": "span", "author": "author"}
_ROWS_AT_A_TIME = 4_096


@dataclass(frozen=True, slots=True)
class StoredSentence:
    """A sentence of an output, with the offsets that it and its spans have in the text of the document."""

    text: str
    start: int
    end: int
    probabilities: Mapping[str, float]
    stances: tuple[Stance, ...]
    uncertain: bool


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A document of an output: its name, its date as it stands there or None, its sentences in order.

    `columns` are the other values that it came with, such as its outlet.
    """

    document: str
    date: str | None
    sentences: tuple[StoredSentence, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)


def read_scores(path: Path, labels: Sequence[str]) -> Iterator[ScoredText]:
    """Read the documents of an output in order; `labels` are those of its provenance.

    A folder of parts is one output. Of CSV and Parquet, which have one row a sentence, no document without
    sentences comes back. Raises StancewireError, with the line or row, for what `stancewire score` did not
    write.
    """
    readers: dict[str, Callable[[Path, Sequence[str]], Iterator[ScoredText]]] = {
        ".jsonl": _read_json_lines,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    files = part_paths(path) if path.is_dir() else [path]
    if not files:
        raise StancewireError(f"{path} is a folder without parts that stancewire score writes")
    for file in files:
        suffix = file.suffix.lower()
        if suffix not in readers:
            raise StancewireError(
                f"{path} should end in {', '.join(readers)}: the suffix says how it is read"
            )
        try:
            yield from readers[suffix](file, labels)
        except OSError as error:
            raise StancewireError(f"{file} cannot be read: {error.strerror or error}") from None


def _read_json_lines(path: Path, labels: Sequence[str]) -> Iterator[ScoredText]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield _json_document(json.loads(line), labels)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise _unreadable(path, f"line {number}", error) from None


def _json_document(values: Mapping[str, Any], labels: Sequence[str]) -> ScoredText:
    sentences = []
    for sentence in values["sentences"]:
        probabilities = {label: float(sentence["probabilities"][label]) for label in labels}
        stances = tuple(_json_stance(stance, probabilities) for stance in sentence["stances"])
        sentences.append(
            StoredSentence(
                text=str(sentence["text"]),
                start=int(sentence["start"]),
                end=int(sentence["end"]),
                probabilities=probabilities,
                stances=stances,
                uncertain=bool(sentence.get("uncertain")),
            )
        )
    columns = dict(values.get("columns") or {})
    return ScoredText(str(values["document"]), _date(values.get("date")), tuple(sentences), columns)


def _json_stance(values: Any, probabilities: Mapping[str, float]) -> Stance:
    # Outputs of models from before the spans have the labels alone.
    if isinstance(values, str):
        return Stance(values, probabilities[values])
    label, kind = values["label"], _SOURCE_KINDS.get(values.get("source_kind") or "none", "none")
    source, target = (_json_span(values.get(role)) for role in ("source", "target"))
    return Stance(label, probabilities[label], kind, source, target)


def _json_span(values: Mapping[str, Any] | None) -> Span | None:
    if values is None:
        return None
    return Span(str(values["text"]), int(values["start"]), int(values["end"]), float(values["probability"]))


def _read_csv(path: Path, labels: Sequence[str]) -> Iterator[ScoredText]:
    # A sentence of a text without full stops can be longer than what the reader takes by default.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        rows: Iterator[dict[str, Any]] = reader
        if _is_guarded(path):
            rows = ({unguard(name): unguard(cell) for name, cell in row.items()} for row in reader)
        yield from _from_rows(path, rows, labels, lambda: f"line {reader.line_num}")


def _is_guarded(path: Path) -> bool:
    # A guarded cell cannot be told from one that began with an apostrophe; what does not say is not guarded.
    return meta_path(path).exists() and bool(read_provenance(path).settings.get("spreadsheet"))


def _read_parquet(path: Path, labels: Sequence[str]) -> Iterator[ScoredText]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows() -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                yield from batch.to_pylist()

    try:
        yield from _from_rows(path, rows(), labels, None)
    except pa.ArrowException as error:
        raise StancewireError(f"{path} is not a Parquet file that can be read: {error}") from None


def _from_rows(
    path: Path, rows: Iterator[dict[str, Any]], labels: Sequence[str], where: Callable[[], str] | None
) -> Iterator[ScoredText]:
    number, ours = 0, frozenset(column_names(labels))
    try:
        for document, group in groupby(rows, lambda row: row["document"]):
            columns: dict[str, Any] = {}
            sentences, date = [], None
            for row in group:
                number += 1
                date = date or _date(row.get("date"))
                columns = columns or _columns(row, ours)
                sentences.append(_row_sentence(row, labels))
            yield ScoredText(str(document), date, tuple(sentences), columns)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise _unreadable(path, where() if where else f"row {number}", error) from None


def _columns(row: Mapping[str, Any], ours: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ours and value not in (None, "")}


def _row_sentence(row: Mapping[str, Any], labels: Sequence[str]) -> StoredSentence:
    probabilities = {label: float(row[PROBABILITY_PREFIX + label]) for label in labels}
    held = row["stances"]
    if isinstance(held, str):
        held = [label for label in held.split(";") if label]
    stances = tuple(_row_stance(row, label, probabilities[label]) for label in held)
    return StoredSentence(
        text=str(row["text"]),
        start=int(row["start"]),
        end=int(row["end"]),
        probabilities=probabilities,
        stances=stances,
        uncertain=row.get("uncertain") in (True, "true"),
    )


def _row_stance(row: Mapping[str, Any], label: str, probability: float) -> Stance:
    kind = _SOURCE_KINDS.get(row.get(f"source_kind_{label}") or "none", "none")
    return Stance(label, probability, kind, _row_span(row, "source", label), _row_span(row, "target", label))


def _row_span(row: Mapping[str, Any], role: str, label: str) -> Span | None:
    text = row.get(f"{role}_text_{label}")
    if not text:
        return None
    start, end, probability = (row[f"{role}_{part}_{label}"] for part in ("start", "end", "p"))
    return Span(str(text), int(start), int(end), float(probability))


def _date(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None


def _unreadable(path: Path, where: str, error: Exception) -> StancewireError:
    reason = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
    return StancewireError(f"{path}, {where}, is not what stancewire score writes: {reason}")

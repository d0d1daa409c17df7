"""Read the documents of an output back in full, so that the next run can take them over.

What comes back is what was written, to the bit, but for the text of the document, which no output holds.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from stancewire.classifier import ScoredSentence, Stance
from stancewire.documents import Document
from stancewire.errors import StancewireError
from stancewire.formats import PROBABILITY_PREFIX, ScoredDocument, column_names
from stancewire.language import Language
from stancewire.parts import part_paths
from stancewire.spans import Span
from stancewire.spreadsheet import unguard

_ROWS_AT_A_TIME: Final = 4_096
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error)


def parse_line(line: str) -> ScoredDocument:
    """Read a document from its line of JSON; raises KeyError, TypeError or ValueError for any other."""
    values = json.loads(line)
    document = Document(
        id=values["document"],
        text="",
        encoding=values["encoding"],
        repaired=values["repaired"],
        fingerprint=values["fingerprint"],
        date=None if values["date"] is None else date.fromisoformat(values["date"]),
        columns=values.get("columns", {}),
    )
    language = Language(values["language"], values["language_probability"])
    return ScoredDocument(document, language, tuple(map(_json_sentence, values["sentences"])))


def reread(out: Path, labels: Sequence[str], *, spreadsheet: bool = False) -> Iterator[ScoredDocument]:
    """Read the documents of an output in order; `labels` are those of its provenance.

    `spreadsheet` says that it is CSV with apostrophes before cells that a spreadsheet would run.

    Raises StancewireError if it is not what `stancewire score` wrote, or was written before documents had a
    fingerprint.
    """
    read_csv = _read_spreadsheet if spreadsheet else _read_csv
    readers = {".jsonl": _read_json_lines, ".csv": read_csv, ".parquet": _read_parquet}
    try:
        for file in part_paths(out) if out.is_dir() else [out]:
            yield from readers[file.suffix.lower()](file, labels)
    except OSError as error:
        raise StancewireError(f"{out} cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        reason = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise StancewireError(
            f"{out} is not what this version writes ({reason}), and nothing can be added to it: "
            "--overwrite starts anew"
        ) from None


def _read_json_lines(out: Path, labels: Sequence[str]) -> Iterator[ScoredDocument]:
    with out.open(encoding="utf-8", newline="\n") as stream:
        yield from map(parse_line, stream)


def _json_sentence(values: Mapping[str, Any]) -> ScoredSentence:
    stances = tuple(
        Stance(
            stance["label"],
            stance["probability"],
            stance["source_kind"],
            _json_span(stance["source"]),
            _json_span(stance["target"]),
        )
        for stance in values["stances"]
    )
    return ScoredSentence(
        values["text"],
        values["probabilities"],
        stances,
        values["risk"],
        values["uncertain"],
        values["start"],
        values["end"],
    )


def _json_span(values: Mapping[str, Any] | None) -> Span | None:
    return None if values is None else Span(**values)


def _read_csv(
    out: Path, labels: Sequence[str], written: Callable[[str], str] = str
) -> Iterator[ScoredDocument]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with out.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = [written(name) for name in next(reader)]
        rows = (
            {name: written(cell) or None for name, cell in zip(header, cells, strict=True)}
            for cells in reader
        )
        yield from _from_rows(rows, labels)


def _read_spreadsheet(out: Path, labels: Sequence[str]) -> Iterator[ScoredDocument]:
    return _read_csv(out, labels, unguard)


def _read_parquet(out: Path, labels: Sequence[str]) -> Iterator[ScoredDocument]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows() -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(out) as file:
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                yield from batch.to_pylist()

    try:
        yield from _from_rows(rows(), labels)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def _from_rows(rows: Iterator[Mapping[str, Any]], labels: Sequence[str]) -> Iterator[ScoredDocument]:
    own = set(column_names(labels))
    for name, group in groupby(rows, lambda row: row["document"] or ""):
        document: Document | None = None
        sentences = []
        for row in group:
            if document is None:
                document = _row_document(name, row, own)
                certainty = row["language_probability"]
                # The detector's figure has four digits, which a float32 keeps.
                language = Language(
                    row["language"], None if certainty is None else round(float(certainty), 4)
                )
            sentences.append(_row_sentence(row, labels))
        if document is not None:
            yield ScoredDocument(document, language, tuple(sentences))


def _row_document(name: str, row: Mapping[str, Any], own: Collection[str]) -> Document:
    day = row["date"]
    return Document(
        id=name,
        text="",
        encoding=row["encoding"],
        repaired=row["repaired"] in (True, "true"),
        fingerprint=row["fingerprint"] or "",
        date=date.fromisoformat(day) if isinstance(day, str) else day,
        columns={name: value for name, value in row.items() if name not in own and value is not None},
    )


def _row_sentence(row: Mapping[str, Any], labels: Sequence[str]) -> ScoredSentence:
    probabilities = {label: _shortest(row[PROBABILITY_PREFIX + label]) for label in labels}
    held = row["stances"] or ()
    if isinstance(held, str):
        held = held.split(";")
    stances = tuple(
        Stance(
            label,
            probabilities[label],
            row[f"source_kind_{label}"],
            _row_span(row, "source", label),
            _row_span(row, "target", label),
        )
        for label in held
    )
    return ScoredSentence(
        row["text"] or "",
        probabilities,
        stances,
        _shortest(row["risk"]),
        row["uncertain"] in (True, "true"),
        int(row["start"]),
        int(row["end"]),
    )


def _row_span(row: Mapping[str, Any], role: str, label: str) -> Span | None:
    start, end, probability = (row[f"{role}_{part}_{label}"] for part in ("start", "end", "p"))
    if start is None:
        return None
    return Span(row[f"{role}_text_{label}"] or "", int(start), int(end), _shortest(probability))


def _shortest(value: Any) -> float:
    return float(str(np.float32(value)))

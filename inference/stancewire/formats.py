"""The three forms of an output: JSON lines, CSV and Parquet. `docs/output.md` describes every key and column.

Probabilities are written with the fewest digits that give the same float32 back, so that all three hold the
same bits.
"""

from __future__ import annotations

import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np

from stancewire.classifier import Prediction, ScoredSentence, Stance
from stancewire.columns import ColumnKind, as_kind, merge_kinds
from stancewire.documents import Document
from stancewire.errors import StancewireError
from stancewire.language import Language
from stancewire.parquet_rows import ParquetRows
from stancewire.provenance import METADATA_KEY, Provenance
from stancewire.spans import ROLES, Span
from stancewire.spreadsheet import guard

PROBABILITY_PREFIX: Final = "p_"
"""What stands before a label in the name of its column, so that no label can take another column's name."""

_SURROGATE = re.compile("[\ud800-\udfff]")
# JSON allows these characters in a string, but many readers end a line there.
_LINE_END = re.compile("[\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """A document, its language and its scored sentences: what an output holds of it."""

    document: Document
    language: Language
    sentences: tuple[ScoredSentence, ...]


class Format(ABC):
    """Writes scored documents into a binary stream, in one form.

    `columns` are what the documents came with, and of which kind; the columns of a table have to be known.
    """

    def __init__(
        self, stream: BinaryIO, labels: tuple[str, ...], columns: Mapping[str, ColumnKind] | None = None
    ) -> None:
        self._stream = stream
        self._labels = labels
        self._kinds = _named_apart(labels, columns or {})

    @classmethod  # noqa: B027 - most forms hold any
    def check(cls, labels: Sequence[str]) -> None:
        """Raise StancewireError for labels that the form cannot hold."""

    @abstractmethod
    def write(self, scored: ScoredDocument, line: str | None = None) -> None:
        """Append one document; `line` is what `to_line` makes of it, where that is known."""

    @abstractmethod
    def finish(self, provenance: Provenance) -> None:
        """Write what is still to be written; the stream stays open."""

    def abandon(self) -> None:  # noqa: B027 - most forms have nothing to let go of
        """Let go of the stream of an output that will not be finished."""


class JsonLines(Format):
    """One document a line, with its sentences."""

    def write(self, scored: ScoredDocument, line: str | None = None) -> None:
        """Append one document."""
        self._stream.write((to_line(scored) if line is None else line).encode() + b"\n")

    def finish(self, provenance: Provenance) -> None:
        """Write what is still pending."""
        self._stream.flush()


class Csv(Format):
    """One sentence a row, in UTF-8 and quoted as RFC 4180 says."""

    def __init__(
        self, stream: BinaryIO, labels: tuple[str, ...], columns: Mapping[str, ColumnKind] | None = None
    ) -> None:
        super().__init__(stream, labels, columns)
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        # The writer quotes a lone carriage return only where its line ends hold one.
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._write_row([*column_names(labels), *self._kinds])

    @classmethod
    def check(cls, labels: Sequence[str]) -> None:
        """Raise StancewireError for a label with a semicolon."""
        unfit = [label for label in labels if ";" in label]
        if unfit:
            raise StancewireError(
                f"CSV joins stances by ';', which the label {unfit[0]!r} holds: write .jsonl or .parquet"
            )

    def write(self, scored: ScoredDocument, line: str | None = None) -> None:
        """Append one document."""
        for row in _rows(scored, self._labels, self._kinds):
            self._write_row([_cell(value) for value in row])

    def finish(self, provenance: Provenance) -> None:
        """Write what is still pending."""
        self._text.detach().flush()

    def _write_row(self, cells: Sequence[Any]) -> None:
        self._writer.writerow(cells)


class SpreadsheetCsv(Csv):
    """CSV of which no spreadsheet runs a cell."""

    def _write_row(self, cells: Sequence[Any]) -> None:
        super()._write_row([guard(cell) if isinstance(cell, str) else cell for cell in cells])


class Parquet(Format):
    """One sentence a row, typed; the provenance stands in the metadata of the file."""

    def __init__(
        self, stream: BinaryIO, labels: tuple[str, ...], columns: Mapping[str, ColumnKind] | None = None
    ) -> None:
        import pyarrow as pa

        super().__init__(stream, labels, columns)
        types = [pa.string(), pa.date32(), pa.int32(), pa.int32(), pa.int32(), pa.string()]
        types += [pa.float32()] * len(labels)
        types += [pa.list_(pa.string()), pa.float32(), pa.bool_()]
        span = [pa.string(), pa.int32(), pa.int32(), pa.float32()]
        types += [pa.string(), *span, *span] * len(labels)
        types += [pa.string(), pa.float32(), pa.string(), pa.bool_(), pa.string()]
        empty = {"date", "language_probability", *_party_columns(labels)}
        fields = [
            pa.field(name, kind, nullable=name in empty)
            for name, kind in zip(column_names(labels), types, strict=True)
        ]
        kinds = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
        fields += [pa.field(name, kinds[kind]) for name, kind in self._kinds.items()]
        self._writer = ParquetRows(stream, pa.schema(fields))

    def write(self, scored: ScoredDocument, line: str | None = None) -> None:
        """Append one document."""
        for row in _rows(scored, self._labels, self._kinds):
            self._writer.write(row)

    def finish(self, provenance: Provenance) -> None:
        """Write what is still pending."""
        self._writer.finish({METADATA_KEY: without_surrogates(provenance.to_json())})

    def abandon(self) -> None:
        """Let go of the stream."""
        self._writer.abandon()


FORMATS: Final[dict[str, type[Format]]] = {".jsonl": JsonLines, ".csv": Csv, ".parquet": Parquet}
"""The forms by the suffix of the output."""


def to_line(scored: ScoredDocument) -> str:
    """Make the line of JSON of a document, without the line's end."""
    document, language = scored.document, scored.language
    values = {
        "document": document.id,
        "date": document.date and document.date.isoformat(),
        "language": language.code,
        "language_probability": language.probability,
        "encoding": document.encoding,
        "repaired": document.repaired,
        "fingerprint": document.fingerprint,
        **({"columns": document.columns} if document.columns else {}),
        "sentences": [_sentence_values(sentence) for sentence in scored.sentences],
    }
    text = without_surrogates(json.dumps(values, ensure_ascii=False))
    return _LINE_END.sub(lambda end: f"\\u{ord(end.group()):04x}", text)


def _sentence_values(sentence: ScoredSentence) -> dict[str, Any]:
    return {"start": sentence.start, "end": sentence.end, **prediction_values(sentence)}


def prediction_values(prediction: Prediction) -> dict[str, Any]:
    """Make the JSON object of a sentence, but for its place: text, probabilities, stances, risk and more."""
    return {
        "text": prediction.text,
        "probabilities": {label: _shortest(value) for label, value in prediction.probabilities.items()},
        "stances": [stance_values(stance) for stance in prediction.stances],
        "risk": _shortest(prediction.risk),
        "uncertain": prediction.uncertain,
    }


def stance_values(stance: Stance) -> dict[str, Any]:
    """Make the JSON object of a stance: label, probability, source_kind, source and target."""
    return {
        "label": stance.label,
        "probability": _shortest(stance.probability),
        "source_kind": stance.source_kind,
        "source": _span_values(stance.source),
        "target": _span_values(stance.target),
    }


def _span_values(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {
        "text": span.text,
        "start": span.start,
        "end": span.end,
        "probability": _shortest(span.probability),
    }


def column_names(labels: Sequence[str]) -> list[str]:
    """Name the columns of a table of sentences, but for those that the documents came with."""
    probabilities = [PROBABILITY_PREFIX + label for label in labels]
    text = ["document", "date", "sentence", "start", "end", "text"]
    document = ["language", "language_probability", "encoding", "repaired", "fingerprint"]
    return [*text, *probabilities, "stances", "risk", "uncertain", *_party_columns(labels), *document]


def _party_columns(labels: Sequence[str]) -> list[str]:
    # What comes before a label is one of nine words, so that no label can take another column's name.
    parts = ["source_kind"]
    parts += [f"{role}_{part}" for role in ROLES for part in ("text", "start", "end", "p")]
    return [f"{part}_{label}" for label in labels for part in parts]


def _named_apart(labels: Sequence[str], columns: Mapping[str, ColumnKind]) -> dict[str, ColumnKind]:
    # A name of ours is not given twice.
    taken = set(column_names(labels))
    return merge_kinds({_apart(name, taken): kind} for name, kind in columns.items())


def _apart(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_input"
    return name


def _rows(
    scored: ScoredDocument, labels: Sequence[str], kinds: Mapping[str, ColumnKind]
) -> Iterator[list[Any]]:
    document, language = scored.document, scored.language
    taken = set(column_names(labels)) if document.columns else ()
    named = {_apart(name, taken): value for name, value in document.columns.items()}
    came = [_clean(as_kind(named.get(name), kind)) for name, kind in kinds.items()]
    for position, sentence in enumerate(scored.sentences):
        held = {stance.label: stance for stance in sentence.stances}
        yield [
            without_surrogates(document.id),
            document.date,
            position,
            sentence.start,
            sentence.end,
            without_surrogates(sentence.text),
            *(_shortest(sentence.probabilities[label]) for label in labels),
            [stance.label for stance in sentence.stances],
            _shortest(sentence.risk),
            sentence.uncertain,
            *(value for label in labels for value in _party_values(held.get(label))),
            language.code,
            language.probability,
            document.encoding,
            document.repaired,
            document.fingerprint,
            *came,
        ]


def _party_values(stance: Stance | None) -> list[Any]:
    if stance is None:
        return [None] * (1 + 4 * len(ROLES))
    values: list[Any] = [stance.source_kind]
    for span in (stance.source, stance.target):
        if span is None:
            values += [None] * 4
        else:
            probability = _shortest(span.probability)
            values += [without_surrogates(span.text), span.start, span.end, probability]
    return values


def _clean(value: Any) -> Any:
    return without_surrogates(value) if isinstance(value, str) else value


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ";".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _shortest(probability: float) -> float:
    # The float whose digits are the fewest that give the same float32 back.
    return float(str(np.float32(probability)))


def without_surrogates(text: str) -> str:
    """Put U+FFFD for each lone surrogate, which UTF-8 has no form for; offsets stay as they are."""
    return _SURROGATE.sub("\ufffd", text)

"""Read what people answered: Label Studio's JSON, doccano's JSONL, or the spreadsheet that `tasks` wrote.

In Label Studio export as JSON (not JSON-MIN), in doccano as JSONL, approved documents only. Of a project with
categories and spans the categories say which stances hold; a doccano project with spans alone is read by
those. Spans are trimmed and widened to whole words.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, Final

from stancewire.annotations import AUTHOR, AnnotatedSentence, AnnotatedStance
from stancewire.decoding import NotTextError, decode
from stancewire.errors import StancewireError
from stancewire.review.candidates import sentence_key
from stancewire.review.checks import Finding
from stancewire.review.tasks import (
    AS_SUGGESTED,
    NO_STANCE,
    PARTIES,
    STANCES,
    SUFFIXES,
    WRITER,
    places_of,
    split_party,
)
from stancewire.spans import ROLES
from stancewire.spreadsheet import unguard

_NUMBERED = re.compile(r"(?s)(.*)#([1-9][0-9]?)")
_LINE_BREAK = re.compile(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]")
_PARTY_COLUMNS: Final = re.compile("(source|target)_(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said of a sentence; `key` is what the sentence is known by."""

    key: str
    annotator: str
    sentence: AnnotatedSentence


@dataclass(frozen=True, slots=True)
class Answers:
    """What was read: the answers, how many tasks have none, rows that are wrong, and what to look at."""

    answers: tuple[Answer, ...]
    unanswered: int
    faults: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


class _Row(Exception):
    """A row that is not what was asked for."""


def read_answers(files: Sequence[Path], labels: Sequence[str] = ()) -> Answers:
    """Read the answers of files in order; a row that is wrong is left out and listed.

    With `labels`, a row with any other label is wrong; in a spreadsheet small and capital letters are alike.

    The annotator is who Label Studio says, the column `annotator` of a spreadsheet, or else the name of the
    file: doccano writes one a person. Raises StancewireError for a file that cannot be read, or is of another
    kind.
    """
    return _Reader(labels).read(files)


def sheet_rows(file: Path, raw: bytes) -> Iterator[list[str]]:
    """Give the rows of a spreadsheet, whatever parts its cells; StancewireError if it is not text."""
    try:
        text = decode(raw).text.removeprefix("\ufeff")
    except NotTextError:
        raise StancewireError(f"{file} is not text: save the table as CSV") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(2**31 - 1)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


class _Reader:
    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._answers: list[Answer] = []
        self._said: dict[tuple[str, str], AnnotatedSentence] = {}
        self._faults: list[Finding] = []
        self._warnings: list[Finding] = []
        self._unanswered = 0

    def read(self, files: Sequence[Path]) -> Answers:
        forms: dict[str, Callable[[Path, bytes], Iterator[tuple[int, list[_Answered]]]]] = {
            ".json": self._label_studio,
            ".jsonl": self._doccano,
            ".csv": self._spreadsheet,
        }
        for file in files:
            form = forms.get(file.suffix.lower())
            if form is None:
                raise StancewireError(
                    f"{file} should end in {', '.join(SUFFIXES)}: the suffix says whose it is"
                )
            try:
                raw = file.read_bytes()
            except OSError as error:
                raise StancewireError(f"{file} cannot be read: {error.strerror or error}") from None
            empty, answered, faults = 0, 0, len(self._faults)
            for line, given in form(file, raw):
                empty += not given
                answered += bool(given)
                for one in given:
                    self._add(file, line, one)
            self._unanswered += empty
            if empty and not answered and len(self._faults) == faults:
                self._warnings.append(Finding(str(file), None, "no sentence of this file has an answer"))
        return Answers(tuple(self._answers), self._unanswered, tuple(self._faults), tuple(self._warnings))

    def _add(self, file: Path, line: int, given: _Answered) -> None:
        text = given.text
        if not text.strip():
            self._fault(file, line, "there is no text")
            return
        unknown = [label for label in given.labels if self._labels and label not in self._labels]
        for label in unknown:
            self._fault(file, line, _not_asked(label, self._labels))
        if unknown:
            return
        try:
            stances = tuple(_stances(given, lambda what: self._warn(file, line, what)))
        except _Row as fault:
            self._fault(file, line, str(fault))
            return
        key = sentence_key(given.document, text)
        if given.key and given.key != key:
            self._fault(file, line, "the text or the document was changed since the sentence was chosen")
            return
        sentence = AnnotatedSentence(
            _LINE_BREAK.sub(" ", text), stances, given.document or None, file=str(file), line=line
        )
        before = self._said.setdefault((key, given.annotator), sentence)
        if before.labels != sentence.labels and (before.file, before.line) != (str(file), line):
            where = f"{before.file}, line {before.line}"
            self._warn(file, line, f"{given.annotator} said otherwise in {where}: this counts")
        self._answers.append(Answer(key, given.annotator, sentence))

    def _label_studio(self, file: Path, raw: bytes) -> Iterator[tuple[int, list[_Answered]]]:
        try:
            tasks = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise StancewireError(f"{file} is not JSON ({error})") from None
        if not isinstance(tasks, list) or not all(
            isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks
        ):
            raise StancewireError(
                f"{file} is not an export of Label Studio: each task should have data and annotations; "
                "export as JSON, not as JSON-MIN"
            )
        for number, task in enumerate(tasks, 1):
            try:
                yield number, list(_label_studio_answers(task))
            except _MALFORMED as error:
                self._fault(file, number, f"the task is not what Label Studio exports: {error}")

    def _doccano(self, file: Path, raw: bytes) -> Iterator[tuple[int, list[_Answered]]]:
        for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                # As `tasks` wrote it, for what doccano exports has a number: nobody has looked at it.
                is_task = isinstance(values, dict) and {"key", "cats"} <= values.keys() and "id" not in values
                yield number, [] if is_task else [_doccano_answer(values, file.stem)]
            except _MALFORMED as error:
                self._fault(file, number, f"the line is not what doccano exports: {error}")

    def _spreadsheet(self, file: Path, raw: bytes) -> Iterator[tuple[int, list[_Answered]]]:
        reader = sheet_rows(file, raw)
        columns = [unguard(cell).strip() for cell in next(reader, [])]
        missing = [name for name in ("text", "labels") if name not in columns]
        if missing:
            raise StancewireError(
                f"{file} has no column {missing[0]}: its first line should name the columns"
            )
        for number, cells in enumerate(reader, 2):
            if not any(cells):
                continue
            row = dict(zip(columns, map(unguard, cells), strict=False))
            try:
                answered = _spreadsheet_answer(row, file.stem, self._labels)
            except _Row as fault:
                self._fault(file, number, str(fault))
                continue
            yield number, [] if answered is None else [answered]

    def _fault(self, file: Path, line: int, what: str) -> None:
        self._faults.append(Finding(str(file), line, what))

    def _warn(self, file: Path, line: int, what: str) -> None:
        self._warnings.append(Finding(str(file), line, what))


_MALFORMED: Final = (_Row, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Span:
    label: str
    role: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer as the tool has it, its spans found in the text."""

    key: str
    document: str
    annotator: str
    text: str
    labels: tuple[str, ...]
    by_writer: frozenset[str]
    spans: tuple[_Span, ...]


def _label_studio_answers(task: Mapping[str, Any]) -> Iterator[_Answered]:
    data = task["data"]
    text = str(data["text"])
    for annotation in task.get("annotations") or ():
        if annotation.get("was_cancelled"):
            continue
        labels: list[str] = []
        by_writer: list[str] = []
        spans = []
        for result in annotation.get("result") or ():
            value = result.get("value", {})
            if result.get("from_name") == STANCES:
                labels += map(str, value["choices"])
            elif result.get("from_name") == WRITER:
                by_writer += map(str, value["choices"])
            elif result.get("from_name") == PARTIES:
                start, end = _located(text, int(value["start"]), int(value["end"]), value.get("text"))
                spans += [_named_span(name, start, end) for name in value["labels"]]
        yield _Answered(
            str(data.get("key") or ""),
            str(data.get("document") or ""),
            _annotator(annotation.get("completed_by")),
            text,
            tuple(dict.fromkeys(labels)),
            frozenset(by_writer),
            tuple(spans),
        )


def _annotator(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "somebody" if value is None else str(value)


def _doccano_answer(values: Mapping[str, Any], annotator: str) -> _Answered:
    text = values["text"]
    if not isinstance(text, str):
        raise _Row("text should be a string")
    # Older versions keep what came with a sentence apart.
    meta = {**(values.get("meta") or {}), **values}
    named = values.get("cats", values.get("label", values.get("labels"))) or []
    categories = [split_party(name) for name in named if isinstance(name, str)]
    triples = [entry for entry in chain(named, values.get("entities") or []) if not isinstance(entry, str)]
    spans = [_doccano_span(text, entry) for entry in triples]
    labels = [label for label, role in categories if role is None]
    if "cats" not in values:
        labels += [span.label for span in spans]
    return _Answered(
        str(meta.get("key") or ""),
        str(meta.get("document") or ""),
        str(meta.get("annotator") or annotator),
        text,
        tuple(dict.fromkeys(labels)),
        frozenset(label for label, role in categories if role == WRITER),
        tuple(span for span in spans if span.role),
    )


def _doccano_span(text: str, entry: Any) -> _Span:
    if isinstance(entry, dict):
        start, end, name = entry["start_offset"], entry["end_offset"], entry["label"]
    else:
        start, end, name = entry
    start, end = _located(text, int(start), int(end), None)
    label, role = split_party(str(name))
    return _Span(label, role or "", start, end)


def _spreadsheet_answer(row: Mapping[str, str], annotator: str, known: Sequence[str]) -> _Answered | None:
    answer = row.get("labels", "").strip()
    if not answer:
        return None
    if answer.casefold() == AS_SUGGESTED:
        answer = row.get("suggested", "").strip()
        if not answer:
            raise _Row(f"{AS_SUGGESTED!r} is what was suggested, and nothing was: write the labels, or none")
    text = row.get("text", "")
    typed = (label for label in map(str.strip, answer.split(";")) if label.casefold() not in ("", NO_STANCE))
    labels = [_meant(label, known) for label in typed]
    spans, by_writer = [], set()
    for column, cell in row.items():
        named = _PARTY_COLUMNS.fullmatch(column)
        if named is None or named[2] not in labels or not cell.strip():
            continue
        if named[1] == "source" and cell.strip() == AUTHOR:
            by_writer.add(named[2])
        else:
            start, end = _typed(text, cell.strip())
            spans.append(_Span(named[2], named[1], start, end))
    return _Answered(
        row.get("key", "").strip(),
        row.get("document", ""),
        row.get("annotator", "").strip() or annotator,
        text,
        tuple(dict.fromkeys(labels)),
        frozenset(by_writer),
        tuple(spans),
    )


def _meant(typed: str, known: Sequence[str]) -> str:
    alike = [label for label in known if label.casefold() == typed.casefold()]
    return alike[0] if len(alike) == 1 and typed not in known else typed


def _not_asked(label: str, known: Sequence[str]) -> str:
    names = ", ".join(known)
    parts = [_meant(part.strip(), known) for part in label.split(",") if part.strip()]
    near = get_close_matches(label.casefold(), known, n=1)
    if len(parts) > 1 and all(part in known for part in parts):
        return f"the label {label!r} is not one of {names}: semicolons part labels, write {';'.join(parts)}"
    if near:
        return f"the label {label!r} is not one of {names}: write {near[0]}, if that is meant"
    return f"the label {label!r} is not one of {names}: write one of these, or {NO_STANCE} for no stance"


def _typed(text: str, words: str) -> tuple[int, int]:
    # Words as somebody typed them, with `#2` where they mean the second place; -1 where they are not found.
    places = places_of(text, words)
    number = 1
    if not places and (numbered := _NUMBERED.fullmatch(words)):
        words, number = numbered[1], int(numbered[2])
        places = places_of(text, words)
    elif len(places) > 1:
        return -len(places), len(words)
    if len(places) < number:
        return -1, len(words)
    return places[number - 1], places[number - 1] + len(words)


def _named_span(name: Any, start: int, end: int) -> _Span:
    label, role = split_party(str(name))
    if role not in ROLES:
        raise _Row(f"the span {name!r} should be named after a label and a role")
    return _Span(label, role, start, end)


def _located(text: str, start: int, end: int, words: str | None) -> tuple[int, int]:
    if words is not None and text[start:end].strip() != words.strip():
        # A browser counts a character beyond U+FFFF twice.
        units = text.encode("utf-16-le", "surrogatepass")
        start, end = (len(units[: 2 * offset].decode("utf-16-le", "replace")) for offset in (start, end))
        if text[start:end].strip() != words.strip():
            raise _Row(f"the span {words!r} does not stand where it was marked")
    if not (0 <= start < end <= len(text)) or not text[start:end].strip():
        raise _Row(f"a span from {start} to {end} is not in the sentence")
    start += len(text[start:end]) - len(text[start:end].lstrip())
    end -= len(text[start:end]) - len(text[start:end].rstrip())
    while start > 0 and _is_word(text[start - 1]) and _is_word(text[start]):
        start -= 1
    while end < len(text) and _is_word(text[end]) and _is_word(text[end - 1]):
        end += 1
    return start, end


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _stances(given: _Answered, warn: Callable[[str], object]) -> Iterator[AnnotatedStance]:
    for span in given.spans:
        if span.start < 0:
            times = "nowhere" if span.start == -1 else f"{-span.start} times"
            hint = "" if span.start == -1 else ": write it with #2 for the second place"
            raise _Row(f"the {span.role} of {span.label} stands {times} in the sentence{hint}")
    strays = {span.label for span in given.spans} | given.by_writer
    for label in sorted(strays.difference(given.labels)):
        warn(f"a source or target of {label} is marked, but not that it holds: it is left out")
    for label in given.labels:
        source, source_start = _party(given, label, "source", warn)
        target, target_start = _party(given, label, "target", warn)
        if label in given.by_writer:
            if source is not None:
                warn(f"the source of {label} is both {source!r} and the writer: the words are kept")
            else:
                source = AUTHOR
        yield AnnotatedStance(label, source, source_start, target, target_start)


def _party(
    given: _Answered, label: str, role: str, warn: Callable[[str], object]
) -> tuple[str | None, int | None]:
    spans = sorted(
        {(span.start, span.end) for span in given.spans if (span.label, span.role) == (label, role)}
    )
    if not spans:
        return None, None
    if len(spans) > 1:
        warn(f"the {role} of {label} is marked {len(spans)} times: the first is kept")
    start, end = spans[0]
    words = given.text[start:end]
    return _LINE_BREAK.sub(" ", words), start if len(places_of(given.text, words)) > 1 else None

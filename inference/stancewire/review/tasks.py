"""Write sentences for people to annotate: for Label Studio, for doccano, or for a spreadsheet.

The suffix says for which: `.json`, `.jsonl`, `.csv`. Beside tasks for Label Studio stands its labelling
configuration (https://labelstud.io/guide/setup), beside those for doccano the labels to be imported there.
What the names of labels, spans and columns are is fixed here, for `answers` reads them back.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from stancewire.annotations import AUTHOR, AnnotatedStance
from stancewire.errors import StancewireError
from stancewire.formats import without_surrogates
from stancewire.review.candidates import Candidate
from stancewire.spans import ROLES
from stancewire.spreadsheet import guard
from stancewire.writing import write_text

SUFFIXES: Final = (".json", ".jsonl", ".csv")

STANCES: Final = "stances"
PARTIES: Final = "parties"
WRITER: Final = "writer"
"""The names of Label Studio's controls: labels; spans; labels of which the writer is the source."""

NO_STANCE: Final = "none"
AS_SUGGESTED: Final = "ok"
"""What stands in a spreadsheet for a sentence without stances, and for one that is as suggested."""

LABEL_FILES: Final = {".json": ".labels.xml", ".jsonl": ".labels.json"}
"""What is added to the name of tasks, by their suffix, for the file of the labels that they ask for."""

_COLOURS = ("#b91c1c", "#15803d", "#c2410c", "#1d4ed8", "#7e22ce", "#0f766e", "#a16207", "#be185d")


@dataclass(frozen=True, slots=True)
class Task:
    """A sentence to annotate; `suggestions` is what the model said, or None where nobody should see it."""

    sentence: Candidate
    suggestions: tuple[AnnotatedStance, ...] | None


def write_tasks(
    out: Path, tasks: Sequence[Task], labels: Sequence[str], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write tasks in the form of the suffix, and what belongs beside them; returns the files.

    Raises StancewireError for another suffix, a folder that is missing, a file that is there already and may
    not be written over, or a label that the form cannot hold.
    """
    files = files_beside(out)
    check_place(out, labels, overwrite=overwrite)
    if out.suffix.lower() == ".json":
        texts = [_label_studio(tasks), labelling_config(labels)]
    elif out.suffix.lower() == ".jsonl":
        texts = [_doccano(tasks), _doccano_labels(labels)]
    else:
        # With a mark, for without it Excel takes UTF-8 for a code page.
        texts = ["\ufeff" + _spreadsheet(tasks, labels)]
    for file, text in zip(files, texts, strict=True):
        write_text(file, without_surrogates(text))
    return files


def files_beside(out: Path) -> tuple[Path, ...]:
    """Name the files that tasks are: themselves, and what belongs beside them."""
    beside = LABEL_FILES.get(out.suffix.lower())
    return (out,) if beside is None else (out, out.with_name(out.name + beside))


def check_place(out: Path, labels: Sequence[str], *, overwrite: bool) -> None:
    """Raise StancewireError as `write_tasks` does, before anything is read."""
    if out.suffix.lower() not in SUFFIXES:
        raise StancewireError(
            f"{out} should end in .json (Label Studio), .jsonl (doccano) or .csv: the suffix says for what"
        )
    if not out.parent.is_dir():
        raise StancewireError(f"there is no folder {out.parent} to write {out.name} in: make it first")
    for file in files_beside(out):
        if file.is_dir():
            raise StancewireError(f"{file} is a folder: give the tasks another name")
        if file.exists() and not overwrite:
            raise StancewireError(f"{file} is already there: --overwrite replaces it")
    reserved = (NO_STANCE, AS_SUGGESTED) if out.suffix.lower() == ".csv" else ()
    for label in labels:
        if label in reserved or (reserved and ";" in label):
            raise StancewireError(
                f"a spreadsheet cannot hold the label {label!r}, which stands for something else there: "
                "write .json or .jsonl"
            )


def party_name(label: str, role: str) -> str:
    """Name the span of a party: `LABEL: source`."""
    return f"{label}: {role}"


def split_party(name: str) -> tuple[str, str | None]:
    """Take the name of a span apart; the role is None for a name without one."""
    label, sign, role = name.rpartition(": ")
    return (label, role) if sign and role in (*ROLES, WRITER) else (name, None)


def labelling_config(labels: Sequence[str]) -> str:
    """Make Label Studio's configuration: spans over the sentence, labels, the writer as source."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value="$document")
    context = ElementTree.SubElement(view, "View", style="color: #6b7280")
    ElementTree.SubElement(context, "Text", name="before", value="$before")
    parties = ElementTree.SubElement(view, "Labels", name=PARTIES, toName="text", showInline="true")
    for number, label in enumerate(labels):
        for role in ROLES:
            colour = _COLOURS[number % len(_COLOURS)]
            ElementTree.SubElement(parties, "Label", value=party_name(label, role), background=colour)
    ElementTree.SubElement(view, "Text", name="text", value="$text", granularity="word")
    context = ElementTree.SubElement(view, "View", style="color: #6b7280")
    ElementTree.SubElement(context, "Text", name="after", value="$after")
    ElementTree.SubElement(view, "Header", value="Stances; none: submit without any", size="5")
    stances = {"name": STANCES, "toName": "text", "choice": "multiple", "showInline": "true"}
    _choices(view, stances, labels)
    ElementTree.SubElement(view, "Header", value="The writer is the source of", size="5")
    _choices(view, {**stances, "name": WRITER}, labels)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _choices(view: ElementTree.Element, attributes: dict[str, str], labels: Sequence[str]) -> None:
    choices = ElementTree.SubElement(view, "Choices", attributes)
    for label in labels:
        ElementTree.SubElement(choices, "Choice", value=label)


def _data(sentence: Candidate) -> dict[str, Any]:
    return {
        "key": sentence.key,
        "document": sentence.document,
        "date": sentence.date or "",
        "before": sentence.before,
        "text": sentence.text,
        "after": sentence.after,
    }


def _label_studio(tasks: Sequence[Task]) -> str:
    values = []
    for task in tasks:
        entry: dict[str, Any] = {"data": _data(task.sentence)}
        if task.suggestions is not None:
            result = _results(task.sentence.text, task.suggestions)
            entry["predictions"] = [{"model_version": "stancewire", "result": result}]
        values.append(entry)
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _results(text: str, suggestions: Sequence[AnnotatedStance]) -> list[dict[str, Any]]:
    held = [stance.label for stance in suggestions]
    by_writer = [stance.label for stance in suggestions if stance.source == AUTHOR]
    results: list[dict[str, Any]] = [
        {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": labels}}
        for name, labels in ((STANCES, held), (WRITER, by_writer))
        if labels
    ]
    for label, role, start, end in _spans(suggestions):
        value = {"start": start, "end": end, "text": text[start:end], "labels": [party_name(label, role)]}
        results.append({"from_name": PARTIES, "to_name": "text", "type": "labels", "value": value})
    return [{"id": f"s{number}", **result} for number, result in enumerate(results)]


def _spans(suggestions: Sequence[AnnotatedStance]) -> list[tuple[str, str, int, int]]:
    parties = [
        (stance.label, role, words, start)
        for stance in suggestions
        for role, words, start in (
            ("source", stance.source, stance.source_start),
            ("target", stance.target, stance.target_start),
        )
    ]
    return [
        (label, role, start, start + len(words))
        for label, role, words, start in parties
        if words is not None and start is not None
    ]


def _doccano(tasks: Sequence[Task]) -> str:
    lines = []
    for task in tasks:
        said = task.suggestions or ()
        categories = [stance.label for stance in said]
        categories += [party_name(stance.label, WRITER) for stance in said if stance.source == AUTHOR]
        spans = [[start, end, party_name(label, role)] for label, role, start, end in _spans(said)]
        values = {**_data(task.sentence), "cats": categories, "entities": spans}
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    return "".join(lines)


def _doccano_labels(labels: Sequence[str]) -> str:
    # Of the one list the categories and the types of spans are both imported.
    names = [*labels, *(party_name(label, role) for label in labels for role in (*ROLES, WRITER))]
    values = [
        {"text": name, "backgroundColor": _COLOURS[number % len(_COLOURS)], "textColor": "#ffffff"}
        for number, name in enumerate(names)
    ]
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _spreadsheet(tasks: Sequence[Task], labels: Sequence[str]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    parties = [f"{role}_{label}" for label in labels for role in ROLES]
    writer.writerow(
        map(guard, ["key", "document", "date", "before", "text", "after", "suggested", "labels", *parties])
    )
    for task in tasks:
        said = {stance.label: stance for stance in task.suggestions or ()}
        suggested = "" if task.suggestions is None else ";".join(said) or NO_STANCE
        data = list(_data(task.sentence).values())
        words = [_cell(task.sentence.text, said.get(label), role) for label in labels for role in ROLES]
        writer.writerow(map(guard, [*data, suggested, "", *words]))
    return stream.getvalue()


def _cell(text: str, stance: AnnotatedStance | None, role: str) -> str:
    if stance is None:
        return ""
    words = stance.source if role == "source" else stance.target
    start = stance.source_start if role == "source" else stance.target_start
    if words is None or start is None:
        return words or ""
    return numbered(text, words, start)


def numbered(text: str, words: str, start: int) -> str:
    """Write a span for a spreadsheet: its words, with `#2` where the second of several places is meant."""
    places = places_of(text, words)
    if len(places) < 2 or start not in places:
        return words
    return f"{words}#{places.index(start) + 1}"


def places_of(text: str, words: str) -> list[int]:
    """Find where words stand in a sentence, as whole words."""
    return [match.start() for match in re.finditer(rf"(?<!\w)(?={re.escape(words)}(?!\w))", text)]

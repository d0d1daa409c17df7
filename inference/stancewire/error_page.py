"""Every sentence that a model got wrong, on one page of HTML that needs nothing but itself.

The page is built as a tree and written by the standard library, which escapes all text: what stands in a
sentence or a label cannot become markup. It has no script and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

import numpy as np

from stancewire.annotations import AUTHOR, AnnotatedStance
from stancewire.grouping import Grouping, find_groupings
from stancewire.span_metrics import find_other_parties
from stancewire.spans import ROLES
from stancewire.summary import printable

if TYPE_CHECKING:
    from stancewire.classifier import Stance
    from stancewire.evaluation import Evaluation
    from stancewire.judgements import Judgements

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --page: #fff; --faint: #5c6370; --line: #d5d8dd;
  --card: #f6f7f9; --missed: #9a3412; --found: #1e4fc2; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --page: #15171b; --faint: #a0a6b1;
  --line: #3a3f47; --card: #1f2228; --missed: #fdba74; --found: #93b4ff; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem 1.25rem 4rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
a { color: inherit; } nav ul { padding-left: 1.25rem; } ol { padding: 0; list-style: none; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: nowrap; }
caption { caption-side: bottom; text-align: left; }
li.card { margin: .75rem 0; padding: .6rem .9rem; background: var(--card); border-radius: .4rem; }
li.card:target { outline: 2px solid var(--found); } li.line { margin: .3rem 0; }
.card p { margin: .2rem 0; } .text { overflow-wrap: anywhere; } .small, caption { color: var(--faint); }
.small { font-size: .875rem; } .missed { color: var(--missed); } .found { color: var(--found); }
b.missed, b.found { font-weight: 600; } summary { cursor: pointer; }
"""


@dataclass(frozen=True, slots=True)
class _Fault:
    # One label of one sentence that is wrong; `sure` is how sure the model was of it.
    row: int
    column: int
    missed: bool
    sure: float


@dataclass(frozen=True, slots=True)
class _Section:
    # A heading for the table of contents, and what stands under it.
    anchor: str
    title: str
    content: tuple[Element, ...]
    parts: tuple[_Section, ...] = ()


def render_errors(evaluation: Evaluation) -> str:
    """Render the page: per label what was missed and what was wrongly found, then the same by group.

    A list begins with what the model was surest of. Sources and targets that share no word with the annotated
    ones, of labels that are right, follow at the end.
    """
    judgements = evaluation.judgements
    faults = _find_faults(judgements)
    cards = _Cards(judgements)
    sections = [
        *(_label_section(judgements, column, faults, cards) for column in range(len(judgements.labels))),
        *(_group_section(judgements, grouping, faults) for grouping in find_groupings(judgements.sentences)),
        *([] if evaluation.spans is None else [_party_section(judgements, cards)]),
    ]
    title = f"What {printable(judgements.model)} got wrong"
    body = _node(
        "body",
        _node("h1", title),
        _lead(judgements, len({fault.row for fault in faults})),
        _label_table(judgements, faults),
        _contents(sections),
        *(node for section in sections for node in _section_nodes(section, "h2")),
    )
    head = _node(
        "head",
        _node("meta", charset="utf-8"),
        _node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _node("title", title),
        _node("style", _STYLE),
    )
    page = tostring(_node("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{page}\n"


def _find_faults(judgements: Judgements) -> list[_Fault]:
    # The surest first.
    rows, columns = np.nonzero(judgements.targets != judgements.decisions)
    faults = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        missed = bool(judgements.targets[row, column])
        probability = float(judgements.probabilities[row, column])
        faults.append(_Fault(row, column, missed, 1 - probability if missed else probability))
    return sorted(faults, key=lambda fault: (-fault.sure, fault.row, fault.column))


def _label_section(judgements: Judgements, column: int, faults: Sequence[_Fault], cards: _Cards) -> _Section:
    label = printable(judgements.labels[column])
    held, said = (int(matrix[:, column].sum()) for matrix in (judgements.targets, judgements.decisions))
    parts = []
    for missed, what, total in ((True, "missed", held), (False, "wrongly found", said)):
        chosen = [fault.row for fault in faults if fault.column == column and fault.missed == missed]
        counted = f"of {total:,} that {'hold it' if missed else 'were found'}"
        parts.append(
            _Section(
                f"label-{column}-{'missed' if missed else 'found'}",
                f"{label}, {what}: {len(chosen):,} {counted}",
                (_node("ol", *map(cards.make, chosen)),),
            )
        )
    return _Section(f"label-{column}", label, (), tuple(parts))


def _group_section(judgements: Judgements, grouping: Grouping, faults: Sequence[_Fault]) -> _Section:
    rows, parts = [], []
    for number, group in enumerate(grouping.groups):
        members = set(group.rows)
        inside = [fault for fault in faults if fault.row in members]
        name, total, wrong = printable(group.name), len(members), len({fault.row for fault in inside})
        by_label = (" / ".join(map(str, _count(inside, column))) for column in range(len(judgements.labels)))
        rows.append((name, f"{total:,}", f"{wrong:,}", f"{wrong / total:.1%}", *by_label))
        lines = _node("ol", *(_line(judgements, fault) for fault in inside))
        shown = _node("details", _node("summary", f"wrong labels: {len(inside):,}"), lines)
        title = f"{name}: {wrong:,} of {total:,} sentences wrong"
        parts.append(_Section(f"{_anchor(grouping.name)}-{number}", title, (shown,) if inside else ()))
    headings = ("", "sentences", "wrong", "share", *map(printable, judgements.labels))
    table = _table(headings, rows, "Under each label: how many were missed / wrongly found.")
    return _Section(_anchor(grouping.name), f"by {printable(grouping.name)}", (table,), tuple(parts))


def _party_section(judgements: Judgements, cards: _Cards) -> _Section:
    parts = []
    for role in ROLES:
        stances = find_other_parties(judgements, role)
        rows = sorted({row for row, _ in stances})
        parts.append(
            _Section(
                f"other-{role}",
                f"another {role}: {len(stances):,} in {len(rows):,} sentences",
                (_node("ol", *map(cards.make, rows)),),
            )
        )
    return _Section("parties", "right label, wrong source or target", (), tuple(parts))


class _Cards:
    # A sentence is shown in full wherever it belongs; links lead to where it was shown first.

    def __init__(self, judgements: Judgements) -> None:
        self._judgements = judgements
        self._shown: set[int] = set()

    def make(self, row: int) -> Element:
        sentence = self._judgements.sentences[row]
        card = _node(
            "li",
            _node("p", printable(sentence.text), class_="text"),
            _node("p", "expected: ", *_separated(map(_expected, sentence.stances)), class_="expected"),
            _node("p", "said: ", *_separated(self._said(row)), class_="said"),
            _node("p", self._probabilities(row), class_="small"),
            _node("p", _origin(self._judgements, row), class_="small"),
            class_="card",
        )
        if row not in self._shown:
            card.set("id", f"s{row}")
            self._shown.add(row)
        return card

    def _said(self, row: int) -> Iterable[str]:
        held = [
            (float(self._judgements.probabilities[row, column]), label)
            for column, label in enumerate(self._judgements.labels)
            if self._judgements.decisions[row, column]
        ]
        for probability, label in sorted(held, reverse=True):
            stance = None if self._judgements.stances is None else self._judgements.stances[row][label]
            yield f"{printable(label)} {probability:.3f}{_parties_said(stance)}"

    def _probabilities(self, row: int) -> str:
        figures = zip(
            self._judgements.labels,
            self._judgements.probabilities[row],
            self._judgements.thresholds,
            strict=True,
        )
        shown = (
            f"{printable(label)} {float(probability):.3f} (from {threshold:.3f})"
            for label, probability, threshold in figures
        )
        return "probabilities: " + ", ".join(shown)


def _line(judgements: Judgements, fault: _Fault) -> Element:
    kind = "missed" if fault.missed else "found"
    probability = float(judgements.probabilities[fault.row, fault.column])
    label = printable(judgements.labels[fault.column])
    what = f"{'missed' if fault.missed else 'wrongly found'} {label} {probability:.3f}"
    text = _node("a", printable(judgements.sentences[fault.row].text), href=f"#s{fault.row}", class_="text")
    return _node("li", _node("b", what, class_=kind), " ", text, class_="line")


def _lead(judgements: Judgements, wrong: int) -> Element:
    total = len(judgements.sentences)
    return _node(
        "p",
        f"Of {total:,} sentences, {wrong:,} ({wrong / total:.1%}) have a set of labels that is not the "
        "annotated one. Each list begins with what the model was surest of.",
    )


def _label_table(judgements: Judgements, faults: Sequence[_Fault]) -> Element:
    rows = []
    for column, label in enumerate(judgements.labels):
        held, said = (int(matrix[:, column].sum()) for matrix in (judgements.targets, judgements.decisions))
        missed, found = _count(faults, column)
        rows.append((printable(label), f"{held:,}", f"{said:,}", f"{missed:,}", f"{found:,}"))
    return _table(("label", "expected", "said", "missed", "wrongly found"), rows)


def _count(faults: Iterable[_Fault], column: int) -> tuple[int, int]:
    kinds = [fault.missed for fault in faults if fault.column == column]
    return kinds.count(True), kinds.count(False)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]], caption: str = "") -> Element:
    head = _node("tr", *(_node("th", heading, scope="col") for heading in headings))
    lines = (_node("tr", *(_node("td", cell) for cell in row)) for row in rows)
    body = (_node("thead", head), _node("tbody", *lines))
    return _node(
        "div", _node("table", *([_node("caption", caption)] if caption else []), *body), class_="wide"
    )


def _contents(sections: Sequence[_Section]) -> Element:
    return _node("nav", _node("h2", "Contents"), _contents_list(sections))


def _contents_list(sections: Sequence[_Section]) -> Element:
    return _node(
        "ul",
        *(
            _node(
                "li",
                _node("a", section.title, href=f"#{section.anchor}"),
                *([_contents_list(section.parts)] if section.parts else []),
            )
            for section in sections
        ),
    )


def _section_nodes(section: _Section, heading: str) -> Iterable[Element]:
    yield _node(heading, section.title, id=section.anchor)
    yield from section.content
    for part in section.parts:
        yield from _section_nodes(part, "h3")


def _expected(stance: AnnotatedStance) -> str:
    source = "the writer" if stance.source == AUTHOR else stance.source
    return printable(stance.label) + _parties(source, stance.target)


def _parties_said(stance: Stance | None) -> str:
    if stance is None:
        return ""
    source, target = (None if span is None else span.text for span in (stance.source, stance.target))
    return _parties("the writer" if stance.source_kind == "author" else source, target)


def _parties(source: str | None, target: str | None) -> str:
    if source is None and target is None:
        return ""
    return f" ({printable(source or 'nobody')} \u2192 {printable(target or 'nobody')})"


def _origin(judgements: Judgements, row: int) -> str:
    sentence = judgements.sentences[row]
    place = [f"{PurePath(sentence.file).name}, line {sentence.line}"] if sentence.file else []
    document = [] if sentence.doc is None else [f"document {sentence.doc}"]
    extra = (f"{key}: {value}" for key, value in sentence.extra.items())
    return printable(" \u00b7 ".join((*place, *document, *extra)))


def _separated(parts: Iterable[str]) -> list[Element | str]:
    # Each in bold, parted by commas; nothing is said as such.
    nodes: list[Element | str] = []
    for part in parts:
        nodes += [", ", _node("b", part)] if nodes else [_node("b", part)]
    return nodes or ["no stance"]


def _anchor(name: str) -> str:
    # Any key of a row may be the name of a grouping: hexadecimal is always a valid and unique anchor.
    return (
        f"by-{name}" if name.isascii() and name.isalnum() else f"by-{name.encode('utf-8', 'replace').hex()}"
    )


def _node(tag: str, *children: Element | str, **attributes: str) -> Element:
    node = Element(tag, {name.rstrip("_"): value for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + child
        else:
            node.text = (node.text or "") + child
    return node

"""An evaluation laid out for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from stancewire.metrics import Figure, Metrics, is_better
from stancewire.reliability import FLOOR, TOLERANCE
from stancewire.spans import ROLES
from stancewire.summary import printable

if TYPE_CHECKING:
    from stancewire.evaluation import Evaluation, Rival
    from stancewire.grouping import GroupingMetrics
    from stancewire.span_metrics import SpanEvaluation, SpanMetrics


def evaluation_table(
    evaluation: Evaluation,
    *,
    by: Sequence[str] = (),
    abstention: bool = False,
    reliability: bool = False,
) -> Group:
    """Lay an evaluation out: the labels' figures, and the model beside the baselines.

    Then what was measured of spans and of another model, the groupings named by `by`, and on request the
    tables of abstention and reliability.
    """
    shown = [
        grouping for name in dict.fromkeys(by) for grouping in evaluation.groups if grouping.name == name
    ]
    return Group(
        _label_table(evaluation),
        _system_table(evaluation),
        *([] if evaluation.against is None else [_rival_table(evaluation, evaluation.against)]),
        *([] if evaluation.spans is None else [_span_table(evaluation.spans)]),
        *map(_group_table, shown),
        *([_reliability_table(evaluation)] if reliability else []),
        *([_abstention_table(evaluation)] if abstention else []),
        *map(Text, _notes(evaluation)),
    )


def _label_table(evaluation: Evaluation) -> Table:
    title = f"{evaluation.model} on {evaluation.metrics.sentences:,} sentences"
    headings = ("", "sentences", "precision", "recall", "F1", "average\nprecision", "Brier\nskill")
    table = _empty_table(title, headings)
    for row in evaluation.metrics.labels:
        figures = (row.precision, row.recall, row.f1, row.average_precision, row.brier_skill)
        table.add_row(Text(printable(row.label)), f"{row.support:,}", *map(_cell, figures))
    return table


def _system_table(evaluation: Evaluation) -> Table:
    compared = evaluation.comparisons
    systems = (evaluation.metrics, *(comparison.metrics for comparison in compared))
    headings = ("", evaluation.model, *(comparison.name for comparison in compared))
    table = _empty_table("beside the baselines", headings)
    _add_systems(table, systems)
    table.add_section()
    leads = (_cell(comparison.difference, signed=True) for comparison in compared)
    table.add_row("lead in\nmacro-F1", "", *leads)
    table.add_row("the model is", "", *(_verdict(comparison.difference) for comparison in compared))
    return table


def _add_systems(table: Table, systems: Sequence[Metrics]) -> None:
    table.add_row("macro-F1", *(_cell(system.macro_f1) for system in systems))
    table.add_row("micro-F1", *(_cell(system.micro_f1) for system in systems))
    table.add_row("exact match", *(_cell(system.exact_match) for system in systems))
    for column, figures in enumerate(systems[0].labels):
        cells = (_cell(system.labels[column].f1) for system in systems)
        table.add_row(Text(printable(f"F1 {figures.label}")), *cells)


def _rival_table(evaluation: Evaluation, rival: Rival) -> Table:
    names, digests = [evaluation.model, rival.model], (evaluation.digest, rival.digest)
    if names[0] == names[1]:
        names = [f"{name}\n{digest[:8]}" for name, digest in zip(names, digests, strict=True)]
    table = _empty_table("against another model", ("", *names, "difference", "the model is"))
    one, other = evaluation.metrics, rival.metrics
    rows = [
        ("macro-F1", one.macro_f1, other.macro_f1, rival.differences.macro_f1),
        *(
            (f"F1 {mine.label}", mine.f1, theirs.f1, difference)
            for mine, theirs, difference in zip(one.labels, other.labels, rival.differences.f1, strict=True)
        ),
    ]
    for name, mine, theirs, difference in rows:
        compared = (_cell(mine), _cell(theirs), _cell(difference, signed=True), _verdict(difference))
        table.add_row(Text(printable(name)), *compared)
    return table


def _group_table(grouping: GroupingMetrics) -> Table:
    labels = [figures.label for figures in grouping.groups[0].metrics.labels]
    headings = ("", "sentences", "macro-F1", *(f"F1\n{label}" for label in labels))
    table = _empty_table(f"by {grouping.name}", headings)
    for group in grouping.groups:
        figures = (group.metrics.macro_f1, *(label.f1 for label in group.metrics.labels))
        table.add_row(Text(printable(group.name)), f"{group.metrics.sentences:,}", *map(_cell, figures))
    return table


def _span_table(spans: SpanEvaluation) -> Table:
    title = f"who to whom, of {spans.model.stances:,} stances whose label is right"
    table = _empty_table(title, ("", "annotated", "given", "model", "baseline:\nnearest names"))
    for role in ROLES:
        figures, guessed = getattr(spans.model, role), getattr(spans.baseline, role)
        counts = (f"{figures.annotated:,}", f"{figures.predicted:,}")
        table.add_row(f"F1 {role}, exact", *counts, _cell(figures.exact_f1), _cell(guessed.exact_f1))
        table.add_row(f"F1 {role}, overlap", "", "", _cell(figures.overlap_f1), _cell(guessed.overlap_f1))
    kinds = (_cell(figures.source_kind) for figures in (spans.model, spans.baseline))
    table.add_row("right kind of source", "", "", *kinds)
    table.add_section()
    for label, figures in spans.labels:
        _add_label_spans(table, label, figures)
    return table


def _add_label_spans(table: Table, label: str, figures: SpanMetrics) -> None:
    for role in ROLES:
        of_role = getattr(figures, role)
        counts = (f"{of_role.annotated:,}", f"{of_role.predicted:,}")
        table.add_row(Text(printable(f"{label}: {role}, overlap")), *counts, _cell(of_role.overlap_f1), "")


def _reliability_table(evaluation: Evaluation) -> Table:
    headings = ("", "predictions", "expected", "observed", "")
    table = _empty_table(f"predictions of {FLOOR} and more", headings)
    for row in evaluation.reliability:
        expected = "-" if math.isnan(row.expected) else f"{row.expected:.3f}"
        observed = _cell(Figure(row.observed, row.low, row.high))
        verdict = {True: "as expected", False: "not as expected", None: ""}[row.is_reliable]
        table.add_row(Text(printable(row.label)), f"{row.predictions:,}", expected, observed, verdict)
    table.caption = Text(
        f"As expected: they differ by {TOLERANCE} at most, or the Wilson interval holds the expected share."
    )
    table.caption_justify = "left"
    return table


def _abstention_table(evaluation: Evaluation) -> Table:
    headings = ("kept", "sentences", "risk up to", "wrong", "macro-F1")
    table = _empty_table("the surest sentences alone", headings)
    for row in evaluation.abstention:
        counts = (f"{row.coverage:.0%}", f"{row.sentences:,}", f"{row.risk:.3f}")
        table.add_row(*counts, _cell(row.wrong), _cell(row.macro_f1))
    return table


def _empty_table(title: str, headings: Sequence[str]) -> Table:
    # Text, not str: a label or a name with square brackets is no markup.
    title = printable(title)
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for position, heading in enumerate(headings):
        lines = Text("\n").join(Text(printable(line)) for line in heading.split("\n"))
        table.add_column(lines, justify="right" if position else "left")
    return table


def _notes(evaluation: Evaluation) -> list[str]:
    together = evaluation.clusters < evaluation.metrics.sentences
    drawn = ", the sentences of a document together" if together else ""
    notes = [
        f"Below each figure: its 95% bootstrap interval ({evaluation.resamples:,} resamples of "
        f"{evaluation.clusters:,}{drawn}). Better: the paired interval of the lead excludes 0."
    ]
    if len(evaluation.comparisons) == 1:
        notes.append(
            "No other baseline's figures are stored for these sentences: "
            "--baselines measures them (extra train)."
        )
    if evaluation.spans is not None and evaluation.spans.unplaced:
        notes.append(
            f"{evaluation.spans.unplaced} annotated sources or targets stand nowhere in their sentence; "
            "they were left out."
        )
    return notes


def _cell(figure: Figure, signed: bool = False) -> Text:
    if math.isnan(figure.value):
        return Text("-")
    sign = "+" if signed else ""
    cell = Text(f"{figure.value:{sign}.3f}")
    if not math.isnan(figure.low):
        # Without the 0 before the point, so that five columns and a name fit into 80 characters.
        bounds = (f"{bound:{sign}.2f}".replace("0.", ".", 1) for bound in (figure.low, figure.high))
        cell.append("\n" + " ".join(bounds), style="dim")
    return cell


def _verdict(difference: Figure) -> str:
    if is_better(difference):
        return "better"
    return "worse" if difference.high < 0 else "not told apart"

"""What review, import and validate say at their end, laid out for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from stancewire.metrics import Figure
from stancewire.review.agreement import Difference, PairAgreement
from stancewire.review.checks import Finding
from stancewire.review.importing import ImportReport
from stancewire.review.sampling import Sample
from stancewire.summary import printable
from stancewire.validation import FEWEST_POSITIVES, AssumedCount, PartValidation, Validation

_MOST_SHOWN: Final = 40


def sample_table(sample: Sample) -> Group:
    """Show the strata of a sample, and which labels it will hold too few of."""
    table = _empty_table("the sample", ("stratum", "sentences", "drawn", "each stands for"))
    for stratum in sample.design.strata[:_MOST_SHOWN]:
        weight = f"{stratum.weight:,.1f}"
        table.add_row(Text(printable(stratum.name)), f"{stratum.size:,}", f"{stratum.drawn:,}", weight)
    notes = []
    if len(sample.design.strata) > _MOST_SHOWN:
        notes.append(f"and {len(sample.design.strata) - _MOST_SHOWN} more strata")
    few = [label for label, count in sample.expected.items() if count < FEWEST_POSITIVES]
    if few:
        remedy = "draw more" if "label" in sample.design.by else "draw more, or by label (--by label)"
        notes.append(
            f"By the model's probabilities fewer than {FEWEST_POSITIVES} of these hold {_and(few)}: too few "
            f"to rely on; {remedy}."
        )
    return Group(table, *(Text(printable(note)) for note in notes))


def import_table(report: ImportReport) -> Group:
    """Show what was imported, where people differ, and what is wrong."""
    parts: list[Table | Text] = []
    if report.sentences:
        table = _empty_table("imported", ("label", "sentences"))
        for label, count in report.by_label.items():
            table.add_row(Text(printable(label)), f"{count:,}")
        parts.append(table)
    parts += [_agreement_table(pair) for pair in report.agreements]
    if report.differences:
        parts.append(_difference_table(report.differences))
    parts += [
        _finding_table(title, findings)
        for title, findings in (("faults", report.faults), ("to look at", report.warnings))
        if findings
    ]
    parts += [Text(note) for note in _import_notes(report)]
    return Group(*parts)


def validation_table(validation: Validation) -> Group:
    """Show the figures of the whole, the counts of the parts, and what is not to be relied on."""
    whole = validation.whole
    title = f"{whole.annotated:,} annotated of {whole.sentences:,} sentences"
    headings = ("", "posi-\ntives", "found", "corrected\ncount", "share", "precision", "recall")
    table = _empty_table(title, headings)
    # On 80 columns each interval stands on a line of its own; where there are fewer, the labels break first.
    table.padding, table.show_edge = (0, 0, 0, 0), False
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.no_wrap = True
    for row in whole.labels:
        figures = (_count(row.count), *map(_cell, (row.share, row.precision, row.recall)))
        table.add_row(Text(printable(row.label)), f"{row.positives:,}", f"{row.found:,}", *figures)
    names = dict.fromkeys(part.by for part in validation.parts)
    tables = [_part_table(name, [part for part in validation.parts if part.by == name]) for name in names]
    notes = (Text(printable(note)) for note in _validation_notes(validation))
    return Group(table, Text(), *tables, *notes)


def assumption_table(counts: Sequence[AssumedCount], data: str) -> Group:
    """Show counts adjusted by errors elsewhere, and say that they are an assumption."""
    headings = ("", "found", "positives\nthere", "recall\nthere", "false\nalarms", "assumed\ncount")
    table = _empty_table("AN ASSUMPTION, not a measurement", headings)
    for row in counts:
        figures = (_share(row.recall), _share(row.false_alarms), _count(row.count))
        table.add_row(Text(printable(row.label)), f"{row.found:,}", f"{row.positives:,}", *figures)
    note = (
        f"It holds only if the model errs in your articles as it does in {printable(data)}: nothing here can "
        "show that, and the intervals know nothing of it. Only a sample of your own can: stancewire review "
        "SCORES --random 300 --by label."
    )
    return Group(table, Text(note))


def _part_table(name: str, parts: Sequence[PartValidation]) -> Table:
    labels = [row.label for row in parts[0].labels]
    table = _empty_table(f"corrected counts by {name}", ("", "annotated", *labels))
    for part in parts:
        cells = [_count(row.count, mark="" if row.usable else "*") for row in part.labels]
        table.add_row(Text(printable(part.group)), f"{part.annotated:,} of {part.sentences:,}", *cells)
    return table


def _validation_notes(validation: Validation) -> Iterator[str]:
    yield (
        "Below each figure: its 95% interval by the design of the sample. The corrected count is that of "
        "prediction-powered inference; docs/validation.md says how to report it."
    )
    few = [f"{row.label} ({row.positives:,})" for row in validation.whole.labels if not row.usable]
    if few:
        yield (
            f"NOT USABLE: {_and(few)}. With fewer than {FEWEST_POSITIVES} positives in the sample no figure "
            "of a label can be relied on."
        )
    if any(not row.usable for part in validation.parts for row in part.labels):
        yield f"*: fewer than {FEWEST_POSITIVES} positives in this part of the sample; not to be relied on."
    if validation.annotated < validation.drawn:
        yield (
            f"{validation.drawn - validation.annotated:,} of {validation.drawn:,} drawn sentences have no "
            "answer: they count as missing by chance, which those are not on which annotators differ."
        )
    if validation.merged:
        yield f"Strata without any answer, taken together with others: {_and(validation.merged)}."
    if validation.strangers:
        yield f"{validation.strangers:,} annotated sentences were not drawn, and count for nothing."


def _import_notes(report: ImportReport) -> Iterator[str]:
    if report.out is not None:
        yield f"{report.sentences:,} sentences are in {printable(str(report.out))}."
    else:
        yield "There was nothing to import."
    if report.unanswered:
        yield f"{report.unanswered:,} tasks have no answer."
    if report.repeated:
        yield f"{report.repeated:,} sentences stood there already, with the same labels."
    if report.undecided:
        yield (
            f"{report.undecided:,} sentences are left out because their annotators differ: settle them, or "
            "name the one whose answers count (--final NAME)."
        )
    yield f"faults: {len(report.faults)}, to look at: {len(report.warnings)}"


def _agreement_table(pair: PairAgreement) -> Table:
    title = f"{pair.first} and {pair.second}, {pair.sentences:,} sentences of both"
    only = (f"only\n{pair.first}", f"only\n{pair.second}")
    table = _empty_table(title, ("label", "both", *only, "neither", "Cohen's\nkappa"))
    for row in pair.labels:
        counts = (f"{count:,}" for count in (row.both, row.only_first, row.only_second, row.neither))
        table.add_row(Text(printable(row.label)), *counts, _share(row.kappa))
    return table


def _difference_table(differences: Sequence[Difference]) -> Table:
    table = Table("sentence", "said", "counts", title="where they differ", title_justify="left")
    for difference in differences[:_MOST_SHOWN]:
        said = Text("\n").join(
            Text(printable(f"{person}: {_and(labels) or 'none'}"))
            for person, labels in difference.said.items()
        )
        decided = "left out" if difference.decided is None else _and(difference.decided) or "none"
        table.add_row(Text(printable(difference.text)), said, Text(printable(decided)))
    if len(differences) > _MOST_SHOWN:
        table.caption = Text(f"and {len(differences) - _MOST_SHOWN} more")
    return table


def _finding_table(title: str, findings: Sequence[Finding]) -> Table:
    table = Table("where", "what", title=title, title_justify="left")
    for finding in findings[:_MOST_SHOWN]:
        cells = (printable(finding.where), printable(finding.what))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    if len(findings) > _MOST_SHOWN:
        table.caption = Text(f"and {len(findings) - _MOST_SHOWN} more")
    return table


def _empty_table(title: str, headings: Sequence[str]) -> Table:
    # Text, not str: a label or a name with square brackets is no markup.
    shown = Text(printable(title))
    table = Table(title=shown, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for position, heading in enumerate(headings):
        lines = Text("\n").join(Text(printable(line)) for line in heading.split("\n"))
        table.add_column(lines, justify="right" if position else "left")
    return table


def _cell(figure: Figure) -> Text:
    if math.isnan(figure.value):
        return Text("-")
    cell = Text(_decimals(figure.value))
    cell.append(f"\n{_decimals(figure.low)} to {_decimals(figure.high)}", style="dim")
    return cell


def _decimals(share: float) -> str:
    # Without the zero before the point the table fits 80 columns.
    return f"{share:.3f}".removeprefix("0")


def _count(figure: Figure, mark: str = "") -> Text:
    if math.isnan(figure.value):
        return Text("-")
    cell = Text(f"{figure.value:,.0f}{mark}")
    cell.append(f"\n{figure.low:,.0f} to {figure.high:,.0f}", style="dim")
    return cell


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _and(names: Sequence[str]) -> str:
    return ", ".join(names)

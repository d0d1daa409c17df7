"""A comparison as a terminal shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stancewire.comparison import Comparison, LabelComparison, Side
from stancewire.summary import number_of, printable

_LONGEST: Final = 160


def comparison_view(comparison: Comparison) -> Group:
    """Show the shares of both sides, their difference, and the sentences whose labels changed most."""
    return Group(*_parts(comparison))


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    for number, side in enumerate((comparison.first, comparison.second), 1):
        yield Text(f"{number}: {_told(side)}")
    table = Table()
    table.add_column("stance", no_wrap=True)
    for heading in ("1", "2", "2 - 1, points", "95% interval", "p (Holm)"):
        table.add_column(heading, justify="right")
    if comparison.shared:
        table.add_column("gained", justify="right")
        table.add_column("lost", justify="right")
    for label in comparison.labels:
        changed = [f"{label.gained:,}", f"{label.lost:,}"] if comparison.shared else []
        table.add_row(
            Text(printable(label.label)),
            *_figures(label),
            *changed,
            style="bold" if label.differs else "",
        )
    yield table
    yield Text(_verdict(comparison))
    for note in _notes(comparison):
        yield Text(note, style="dim")
    yield from _examples(comparison)


def _told(side: Side) -> str:
    return (
        f"{printable(side.name)}, {number_of(side.documents, 'document')}, "
        f"{number_of(side.sentences, 'sentence')}, "
        f"read by {printable(side.model)} {side.digest[:8]}"
    )


def _figures(label: LabelComparison) -> list[str]:
    known = not math.isnan(label.low)
    return [
        f"{_share(label.share_first)} ({label.held_first:,})",
        f"{_share(label.share_second)} ({label.held_second:,})",
        f"{100 * label.difference:+.2f}",
        f"{100 * label.low:+.2f} to {100 * label.high:+.2f}" if known else "",
        ("<.001" if label.p_corrected < 0.001 else f"{label.p_corrected:.3f}".lstrip("0")) if known else "",
    ]


def _share(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.2%}"


def _verdict(comparison: Comparison) -> str:
    if comparison.paired and not comparison.changed:
        return "All sentences have the same labels."
    differing = [printable(label.label) for label in comparison.labels if label.differs]
    if all(math.isnan(label.low) for label in comparison.labels):
        return f"An interval needs at least two {comparison.by}s on each side."
    if differing:
        return f"Differs, beyond chance: {', '.join(differing)}."
    return "No share differs beyond chance. That is not to say that they are the same: see the intervals."


def _notes(comparison: Comparison) -> Iterator[str]:
    yield f"Intervals take the sentences of one {comparison.by} together, {comparison.clusters:,} in all."
    if comparison.paired:
        yield (
            f"Both have the same sentences, and are compared pair by pair: {comparison.changed:,} of "
            f"{comparison.shared:,} ({comparison.changed / comparison.shared:.2%}) changed labels."
        )
    if comparison.undated:
        undated = number_of(comparison.undated, "document has", "documents have")
        yield f"{undated} no date: left out."
    if comparison.missing:
        yield f"Not on both sides, and left out: {', '.join(map(printable, comparison.missing))}."
    yield from comparison.notes


def _examples(comparison: Comparison) -> Iterator[RenderableType]:
    if not comparison.changed:
        return
    table = Table(title="Labels that moved most", title_justify="left")
    for heading in ("stance", "1", "2", "sentence"):
        table.add_column(heading, justify="right" if heading in "12" else "left")
    for label in comparison.labels:
        for change in label.examples:
            text = printable(change.text)
            shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
            table.add_row(
                Text(printable(change.label)),
                f"{change.probability_first:.2f}",
                f"{change.probability_second:.2f}",
                Text.assemble(shown, " ", (printable(change.document), "dim")),
            )
    yield table

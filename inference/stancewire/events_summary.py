"""What `stancewire events` prints: the commonest pairs, and what the table does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from stancewire.events import DyadCount, EventsResult
from stancewire.summary import number_of, printable

_SHOWN: Final = 10


def events_summary(result: EventsResult) -> Group:
    """Build what is printed when the table is written."""
    return Group(_commonest(result), *_notes(result))


def _commonest(result: EventsResult) -> Table:
    pairs: dict[tuple[str, str, str], DyadCount] = {}
    for key, row in result.rows:
        pair = pairs.setdefault((key.source, key.target, key.stance), DyadCount())
        pair.count += row.count
        pair.expected += row.expected
        pair.count_unique += row.count_unique
    title = (
        f"{number_of(result.documents, 'document')}, {number_of(result.stances, 'stance')}, "
        f"{result.duplicates:,} of them printed before"
    )
    if result.by != "none":
        title += f"\nall periods together; by {result.by} in {printable(str(result.out))}"
    table = Table(title=Text(title), title_justify="left")
    for name in ("source", "target", "stance"):
        table.add_column(name)
    for name in ("count", "expected", "without duplicates"):
        table.add_column(name, justify="right")
    ranked = sorted(pairs.items(), key=lambda entry: (-entry[1].count, entry[0]))
    for names, pair in ranked[:_SHOWN]:
        table.add_row(
            *(Text(printable(name)) for name in names),
            f"{pair.count:,}",
            f"{pair.expected:,.1f}",
            f"{pair.count_unique:,}",
        )
    if len(ranked) > _SHOWN:
        table.caption = f"and {len(ranked) - _SHOWN:,} more"
        table.caption_justify = "left"
    return table


def _notes(result: EventsResult) -> Iterator[Text]:
    if not result.stances:
        yield Text("No sentence holds a stance: the table has no row.")
    elif not result.parties:
        yield Text(
            "No stance has a source or a target: the model that made these scores does not say who speaks to "
            "whom, so the table counts stances by date alone, from @nobody to @nobody.",
            style="yellow",
        )
    else:
        parties = number_of(result.parties, "source or target", "sources and targets")
        yield Text(
            f"Of {parties} {result.matched:,} are actors of the list; {result.pronouns:,} are pronouns."
        )
    if result.by != "none" and any(key.period is None for key, _ in result.rows):
        yield Text(
            f"Without a date: {number_of(result.undated, 'document')}, counted in rows with an empty date.",
            style="yellow",
        )
    if result.unmatched:
        names = ", ".join(f"{printable(name.name)} {name.count:,}" for name in result.unmatched[:_SHOWN])
        more = len(result.unmatched) - _SHOWN
        rest = f", and {more:,} names more; --unmatched FILE lists them all" if more > 0 else ""
        yield Text(f"In no list of actors: {names}{rest}")

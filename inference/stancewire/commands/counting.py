"""Commands on scores that were written: report and events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stancewire.commands.common import Overwrite, make_console, polite, show_progress


@polite
def report(
    scores: Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote.")],
    out: Annotated[Path, typer.Option(help="The page to write: .html.")],
    explain: Annotated[
        int, typer.Option(min=0, max=100, help="Say of the N strongest sentences of each stance why.")
    ] = 0,
    model: Annotated[
        str | None, typer.Option(help="With --explain: the model that made the scores, if not the default.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="With --explain: an index by stancewire index, for neighbours.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one page of scores, to look at in a browser: counts, who to whom, and the articles."""
    from stancewire.report import read_made, write_report
    from stancewire.report.reasons import ReasonOptions
    from stancewire.summary import printable

    reasons = ReasonOptions(explain, model, index) if explain else None
    with show_progress("documents", read_made(scores).documents) as advance:
        written = write_report(scores, out, overwrite=overwrite, explain=reasons, on_progress=advance)
    make_console().print(
        f"{printable(str(out))}, {max(written.size / 1e6, 0.1):.1f} MB, is ready: open it in a browser.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if written.extent != "all":
        make_console().print(
            f"The articles are too many for one page: it has stances of {written.articles:,} of "
            f"{written.documents:,}, and the counts of all.",
            highlight=False,
        )


@polite
def events(
    scores: Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote.")],
    out: Annotated[Path, typer.Option(help="The table to write: .csv or .parquet.")],
    by: Annotated[str, typer.Option(help="What a row spans: day, week, month, year, or none.")] = "month",
    actors: Annotated[
        Path | None, typer.Option(help="Actors of your own, CSV: pattern, actor, group. They go first.")
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="A table with one stance a row, to write too: .csv or .parquet.")
    ] = None,
    unmatched: Annotated[
        Path | None, typer.Option(help="A table of the names that no list has, to write too.")
    ] = None,
    each_actor: Annotated[
        bool, typer.Option("--each-actor", help="Count 'Russia and China' for each, not for the first.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Count who takes which stance towards whom, by period: a dyadic table."""
    from stancewire.events import count_events
    from stancewire.events_summary import events_summary
    from stancewire.summary import printable

    with make_console(stderr=True).status("counting") as status:
        result = count_events(
            scores,
            out,
            by=by,
            actors=actors,
            sentences=sentences,
            unmatched=unmatched,
            each_actor=each_actor,
            overwrite=overwrite,
            on_document=lambda number: status.update(f"counting: {number:,} documents"),
        )
    make_console().print(events_summary(result))
    make_console().print(
        f"Written to {printable(str(out))}; docs/events.md says what its columns are.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )

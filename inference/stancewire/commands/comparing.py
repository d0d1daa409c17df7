"""The command compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stancewire.commands.common import Json, Overwrite, make_console, polite, write_json
from stancewire.errors import StancewireError


@polite
def compare(
    first: Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote.")],
    second: Annotated[Path | None, typer.Argument(help="Another, to compare with the first.")] = None,
    split_date: Annotated[
        str | None, typer.Option(help="With one file: what is before this day with what is from it on.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What intervals take together: the sentences of a document, or of a day.")
    ] = "document",
    out: Annotated[
        Path | None, typer.Option(help="The sentences that changed labels: .jsonl, .csv or .parquet.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare two outputs, or before and after a day: which shares differ, which sentences changed."""
    from datetime import date

    from stancewire.comparison import compare_dates, compare_files
    from stancewire.comparison_view import comparison_view

    if (second is None) == (split_date is None):
        raise StancewireError("compare takes two files, or one and --split-date 2024-07-11")
    if second is None and out is not None:
        raise StancewireError("--out lists sentences that two outputs have in common: give two files")
    seen = 0
    with make_console(stderr=True).status("comparing") as status:

        def tell(number: int) -> None:
            nonlocal seen
            seen += number
            status.update(f"comparing: {seen:,} documents read")

        if second is None:
            try:
                day = date.fromisoformat(split_date or "")
            except ValueError:
                raise StancewireError(f"--split-date {split_date}: should be a day, as 2024-07-11") from None
            comparison = compare_dates(first, day, by=by, on_progress=tell)
        else:
            comparison = compare_files(first, second, by=by, out=out, overwrite=overwrite, on_progress=tell)
    if as_json:
        write_json(comparison.to_dict())
        return
    make_console().print(comparison_view(comparison))
    if out is not None:
        from stancewire.summary import printable

        told = f"The sentences that changed are in {printable(str(out))}; docs/compare.md says what is in it."
        make_console().print(told, markup=False, highlight=False, soft_wrap=True)

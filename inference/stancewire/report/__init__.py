"""The report: one HTML file that shows what `stancewire score` wrote. `docs/report.md` describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stancewire.errors import StancewireError
from stancewire.provenance import Provenance, read_provenance
from stancewire.report.archive import BUDGET, ArchiveWriter, Extent
from stancewire.report.dating import date_document
from stancewire.report.page import Page, render_page
from stancewire.report.reasons import ReasonOptions, Reasons, explain_strongest, load_explainer
from stancewire.report.tally import HIGHLIGHTS, Tally
from stancewire.scores import read_scores
from stancewire.writing import write_text

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class Report:
    """What was written: the file, its bytes, the documents counted, and what of the articles is in it."""

    out: Path
    size: int
    documents: int
    articles: int
    extent: Extent


def write_report(
    scores: Path,
    out: Path,
    *,
    overwrite: bool = False,
    budget: int = BUDGET,
    explain: ReasonOptions | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Report:
    """Write the report of an output of `stancewire score` into one HTML file.

    `budget` is how many bytes the compressed articles may take; what is beyond it is left out, and the page
    says so. `explain` says of how many sentences the page is to say what their stances rest on. `on_progress`
    is told how many documents were just read. The same scores give the same bytes.
    Raises StancewireError if the scores cannot be read, do not say what made them, or if `out` cannot be
    written, or is there already and `overwrite` is not set.
    """
    _check(out, overwrite)
    provenance = read_made(scores)
    # Before minutes of reading, not after them.
    explainer = None if explain is None else load_explainer(provenance, explain)
    kept = HIGHLIGHTS if explain is None else max(HIGHLIGHTS, explain.count)
    tally = Tally({label: provenance.thresholds[label] for label in provenance.labels}, kept)
    archive = ArchiveWriter(provenance.labels, budget)
    for number, text in enumerate(read_scores(scores, provenance.labels)):
        found = date_document(text)
        archive.add(text, number, found, tally.add(text, found))
        if on_progress is not None:
            on_progress(1)
    packed = archive.finish()
    reasons: Reasons = {}
    if explain is not None and explainer is not None:
        reasons = explain_strongest(tally, explainer, explain.count)
    write_text(out, render_page(Page(scores.name, provenance, tally, packed, reasons)))
    return Report(out, out.stat().st_size, tally.documents, len(packed.numbers), packed.extent)


def read_made(scores: Path) -> Provenance:
    """Read what made an output; raises StancewireError, of what is no output for that reason."""
    try:
        return read_provenance(scores)
    except StancewireError:
        if scores.is_file():
            # Imports what this package holds.
            from stancewire.events import read_labels

            next(read_scores(scores, read_labels(scores)), None)
        raise


def _check(out: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise StancewireError(f"{out} should end in .html: that is what a report is")
    if not out.parent.is_dir():
        raise StancewireError(f"there is no folder {out.parent} to write {out.name} in: make it first")
    if out.is_dir():
        raise StancewireError(f"{out} is a folder: give the report another name")
    if out.exists() and not overwrite:
        raise StancewireError(f"{out} is already there: --overwrite (overwrite=True) replaces it")

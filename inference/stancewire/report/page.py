"""The page: what was counted, set into the template beside this module."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from stancewire import __version__
from stancewire.provenance import Provenance
from stancewire.report.archive import Archive
from stancewire.report.charts import COLOURS, Chart, Series, draw_bars, draw_columns, draw_lines
from stancewire.report.parties import AUTHOR, LARGEST_SIDE, NOBODY, OTHERS, Matrix, PartyTally, Side
from stancewire.report.reasons import Reasons
from stancewire.report.tally import DayCount, Tally
from stancewire.report.timeline import Timeline, make_timeline

_MOST_CHARTED = 8
_MOST_MATRICES = 12
_MOST_PAIRS = 20
_MOST_OPTIONS = 200
_MOST_SKIPPED = 100
_LONGEST_QUOTE = 400
_LONGEST_NAME = 60
_SHADES = 4
_ORIGINS: Final = {
    "date": "from the date in the scores",
    "name": "from the name of the document",
    "dateline": "from the dateline of the text",
}


@dataclass(frozen=True, slots=True)
class Page:
    """All that a page shows; `scores` is the name of the output it is of."""

    scores: str
    provenance: Provenance
    tally: Tally
    archive: Archive
    reasons: Reasons = field(default_factory=dict)


def render_page(page: Page) -> str:
    """Make the HTML of a report, which loads nothing, and whose policy allows its own script only."""
    style, script = (Markup(_resource(name)) for name in ("page.css", "page.js"))
    return (
        make_environment()
        .from_string(_resource("page.html"))
        .render(_values(page), style=style, script=script, policy=_policy(style, script))
    )


def make_environment() -> Environment:
    """Make what sets values into the templates beside this module, and into others that include them."""
    environment = Environment(
        loader=FunctionLoader(_resource), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": lambda value: f"{value:,}", "percent": lambda value: f"{value:.1%}"}
    return environment


def _values(page: Page) -> dict[str, object]:
    tally, provenance = page.tally, page.provenance
    positions = {label: position for position, label in enumerate(provenance.labels)}
    by_count = sorted(positions, key=lambda label: -tally.labels[label].sentences)
    charted = sorted(by_count[:_MOST_CHARTED], key=positions.__getitem__)
    timeline = make_timeline(tally.days)
    matrices, unshown = _matrices(tally.parties, [positions[label] for label in by_count])
    spelling = _Spelling(tally.parties)
    return {
        "COLOURS": COLOURS,
        "LARGEST_SIDE": LARGEST_SIDE,
        "MOST_SKIPPED": _MOST_SKIPPED,
        "NOBODY": NOBODY,
        "archive": page.archive,
        "bars": draw_bars(
            charted,
            [tally.labels[label].sentences for label in charted],
            [positions[label] for label in charted],
        ),
        "charted": charted,
        "clipped": _clipped,
        "colour": lambda label: positions[label] % COLOURS,
        "complete": None if provenance.sentences == tally.sentences else provenance.sentences,
        "dated": _dated(tally),
        "heat": _heat,
        "labels": tuple(tally.labels),
        "listed": _listed,
        "matrices": matrices,
        "names_parties": bool(matrices),
        "pairs": tally.parties.most_frequent(_MOST_PAIRS),
        "party": spelling.party,
        "provenance": provenance,
        "reasons": page.reasons,
        "scores": page.scores,
        "setting": _setting,
        "settings": _settings(page),
        "share": lambda part, whole: f"{part / whole:.1%}" if whole else "",
        "side": spelling.side,
        "sides": [(side, _options(tally.parties, side)) for side in ("source", "target")],
        "tally": tally,
        "timeline": timeline,
        "unshown": unshown,
        "version": __version__,
        **_time_charts(timeline, charted, positions),
    }


def _time_charts(
    timeline: Timeline | None, charted: Sequence[str], positions: Mapping[str, int]
) -> dict[str, Chart | None]:
    # A single period makes no line, and its bars are those of the counts.
    if timeline is None or len(timeline.periods) < 2:
        return {"columns": None, "lines": None}
    names = [period.name for period in timeline.periods]
    counts = [period.count for period in timeline.periods]

    def series(value: Callable[[DayCount, str], float | None]) -> list[Series]:
        return [
            Series(label, positions[label], tuple(value(count, label) for count in counts))
            for label in charted
        ]

    return {
        "columns": draw_columns(names, series(lambda count, label: count.held[label])),
        "lines": draw_lines(
            names,
            series(
                lambda count, label: 100 * count.held[label] / count.sentences if count.sentences else None
            ),
        ),
    }


def _matrices(parties: PartyTally, by_count: Sequence[int]) -> tuple[list[Matrix], int]:
    if not parties.anybody:
        return [], 0
    held = [label for label in by_count if parties.matrix(label).total]
    shown = sorted(held[:_MOST_MATRICES])
    return [parties.matrix(), *map(parties.matrix, shown)], len(held) - len(shown)


def _options(parties: PartyTally, side: Side) -> list[tuple[int, int]]:
    rest = [(number, parties.total(side, number)) for number in (AUTHOR, NOBODY)]
    return [*parties.ranked(side)[:_MOST_OPTIONS], *(entry for entry in rest if entry[1])]


class _Spelling:
    """How the numbers of the parties read."""

    def __init__(self, parties: PartyTally) -> None:
        self._names = parties.names

    def party(self, number: int) -> str:
        if number == AUTHOR:
            return "the writer"
        return "nobody named" if number == NOBODY else _cut(self._names.spelling(number), _LONGEST_NAME)

    def side(self, number: int, others: int) -> str:
        return f"{others:,} other{'s' * (others != 1)}" if number == OTHERS else self.party(number)


def _heat(count: int, matrix: Matrix) -> int:
    # By the root of the share of the largest count between names, or one cell would leave all others pale.
    named = zip(matrix.sources, matrix.counts, strict=True)
    top = max(
        (
            cell
            for source, row in named
            for target, cell in zip(matrix.targets, row, strict=True)
            if source >= 0 and target >= 0
        ),
        default=0,
    )
    return min(_SHADES, math.ceil(_SHADES * math.sqrt(count / max(top, 1))))


def _settings(page: Page) -> dict[str, object]:
    labels = page.provenance.labels
    return {
        "labels": labels,
        "thresholds": [page.provenance.thresholds[label] for label in labels],
        "colours": [position % COLOURS for position in range(len(labels))],
        "documents": page.tally.documents,
    }


def _dated(tally: Tally) -> str:
    ways = [f"{number:,} {_ORIGINS[origin]}" for origin, number in tally.origins.most_common()]
    has = "has no date and is" if tally.undated == 1 else "have no date and are"
    undated = f"; {tally.undated:,} {has} not shown here" if tally.undated else ""
    return f"Documents dated: {', '.join(ways)}{undated}."


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={entry}" for name, entry in value.items()) or "none"
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def _clipped(text: str) -> str:
    return _cut(" ".join(text.split()), _LONGEST_QUOTE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _resource(name: str) -> str:
    return files("stancewire.report").joinpath(name).read_text(encoding="utf-8")

"""Pictures of an evaluation, as SVG: a reliability diagram and a precision-recall curve a label.

pygal lays them out. Its script, its identifiers of chance and its date are taken out again, so that a picture
needs nothing but itself and the same figures give the same bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

import numpy as np

from stancewire.metrics import Figure, threshold_curve
from stancewire.reliability import ReliabilityBin, reliability_bins
from stancewire.summary import printable
from stancewire.writing import write_text

if TYPE_CHECKING:
    from stancewire.evaluation import Evaluation

Point = tuple[float, float]

_SIZE = 520
_GREY, _BLUE, _RED, _PALE = "#6b7280", "#1d4ed8", "#b91c1c", "#e5e7eb"
_SVG = "{http://www.w3.org/2000/svg}"
_TICKS: Final = tuple(tick / 5 for tick in range(6))


@dataclass(frozen=True, slots=True)
class _Series:
    # A line through points, or points alone; None among them breaks the line.
    name: str
    points: Sequence[Point | None]
    colour: str
    line: bool = True
    dots: bool = False
    dashed: bool = False


def write_plots(evaluation: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write `reliability-LABEL.svg` and `precision-recall-LABEL.svg` into a folder, over those of before.

    A label that no sentence holds has no precision-recall curve. Characters of a label that file names should
    not have are written as `-`. Returns the files. Raises StancewireError if the folder cannot be written.
    """
    judgements = evaluation.judgements
    names = _file_names(judgements.labels)
    written = []
    for column, label in enumerate(map(printable, judgements.labels)):
        probabilities, targets = judgements.probabilities[:, column], judgements.targets[:, column]
        bins = reliability_bins(probabilities, targets)
        written.append(folder / f"reliability-{names[column]}.svg")
        write_text(written[-1], draw_reliability(label, bins))
        curve = threshold_curve(probabilities, targets, points=int(targets.sum()))
        if curve:
            figures = evaluation.metrics.labels[column]
            chosen = (figures.recall.value, figures.precision.value)
            picture = draw_precision_recall(label, curve, figures.average_precision, chosen, targets.mean())
            written.append(folder / f"precision-recall-{names[column]}.svg")
            write_text(written[-1], picture)
    return tuple(written)


def draw_reliability(label: str, bins: Sequence[ReliabilityBin]) -> str:
    """Draw the observed share of each bin, with its interval, over the expected one."""
    whiskers = [point for row in bins for point in ((row.expected, row.low), (row.expected, row.high), None)]
    return _draw(
        "reliability",
        f"{label}: are the probabilities right?",
        ("mean probability of the bin", "share that holds the label"),
        (
            _Series("as it should be", ((0, 0), (1, 1)), _GREY, dashed=True),
            _Series("95% interval", whiskers, _BLUE),
            _Series("observed", [(row.expected, row.observed) for row in bins], _BLUE, line=False, dots=True),
        ),
    )


def draw_precision_recall(
    label: str,
    curve: Sequence[tuple[float, float, float]],
    average_precision: Figure,
    chosen: Point,
    base_rate: float,
) -> str:
    """Draw precision over recall, and the model's own threshold on it.

    `curve` has `(threshold, precision, recall)`, as `metrics.threshold_curve` gives it; `chosen` is recall
    and precision at the threshold.
    """
    bounds = f" ({average_precision.low:.3f} to {average_precision.high:.3f})"
    shown = "" if math.isnan(average_precision.low) else bounds
    series = [
        _Series("by chance", ((0, base_rate), (1, base_rate)), _GREY, dashed=True),
        _Series("all thresholds", _steps(curve), _BLUE),
    ]
    if not any(map(math.isnan, chosen)):
        series.append(_Series("the threshold", [chosen], _RED, line=False, dots=True))
    title = f"{label}: average precision {average_precision.value:.3f}{shown}"
    return _draw("precision-recall", title, ("recall", "precision"), series)


def _steps(curve: Sequence[tuple[float, float, float]]) -> list[Point | None]:
    # As average precision sums it: each precision holds for the recall that its threshold adds.
    points: list[Point | None] = []
    reached = 0.0
    for _, precision, recall in reversed(curve):
        points += [(reached, precision), (recall, precision)]
        reached = recall
    return points


def _draw(name: str, title: str, axes: tuple[str, str], series: Sequence[_Series]) -> str:
    import pygal
    from pygal.etree import etree
    from pygal.style import Style

    # pygal takes lxml where it is installed, whose attributes cannot be replaced.
    etree.to_etree()

    font = "system-ui, sans-serif"
    style = Style(
        background="white",
        plot_background="white",
        font_family=font,
        title_font_size=15,
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=12,
        colors=tuple(entry.colour for entry in series),
        guide_stroke_color=_PALE,
        major_guide_stroke_color=_PALE,
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        stroke_width=1.5,
    )
    chart = pygal.XY(
        title=title,
        x_title=axes[0],
        y_title=axes[1],
        width=_SIZE,
        height=_SIZE + 60,
        range=(0, 1),
        xrange=(0, 1),
        x_labels=_TICKS,
        y_labels=_TICKS,
        style=style,
        js=[],
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        show_x_guides=True,
        dots_size=4,
        truncate_legend=-1,
        formatter=lambda point: " ".join(f"{value:.3f}" for value in np.atleast_1d(point)),
        x_value_formatter=lambda value: f"{value:.1f}",
    )
    for entry in series:
        dashes = {"dasharray": "5, 4"} if entry.dashed else {}
        chart.add(
            entry.name,
            list(entry.points),
            stroke=entry.line,
            show_dots=entry.dots,
            allow_interruptions=True,
            stroke_style={"width": 1.5, **dashes},
        )
    chart.uuid = name
    return _standalone(chart.render_tree())


def _standalone(root: Any) -> str:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag is ElementTree.Comment or child.tag in (f"{_SVG}script", "script"):
                parent.remove(child)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return text + "\n"


def _file_names(labels: Sequence[str]) -> list[str]:
    names: list[str] = []
    for position, label in enumerate(labels, start=1):
        name = re.sub(r"[^\w-]+", "-", label).strip("-")
        taken = {given.casefold() for given in names}
        names.append(f"{name}-{position}".strip("-") if not name or name.casefold() in taken else name)
    return names

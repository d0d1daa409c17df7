"""Charts as SVG, drawn here so that a page needs no script for them.

pygal lays them out. Its own style and script are taken out again: the page's style sheet colours them, so
that they follow light, dark and print, and the page's content security policy allows no other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

COLOURS: Final = 8
"""Colours in the style sheet; a label has the one of its position, counted round."""

_FONT_SIZE = 12
_NARROW: Final = 340
_NAME_WIDTH: Final = 90
_LONGEST_NAME: Final = 18
_DIGITS = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Series:
    """A line or a row of bars: its name, the number of its colour, a value a place (None: no value)."""

    name: str
    colour: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart for wide screens and one for narrow ones."""

    wide: Markup
    narrow: Markup


def draw_bars(names: Sequence[str], values: Sequence[int], colours: Sequence[int]) -> Chart:
    """Draw horizontal bars, one a name, the first at the top."""
    # pygal colours by series: a series a name, with a value at the name's place alone.
    places = range(len(names))
    series = [
        Series(name, colours[place], tuple(values[place] if at == place else None for at in places[::-1]))
        for place, name in enumerate(names)
    ]
    shown = [_cut(name) for name in names][::-1]
    return _draw("HorizontalStackedBar", shown, series, (440, 44 + 32 * len(names)), _whole_numbers(values))


def draw_columns(names: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw columns, one a name, the series on top of each other; values are counts."""
    sums = [sum(entry.values[place] or 0 for entry in series) for place in range(len(names))]
    return _draw("StackedBar", names, series, (860, 260), _whole_numbers(sums))


def draw_lines(names: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw a line a series, with gaps where there is no value; values are percentages."""
    return _draw("Line", names, series, (860, 260), None)


def _draw(
    kind: str, names: Sequence[str], series: Sequence[Series], size: tuple[int, int], ticks: list[int] | None
) -> Chart:
    (width, height), narrow = size, (_NARROW, size[1])
    return Chart(
        _render(kind, names, series, (width, height), ticks), _render(kind, names, series, narrow, ticks)
    )


def _render(
    kind: str, names: Sequence[str], series: Sequence[Series], size: tuple[int, int], ticks: list[int] | None
) -> Markup:
    import pygal
    from pygal.etree import etree
    from pygal.style import Style

    # pygal takes lxml where it is installed, whose attributes cannot be replaced.
    etree.to_etree()

    tell = _percentage if ticks is None else _count
    chart = getattr(pygal, kind)(
        width=size[0],
        height=size[1],
        style=Style(label_font_size=_FONT_SIZE, major_label_font_size=_FONT_SIZE),
        js=[],
        css=[],
        margin=10,
        margin_right=_NAME_WIDTH // 2,
        show_legend=False,
        show_minor_x_labels="Horizontal" in kind,
        truncate_label=-1,
        include_x_axis=True,
        allow_interruptions=True,
        dots_size=2.5,
        disable_xml_declaration=True,
        formatter=tell,
        value_formatter=tell,
    )
    chart.x_labels = names
    # Below columns, as many names as there is room for; beside bars all of them.
    room = (size[0] - 80) // _NAME_WIDTH
    chart.x_labels_major = names[:: -(-len(names) // room)]
    if ticks is not None:
        chart.y_labels = ticks
    for entry in series:
        chart.add(entry.name, entry.values)
    chart.add_xml_filter(lambda root: _restyle(root, series))
    return Markup(chart.render())


def _restyle(root: Element, series: Sequence[Series]) -> Element:
    """Take out pygal's style, script and tooltips; name each mark, and give it its class."""
    root.attrib = {"viewBox": root.get("viewBox", ""), "aria-hidden": "true", "class": "chart"}
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_unwanted(child):
                parent.remove(child)
    for position, entry in enumerate(series):
        for group in root.iter("g"):
            if f"serie-{position}" in group.get("class", "").split():
                _name_marks(group, entry)
    for element in root.iter():
        for name in ("id", "style", "rx", "ry"):
            element.attrib.pop(name, None)
        for name, value in element.items():
            element.set(name, _DIGITS.sub(lambda digits: f"{float(digits.group()):.1f}", value))
    return root


def _is_unwanted(element: Element) -> bool:
    # Comments have a function for a tag; of the overlays only the one with a line's dots shows anything.
    if not isinstance(element.tag, str) or element.tag in ("defs", "title"):
        return True
    return "overlay" in element.get("class", "") and element.find(".//circle") is None


def _name_marks(group: Element, entry: Series) -> None:
    group.set("class", f"series c{entry.colour % COLOURS}")
    for parent in list(group.iter("g")):
        for mark in parent.findall("g"):
            told = {description.get("class"): description.text or "" for description in mark.findall("desc")}
            for description in mark.findall("desc"):
                mark.remove(description)
            if mark.get("class") == "bar" and told.get("value") == "0":
                parent.remove(mark)
            elif told:
                place = told.get("x_label", "")
                about = entry.name if place == entry.name else f"{entry.name}, {place}"
                SubElement(mark, "title").text = f"{about}: {told.get('value', '')}"


def _whole_numbers(values: Sequence[int | float]) -> list[int]:
    top = max((round(value) for value in values), default=0)
    step = next(step for power in range(20) for base in (1, 2, 5) if (step := base * 10**power) * 5 >= top)
    return list(range(0, max(top, 1) + step, step))


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percentage(value: float) -> str:
    return f"{value:.3g}%"


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"

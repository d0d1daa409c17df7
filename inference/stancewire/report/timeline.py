"""Days folded into the days, weeks, months or years that a chart can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from stancewire.report.tally import DayCount

Unit = Literal["day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class Period:
    """A day, week, month or year: its name (a week's is that of its Monday), and what is counted of it."""

    name: str
    count: DayCount


@dataclass(frozen=True, slots=True)
class Timeline:
    """The periods from the first date to the last, those without documents too."""

    unit: Unit
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    longest_span: timedelta
    first_day: Callable[[date], date]
    longest: timedelta
    name: Callable[[date], str]


_UNITS: Final[Mapping[Unit, _Unit]] = {
    "day": _Unit(timedelta(45), lambda day: day, timedelta(1), date.isoformat),
    "week": _Unit(timedelta(240), lambda day: day - timedelta(day.weekday()), timedelta(7), date.isoformat),
    "month": _Unit(
        timedelta(1_900), lambda day: day.replace(day=1), timedelta(31), lambda day: f"{day:%Y-%m}"
    ),
    "year": _Unit(
        timedelta.max, lambda day: day.replace(month=1, day=1), timedelta(366), lambda day: str(day.year)
    ),
}


def make_timeline(days: Mapping[date, DayCount]) -> Timeline | None:
    """Fold days into the smallest unit that gives no more than about sixty periods; None without days."""
    if not days:
        return None
    span = max(days) - min(days)
    name, unit = next((name, unit) for name, unit in _UNITS.items() if span <= unit.longest_span)
    counts: dict[date, DayCount] = {}
    first, last = unit.first_day(min(days)), unit.first_day(max(days))
    while first <= last:
        counts[first] = DayCount()
        first = unit.first_day(first + unit.longest)
    for day, count in days.items():
        period = counts[unit.first_day(day)]
        period.documents += count.documents
        period.sentences += count.sentences
        period.held.update(count.held)
    return Timeline(name, tuple(Period(unit.name(first), count) for first, count in counts.items()))

"""Find the date of a document: as given with it, else in its name, else in the dateline of its text.

Only a full date counts, with year, month and day, in a form that has one reading: `31/01/2022` is taken,
`03/04/2022` is not, because half of the world reads April and the other half March. Nothing is guessed from
the clock, so that the same document always has the same date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import PurePosixPath
from typing import Final

DATELINE_CHARACTERS: Final = 1_000
"""How much of the start of a text is searched for a dateline."""

_DATELINE_LINES = 10
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?P<year>1[789]\d\d|20\d\d)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_GAP = r"[ \t,._-]{1,3}"
_TIME = r"\d{1,2}(?:[:.h]\d\d| ?[ap]\.?m\b)"

_COMPACT = re.compile(
    rf"(?<!\d){_YEAR}(?P<month>\d\d)(?P<day>\d\d)(?=T?\d{{4,6}}Z?(?![0-9A-Za-z])|(?![0-9A-Za-z]))"
)
_ISO = re.compile(rf"(?<!\d){_YEAR}(?P<gap>[-_./])(?P<month>\d{{1,2}})(?P=gap)(?P<day>\d{{1,2}})(?!\d)")
_NUMERIC = re.compile(
    r"(?<![\d./-])(?P<first>\d{1,2})(?P<gap>[./-])(?P<second>\d{1,2})(?P=gap)(?P<year>1[789]\d\d|20\d\d)(?!\d)"
)
_DAY_FIRST = re.compile(rf"(?<![^\W_]){_DAY}(?: of)?{_GAP}{_MONTH}{_GAP}{_YEAR}(?!\d)", re.IGNORECASE)
_MONTH_FIRST = re.compile(rf"(?<![^\W_]){_MONTH}{_GAP}{_DAY}{_GAP}{_YEAR}(?!\d)", re.IGNORECASE)
_FORMS = (_ISO, _COMPACT, _DAY_FIRST, _MONTH_FIRST, _NUMERIC)

_LABEL = (
    r"(?:(?:first |last )?(?:published|updated|posted|modified|issued|released)|date|dated?"
    r"|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?)"
)
# What may stand before a date that dates the text: nothing, words that announce a date, or the end of a
# place or a byline. "On" may not: "On 24 February 2022 Russia invaded" stands in articles of any year.
_BEFORE = re.compile(
    rf"(?:.{{0,79}}[,;|(\[\u00b7\u2022\u2013\u2014:/-])?\s*(?:{_LABEL}\.?[,:]?\s*(?:on |at )?)*",
    re.IGNORECASE,
)
_AFTER = re.compile(
    rf"\s*(?:$|[|(\[)\]\u00b7\u2022\u2013\u2014:;-]|\.\s*$|,?\s*(?:at )?{_TIME}|T\d\d|{_LABEL}\b|/[^/]*/)",
    re.IGNORECASE,
)


def find_date(document_name: str, text: str, given: str | None = None) -> date | None:
    """Find the date of a document, or None if nothing says it.

    Three places are asked, in this order; one that holds no full date passes to the next:

    1. `given`, the date that came with the document, such as `2022-01-31`, `2022-01-31T22:30:00Z`,
       `20220131` or `31 January 2022`; a time after it is not looked at, nor a time zone.
    2. `document_name`: the file name (`20220131T223000Z`, `2022-01-31`, `31-jan-2022`), then the folders
       (`2022/01/31/`); the first date of the file name, the last of the folders.
    3. The dateline of `text`: a date that stands by itself at the start of a line, or at the end of the
       place or byline there (`MUSCAT, 14 March 2026 \u2014`, `Published: Jan. 31, 2022, 10:30`), in one of
       the first ten lines and the first `DATELINE_CHARACTERS` characters. A date in running text is an
       event's, not the document's, and is passed over; so is a dateline without a year.
    """
    if given is not None and (found := _first(given)):
        return found
    path = PurePosixPath(document_name)
    if found := _first(path.name):
        return found
    folders = list(_dates(str(path.parent)))
    if folders:
        return max(folders)[1]
    return _dateline(text[:DATELINE_CHARACTERS])


def _first(text: str) -> date | None:
    return min(_dates(text), default=(0, None))[1]


def _dates(text: str) -> Iterator[tuple[int, date]]:
    for match in _matches(text):
        if found := _read(match):
            yield match.start(), found


def _matches(text: str) -> Iterator[re.Match[str]]:
    for form in _FORMS:
        yield from form.finditer(text)


def _dateline(start: str) -> date | None:
    lines = [line.strip() for line in start.splitlines() if line.strip()]
    for line in lines[:_DATELINE_LINES]:
        for match in sorted(_matches(line), key=lambda match: match.start()):
            dates_the_text = _BEFORE.fullmatch(line, 0, match.start()) and _AFTER.match(line, match.end())
            if dates_the_text and (found := _read(match)):
                return found
    return None


def _read(match: re.Match[str]) -> date | None:
    parts = match.groupdict()
    if "first" in parts:
        day, month = _day_and_month(int(parts["first"]), int(parts["second"]), parts["gap"])
    else:
        day, month = int(parts["day"]), _month(parts["month"])
    try:
        return date(int(parts["year"]), month, day)
    except ValueError:
        return None


def _month(name: str) -> int:
    return int(name) if name.isdecimal() else _MONTHS.index(name[:3].lower()) + 1


def _day_and_month(first: int, second: int, gap: str) -> tuple[int, int]:
    # With points the day comes first everywhere; with strokes and hyphens that depends on the country.
    if gap == "." or first == second or first > 12:
        return first, second
    return (second, first) if second > 12 else (0, 0)

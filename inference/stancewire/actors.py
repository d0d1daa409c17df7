"""Who is named by a few words of a sentence: a list of patterns, and the actors they stand for.

`data/actors.csv` comes along; `data/README.md` says what it was made from.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from stancewire.errors import StancewireError

COLUMNS: Final = ("pattern", "actor", "group")
"""The columns of a list of actors; further ones are passed over."""

ARMED_GROUP: Final = "armed group"
"""The group whose members are meant rather than the state before them: Lebanon's Hezbollah is Hezbollah."""

_SHORT = 3
_REMEMBERED = 65_536
_WORD = re.compile(r"[^\W_]+")
_DOTTED = re.compile(r"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_])\.?")
# Not the patron but somebody else acts: pro-Russian separatists, the Iran-backed militia, Ukraine's allies.
_OTHERS_BEFORE = re.compile(r"(?<![^\W_])(?:anti|non|pro)[-\u2010\u2011\u2013]$", re.IGNORECASE)
_OTHERS_AFTER = re.compile(
    r"[-\u2010\u2011\u2013](?:aligned|allied|appointed|backed|based|born|brokered|built|controlled|educated"
    r"|friendly|funded|held|installed|made|occupied|owned|sponsored|supported|trained)\b"
    r"|['\u2019]s? (?:\w+ )?(?:all(?:y|ies)|critics?|enem(?:y|ies)|foes?|neighbou?rs?|opponents?|rivals?)\b",
    re.IGNORECASE,
)
_AND = re.compile(r"\b(?:and|or|nor)\b|[,/&+\u2010\u2011\u2013-]", re.IGNORECASE)
_ARTICLE = re.compile(r"\ban?\b", re.IGNORECASE)
_PREPOSITION = re.compile(
    r"\b(?:about|against|among|at|between|by|for|from|in|inside|into|like|near|of|on|over|that|to|toward|towards"
    r"|under|via|which|who|whose|with|within|without)\b",
    re.IGNORECASE,
)
_ALLY = re.compile(r"\b(?:all(?:y|ies)|applicant|candidate|member|partner|state)s?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor as counts name it, and the group it belongs to; the group may be empty."""

    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """Words that stand for an actor; None where they name none that should be counted, as in New Mexico."""

    words: str
    actor: Actor | None


@dataclass(frozen=True, slots=True)
class _Word:
    folded: str
    dotted: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Entry:
    actor: Actor | None
    exact: str | None
    rank: int


@dataclass(frozen=True, slots=True)
class _Match:
    entry: _Entry
    start: int
    end: int


class ActorList:
    """Finds the actors that a few words name; make one with `ActorList.load`.

    Patterns match whole words, the longest first, whatever their case and accents; one of at most three
    letters with two capitals (US, EU, WHO) matches only as it is written, with or without points.
    """

    def __init__(self, *lists: Iterable[Pattern]) -> None:
        """Join lists of patterns; where two have the same words, the earlier list's stand."""
        self._entries: dict[tuple[str, ...], _Entry] = {}
        for rank, patterns in enumerate(lists):
            for pattern in patterns:
                words = _words(pattern.words)
                entry = _Entry(pattern.actor, _exact(pattern.words), rank)
                self._entries.setdefault(tuple(word.folded for word in words), entry)
        self._longest = max(map(len, self._entries), default=0)
        self.find = lru_cache(_REMEMBERED)(self._find)
        """`find(text)` gives the actors that the text names, as a tuple: see `_find`."""

    @classmethod
    def load(cls, path: Path | None = None) -> ActorList:
        """Load the list that comes along, and before it the user's own, if `path` names one.

        Raises StancewireError for a list that is missing or that cannot be read.
        """
        own = [read_patterns(path)] if path is not None else []
        return cls(*own, shipped_patterns())

    def __len__(self) -> int:
        return len(self._entries)

    def _find(self, text: str) -> tuple[Actor, ...]:
        """Find who is named: nobody known, one actor, or several that are joined by "and", in order.

        What depends on a preposition is not meant ("Russia's envoy to NATO" is Russia), nor a patron
        ("pro-Russian separatists"). Of two that stand together the first is meant ("the US Iran envoy"),
        but an armed group, a member or ally ("NATO ally Turkey"), and the user's own row go before.
        """
        matches = [match for match in self._matches(text) if not _means_others(match, text)]
        meant: list[_Match] = []
        for match in matches:
            if not meant:
                meant.append(match)
                continue
            between = text[meant[-1].end : match.start]
            if _PREPOSITION.search(between):
                break
            if _AND.search(between) and not _ARTICLE.search(between):
                meant.append(match)
            elif _goes_before(match, meant[-1], between):
                meant[-1] = match
            else:
                # It is passed over, and so is what is read on from it.
                meant[-1] = _Match(meant[-1].entry, meant[-1].start, match.end)
        return tuple(dict.fromkeys(match.entry.actor for match in meant if match.entry.actor))

    def _matches(self, text: str) -> list[_Match]:
        words = _words(text)
        found = [
            (entry.rank, words[start].start - words[stop - 1].end, start, stop, entry)
            for start in range(len(words))
            for stop in range(start + 1, min(start + self._longest, len(words)) + 1)
            if (entry := self._entry(words[start:stop], text)) is not None
        ]
        taken: set[int] = set()
        matches = []
        for _, _, start, stop, entry in sorted(found, key=lambda each: each[:3]):
            if taken.isdisjoint(range(start, stop)):
                taken.update(range(start, stop))
                if entry.actor is not None:
                    matches.append(_Match(entry, words[start].start, words[stop - 1].end))
        return sorted(matches, key=lambda match: match.start)

    def _entry(self, words: list[_Word], text: str) -> _Entry | None:
        entry = self._entries.get(tuple(word.folded for word in words))
        if entry is None or entry.exact is None:
            return entry
        written = text[words[0].start : words[-1].end].replace(".", "")
        return entry if written == entry.exact or words[0].dotted else None


def shipped_patterns() -> list[Pattern]:
    """Read the list of actors that comes along."""
    return list(_parse(files("stancewire").joinpath("data/actors.csv").read_text("utf-8"), "actors.csv"))


def read_patterns(path: Path) -> list[Pattern]:
    """Read a list of actors: CSV in UTF-8 with the columns `pattern`, `actor` and `group`.

    A row without an actor takes its words out of the count. Raises StancewireError for a file that is
    missing, lacks a column, or has a row without a pattern; it names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise StancewireError(f"there is no list of actors {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StancewireError(f"{path} cannot be read as CSV in UTF-8: {error}") from None
    return list(_parse(text, str(path)))


def _parse(text: str, where: str) -> Iterator[Pattern]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise StancewireError(
                f"{where} lacks the column {missing[0]}: a list of actors has {', '.join(COLUMNS)}"
            )
        for row in reader:
            pattern, actor, group = ((row[column] or "").strip() for column in COLUMNS)
            if not _words(pattern):
                raise StancewireError(f"{where}, line {reader.line_num}: the pattern {pattern!r} has no word")
            if actor.startswith("@") or ";" in actor + group:
                raise StancewireError(
                    f"{where}, line {reader.line_num}: {actor!r} should neither begin with @, which marks "
                    "what is not an actor, nor hold a semicolon, which parts several"
                )
            yield Pattern(pattern, Actor(actor, group) if actor else None)
    except csv.Error as error:
        raise StancewireError(f"{where}, line {reader.line_num}: not CSV: {error}") from None


def _means_others(match: _Match, text: str) -> bool:
    return bool(_OTHERS_BEFORE.search(text, 0, match.start) or _OTHERS_AFTER.match(text, match.end))


def _goes_before(later: _Match, earlier: _Match, between: str) -> bool:
    if later.entry.rank != earlier.entry.rank:
        return later.entry.rank < earlier.entry.rank
    groups = [match.entry.actor.group if match.entry.actor else "" for match in (earlier, later)]
    return (groups[1] == ARMED_GROUP and groups[0] != ARMED_GROUP) or bool(_ALLY.search(between))


def _words(text: str) -> list[_Word]:
    # Points inside an abbreviation go, and leave its place in the text as it is: U.S. and US are one word.
    found = [(match.start(), match.end(), match.group()) for match in _DOTTED.finditer(text)]
    inside = {position for start, end, _ in found for position in range(start, end)}
    words = [_Word(_fold(word.replace(".", "")), True, start, end) for start, end, word in found]
    words += [
        _Word(_fold(match.group()), False, match.start(), match.end())
        for match in _WORD.finditer(text)
        if match.start() not in inside
    ]
    return sorted(words, key=lambda word: word.start)


def _fold(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(character for character in plain if not unicodedata.combining(character))


def _exact(pattern: str) -> str | None:
    written = pattern.replace(".", "")
    short = len(written) <= _SHORT and written.isalpha() and sum(map(str.isupper, written)) > 1
    return written if short else None

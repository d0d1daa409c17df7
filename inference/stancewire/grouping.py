"""Kinds of sentences, and how a model does on each.

Sentences are grouped by what their rows say beside the text (`src`, `part`, and any other key that has few
values), and by what can be seen of them: how long they are, whether they hold a double quotation mark,
whether they are headlines, whether they hold several labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from stancewire.errors import StancewireError
from stancewire.metrics import RESAMPLES, Metrics, measure

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedSentence
    from stancewire.judgements import Judgements

SHORT: Final = 12
"""Words of a short sentence, at most."""

LONG: Final = 35
"""Words of a long sentence, at least."""

NOT_GIVEN: Final = "(not given)"
"""The group of the sentences whose row lacks the key, or gives no value."""

_FIRST = ("src", "part")
_MOST_GROUPS = 50
# Straight, curly, low, reversed, angle and full-width ones.
_DOUBLE_QUOTE = re.compile('["\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02]')


@dataclass(frozen=True, slots=True)
class Group:
    """Sentences of one kind: the positions of its sentences, rising."""

    name: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way of dividing sentences: each is in just one of the groups, and no group is empty."""

    name: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """A model's figures on the sentences of one group, which are of `clusters` documents."""

    name: str
    clusters: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class GroupingMetrics:
    """A model's figures on each group of a grouping."""

    name: str
    groups: tuple[GroupMetrics, ...]


def find_groupings(
    sentences: Sequence[AnnotatedSentence], wanted: Iterable[str] = ()
) -> tuple[Grouping, ...]:
    """Divide sentences in every way that they allow: by the keys of their rows, then by kind.

    A key counts if its values are words, numbers or booleans, and at most 50 different ones. Raises
    StancewireError if one of `wanted` is not among the groupings; the message says which are.
    """
    keys = dict.fromkeys(key for sentence in sentences for key in sentence.extra)
    names = [key for key in _FIRST if key in keys] + sorted(keys.keys() - set(_FIRST))
    by_key = [
        _divide(name, [_value_name(sentence.extra.get(name)) for sentence in sentences])
        for name in names
        if name not in _KINDS and all(map(_is_plain, (sentence.extra.get(name) for sentence in sentences)))
    ]
    by_kind = [_divide(name, map(kind, sentences), _ORDER[name]) for name, kind in _KINDS.items()]
    groupings = (*(grouping for grouping in by_key if len(grouping.groups) <= _MOST_GROUPS), *by_kind)
    for name in wanted:
        _need(name, keys.keys(), groupings)
    return groupings


def measure_groups(
    judgements: Judgements, grouping: Grouping, *, resamples: int = RESAMPLES, seed: int = 0
) -> GroupingMetrics:
    """Measure the decisions on each group by itself; its documents are drawn from the group's sentences."""
    return GroupingMetrics(
        grouping.name,
        tuple(_measure_group(judgements, group, resamples, seed) for group in grouping.groups),
    )


def word_count(text: str) -> int:
    """Count the words of a sentence: what white space parts."""
    return len(text.split())


def is_headline(sentence: AnnotatedSentence) -> bool:
    """Say whether a sentence is a headline: the first of its document, or in capitals throughout."""
    return (sentence.doc is not None and sentence.i == 0) or sentence.text.isupper()


def has_quotation(text: str) -> bool:
    """Say whether a sentence holds a double quotation mark, of whatever form."""
    return _DOUBLE_QUOTE.search(text) is not None


def _length(sentence: AnnotatedSentence) -> str:
    words = word_count(sentence.text)
    return _LENGTHS[0 if words <= SHORT else 1 if words < LONG else 2]


def _quote(sentence: AnnotatedSentence) -> str:
    return _QUOTES[0 if has_quotation(sentence.text) else 1]


def _headline(sentence: AnnotatedSentence) -> str:
    return _HEADLINES[0 if is_headline(sentence) else 1]


def _several(sentence: AnnotatedSentence) -> str:
    return _SEVERAL[0 if len(sentence.labels) > 1 else 1]


_LENGTHS = (f"up to {SHORT} words", f"{SHORT + 1} to {LONG - 1} words", f"{LONG} words and more")
_QUOTES = ("quotation mark", "no quotation mark")
_HEADLINES = ("headline", "no headline")
_SEVERAL = ("several labels", "one label or none")
_KINDS: Mapping[str, Callable[[AnnotatedSentence], str]] = MappingProxyType(
    {"length": _length, "quote": _quote, "headline": _headline, "several": _several}
)
_ORDER = MappingProxyType(dict(zip(_KINDS, (_LENGTHS, _QUOTES, _HEADLINES, _SEVERAL), strict=True)))


def _divide(name: str, values: Iterable[str], order: Sequence[str] = ()) -> Grouping:
    rows: dict[str, list[int]] = {value: [] for value in order}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    # The largest first where nothing else orders them, what has no value last.
    ranked = order or sorted(rows, key=lambda value: (value == NOT_GIVEN, -len(rows[value]), value))
    return Grouping(name, tuple(Group(value, tuple(rows[value])) for value in ranked if rows[value]))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _value_name(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOT_GIVEN if value is None or not str(value).strip() else str(value)


def _need(name: str, keys: Iterable[str], groupings: Sequence[Grouping]) -> None:
    there = [grouping.name for grouping in groupings]
    if name in there:
        return
    if name in keys:
        raise StancewireError(
            f"--by {name}: its values are no groups: a key should have words, numbers or booleans, and at "
            f"most {_MOST_GROUPS} different ones"
        )
    near = get_close_matches(name, there, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
    raise StancewireError(f"--by {name}: no sentence has this key; {hint}")


def _measure_group(judgements: Judgements, group: Group, resamples: int, seed: int) -> GroupMetrics:
    rows = list(group.rows)
    clusters = [judgements.clusters[row] for row in rows]
    metrics = measure(
        judgements.labels,
        judgements.targets[rows],
        judgements.decisions[rows],
        clusters=clusters,
        resamples=resamples,
        seed=seed,
    )
    return GroupMetrics(group.name, len(set(clusters)), metrics)

"""Count who takes which stance towards whom, by period: the dyadic table that conflict research works with.

`docs/events.md` describes every column.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stancewire.actors import Actor, ActorList
from stancewire.duplicates import DuplicateFinder, compared_text
from stancewire.errors import StancewireError
from stancewire.formats import PROBABILITY_PREFIX
from stancewire.provenance import read_provenance
from stancewire.report.dating import date_document
from stancewire.scores import ScoredText, StoredSentence, read_scores
from stancewire.tables import Table, check_writable

if TYPE_CHECKING:
    import pyarrow as pa

    from stancewire.classifier import Stance
    from stancewire.spans import Span

PERIODS: Final = ("day", "week", "month", "year", "none")
"""What a row of the table may span."""

NOBODY: Final = "@nobody"
"""Stands in the table where the sentence names nobody."""

AUTHOR: Final = "@author"
"""Stands in the table where the writer takes the stance."""

OTHER: Final = "@other"
"""Stands in the table for somebody who is named and in no list of actors."""

_PRONOUNS = re.compile(
    "he|she|it|they|we|i|you|him|her|them|us|me|one|who|this|that|these|those|(?:any|every|no|some)(?:body|one)"
    "|others?|another|both|all|(?:him|her|it)self|(?:them|our)selves",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|an?) (?=.)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DyadKey:
    """What a row of the table is of; `period` is its first day, None where the document has no date."""

    period: date | None
    source: str
    source_group: str
    target: str
    target_group: str
    stance: str


@dataclass(slots=True)
class DyadCount:
    """How many stances a row counts, in how many documents, and how many of them were not printed before."""

    count: int = 0
    expected: float = 0.0
    documents: int = 0
    count_unique: int = 0
    expected_unique: float = 0.0
    _last_document: int = field(default=-1, repr=False)

    def add(self, probability: float, document: int, *, repeated: bool) -> None:
        """Count a stance of a document, which is told from others by its number."""
        self.count += 1
        self.expected += probability
        self.documents += document != self._last_document
        self._last_document = document
        if not repeated:
            self.count_unique += 1
            self.expected_unique += probability


@dataclass(slots=True)
class UnmatchedName:
    """Words that name somebody who is in no list of actors, and how often they do."""

    name: str
    as_source: int = 0
    as_target: int = 0

    @property
    def count(self) -> int:
        """How often the name is a source or a target."""
        return self.as_source + self.as_target


@dataclass(frozen=True, slots=True)
class EventsResult:
    """What was counted: the rows of the table in its order, and what the printed summary says of them.

    `undated` is how many documents have no date; `duplicates` how many stances were printed before;
    `parties` how many sources and targets are named, the writer among them, `matched` of how many the actor
    is known, and `pronouns` how many are only a pronoun, which `unmatched` leaves out.
    """

    out: Path
    by: str
    rows: tuple[tuple[DyadKey, DyadCount], ...]
    documents: int
    undated: int
    stances: int
    duplicates: int
    parties: int
    matched: int
    pronouns: int
    unmatched: tuple[UnmatchedName, ...]


def count_events(
    scores: Path,
    out: Path,
    *,
    by: str = "month",
    actors: Path | None = None,
    sentences: Path | None = None,
    unmatched: Path | None = None,
    each_actor: bool = False,
    overwrite: bool = False,
    on_document: Callable[[int], object] | None = None,
) -> EventsResult:
    """Count the stances of an output of `stancewire score` by source, target and period.

    `actors` is a list of one's own that goes before the one that comes along; `sentences` a further table
    with one stance a row, `unmatched` one with the names that no list has. A span that names several actors
    counts for the first, with `each_actor` for each of them. Memory does not grow with the number of
    documents, but with the rows of the table, the names, and up to `duplicates.REMEMBERED` sentences.
    Raises StancewireError for an output that cannot be read, or a table that cannot be written or is there
    already and `overwrite` is not set; then nothing is written.
    """
    if by not in PERIODS:
        raise StancewireError(f"--by {by}: should be one of {', '.join(PERIODS)}")
    if not scores.exists():
        raise StancewireError(f"there is no output {scores}: stancewire score writes one")
    tables = [table for table in (out, sentences, unmatched) if table is not None]
    _check_tables(scores, actors, tables, overwrite=overwrite)
    counter = _Counter(ActorList.load(actors), by, each_actor=each_actor)
    with ExitStack() as stack:
        opened: list[Table] = []
        write = _opener(stack, opened, overwrite=overwrite)
        note = write(sentences, sentence_schema())
        for number, text in enumerate(read_scores(scores, read_labels(scores)), 1):
            for stance in counter.add(text):
                note(stance)
            if on_document:
                on_document(number)
        result = counter.result(out)
        list_name = write(unmatched, unmatched_schema())
        for name in result.unmatched:
            list_name((name.name, name.count, name.as_source, name.as_target))
        count_dyad = write(out, dyad_schema())
        for key, count in result.rows:
            count_dyad(_dyad_row(key, count))
        for table in opened:
            table.commit()
    return result


def read_labels(scores: Path) -> tuple[str, ...]:
    """Read which labels an output has from the output itself, for what made it may not lie beside it."""
    if scores.is_dir():
        return read_provenance(scores).labels
    suffix = scores.suffix.lower()
    columns: list[str] = []
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            columns = pq.read_schema(scores).names
        elif suffix == ".csv":
            with scores.open(encoding="utf-8-sig", newline="") as stream:
                columns = next(csv.reader(stream), [])
        else:
            return _json_labels(scores)
    except (OSError, ValueError, csv.Error) as error:
        raise StancewireError(f"{scores} cannot be read: {error}") from None
    labels = tuple(name[len(PROBABILITY_PREFIX) :] for name in columns if name.startswith(PROBABILITY_PREFIX))
    missing = [name for name in ("document", "text", "stances") if name not in columns]
    if missing or not labels:
        raise StancewireError(
            f"{scores} is not what stancewire score writes: it has no column {(missing or ['p_LABEL'])[0]}; "
            f"score it first: `stancewire score {shlex.quote(str(scores))} --out scores.jsonl`"
        )
    return labels


def period_start(day: date | None, by: str) -> date | None:
    """Give the first day of the period that a day is in; weeks begin on Monday, as ISO 8601 has it."""
    if day is None or by == "none":
        return None
    if by == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(month=1 if by == "year" else day.month, day=day.day if by == "day" else 1)


def dyad_schema() -> pa.Schema:
    """Describe the columns of the table."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("date", pa.date32()),
            *(pa.field(name, pa.string(), nullable=False) for name in ("source", "target", "stance")),
            pa.field("count", pa.int64(), nullable=False),
            pa.field("expected", pa.float64(), nullable=False),
            pa.field("documents", pa.int64(), nullable=False),
            pa.field("count_unique", pa.int64(), nullable=False),
            pa.field("expected_unique", pa.float64(), nullable=False),
            *(pa.field(name, pa.string(), nullable=False) for name in ("source_group", "target_group")),
        ]
    )


def sentence_schema() -> pa.Schema:
    """Describe the columns of the table with one stance a row."""
    import pyarrow as pa

    names = pa.list_(pa.string())
    return pa.schema(
        [
            pa.field("document", pa.string(), nullable=False),
            pa.field("sentence", pa.int32(), nullable=False),
            pa.field("date", pa.date32()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("source", pa.string()),
            pa.field("target", pa.string()),
            *(
                pa.field(name, names, nullable=False)
                for name in ("source_actors", "target_actors", "source_groups", "target_groups")
            ),
            pa.field("stance", pa.string(), nullable=False),
            pa.field("probability", pa.float64(), nullable=False),
            pa.field("uncertain", pa.bool_(), nullable=False),
            pa.field("duplicate_of", pa.string()),
        ]
    )


def unmatched_schema() -> pa.Schema:
    """Describe the columns of the table of names that no list of actors has."""
    import pyarrow as pa

    counts = [pa.field(name, pa.int64(), nullable=False) for name in ("count", "as_source", "as_target")]
    return pa.schema([pa.field("name", pa.string(), nullable=False), *counts])


@dataclass(frozen=True, slots=True)
class _Party:
    """A source or a target: its words, the actors they name, and what stands for it in the table."""

    words: str | None
    actors: tuple[Actor, ...]
    shown: tuple[Actor, ...]


class _Counter:
    """What a run adds up as it goes."""

    def __init__(self, known: ActorList, by: str, *, each_actor: bool) -> None:
        self._known = known
        self._by = by
        self._each_actor = each_actor
        self._finder: DuplicateFinder[str] = DuplicateFinder()
        self._cells: dict[DyadKey, DyadCount] = {}
        self._unmatched: dict[str, UnmatchedName] = {}
        self._documents = self._undated = self._stances = self._duplicates = 0
        self._parties = self._matched = self._pronouns = 0

    def add(self, text: ScoredText) -> Iterator[tuple[object, ...]]:
        """Count a document, and give a row of the table of sentences for each of its stances."""
        dating = date_document(text)
        day = dating.day if dating else None
        self._documents += 1
        self._undated += day is None
        before = ""
        for position, sentence in enumerate(text.sentences):
            if sentence.stances:
                yield from self._add_sentence(text.document, day, position, sentence, before)
            before = sentence.text

    def result(self, out: Path) -> EventsResult:
        rows = sorted(self._cells.items(), key=lambda row: _order(row[0]))
        unmatched = sorted(self._unmatched.values(), key=lambda name: (-name.count, name.name))
        return EventsResult(
            out=out,
            by=self._by,
            rows=tuple(rows),
            documents=self._documents,
            undated=self._undated,
            stances=self._stances,
            duplicates=self._duplicates,
            parties=self._parties,
            matched=self._matched,
            pronouns=self._pronouns,
            unmatched=tuple(unmatched),
        )

    def _add_sentence(
        self, document: str, day: date | None, position: int, sentence: StoredSentence, before: str
    ) -> Iterator[tuple[object, ...]]:
        pairs = [self._pair(stance) for stance in sentence.stances]
        kinds = [
            (stance.label, source.shown[0].name, target.shown[0].name)
            for stance, (source, target) in zip(sentence.stances, pairs, strict=True)
        ]
        text = compared_text(sentence.text, before)
        originals = self._finder.find(text, kinds, f"{document}#{position}")
        for stance, (source, target), original in zip(sentence.stances, pairs, originals, strict=True):
            self._stances += 1
            self._duplicates += original is not None
            for who, whom in product(source.shown, target.shown):
                key = DyadKey(
                    period_start(day, self._by), who.name, who.group, whom.name, whom.group, stance.label
                )
                cell = self._cells.setdefault(key, DyadCount())
                cell.add(stance.probability, self._documents, repeated=original is not None)
            yield (
                document,
                position,
                day,
                sentence.text,
                source.words,
                target.words,
                [actor.name for actor in source.actors],
                [actor.name for actor in target.actors],
                [actor.group for actor in source.actors],
                [actor.group for actor in target.actors],
                stance.label,
                stance.probability,
                sentence.uncertain,
                original,
            )

    def _pair(self, stance: Stance) -> tuple[_Party, _Party]:
        if stance.source_kind == "author":
            self._parties += 1
            source = _Party(AUTHOR, (), (Actor(AUTHOR, ""),))
        else:
            source = self._party(stance.source, "source")
        return source, self._party(stance.target, "target")

    def _party(self, span: Span | None, side: str) -> _Party:
        if span is None:
            return _Party(None, (), (Actor(NOBODY, ""),))
        self._parties += 1
        found = self._known.find(span.text)
        if found:
            self._matched += 1
            return _Party(span.text, found, found if self._each_actor else found[:1])
        self._note_unmatched(span.text, side)
        return _Party(span.text, (), (Actor(OTHER, ""),))

    def _note_unmatched(self, words: str, side: str) -> None:
        name = _ARTICLE.sub("", " ".join(words.split()))
        if _PRONOUNS.fullmatch(name):
            self._pronouns += 1
            return
        entry = self._unmatched.setdefault(name.casefold(), UnmatchedName(name))
        entry.as_source += side == "source"
        entry.as_target += side == "target"


def _order(key: DyadKey) -> tuple[bool, date, str, str, str, str, str]:
    # What has no date comes last.
    day = key.period or date.max
    return key.period is None, day, key.source, key.target, key.stance, key.source_group, key.target_group


def _dyad_row(key: DyadKey, count: DyadCount) -> tuple[object, ...]:
    return (
        key.period,
        key.source,
        key.target,
        key.stance,
        count.count,
        round(count.expected, 6),
        count.documents,
        count.count_unique,
        round(count.expected_unique, 6),
        key.source_group,
        key.target_group,
    )


def _json_labels(scores: Path) -> tuple[str, ...]:
    with scores.open("rb") as stream:
        for line in stream:
            try:
                sentences = json.loads(line)["sentences"] if line.strip() else []
                if sentences:
                    return tuple(sentences[0]["probabilities"])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                # The line and what is wrong with it are named where it is read.
                return ()
    return ()


def _opener(
    stack: ExitStack, opened: list[Table], *, overwrite: bool
) -> Callable[[Path | None, pa.Schema], Callable[[Sequence[object]], object]]:
    def write(path: Path | None, schema: pa.Schema) -> Callable[[Sequence[object]], object]:
        if path is None:
            return lambda row: None
        opened.append(stack.enter_context(Table(path, schema, overwrite=overwrite)))
        return opened[-1].write

    return write


def _check_tables(scores: Path, actors: Path | None, tables: list[Path], *, overwrite: bool) -> None:
    taken = [path.resolve() for path in (scores, actors) if path is not None]
    for table in tables:
        if table.resolve() in taken:
            raise StancewireError(f"{table} is read or written already: give each table a name of its own")
        taken.append(table.resolve())
        check_writable(table, overwrite=overwrite)

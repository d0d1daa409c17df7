"""Two collections of scores side by side: which rates differ, and which sentences changed their labels.

`docs/compare.md` says what is compared and how. Files are read a document at a time; what is kept are a few
counts a document.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np

from stancewire.changes import Change, open_writer
from stancewire.errors import StancewireError
from stancewire.provenance import Provenance, read_provenance
from stancewire.rates import LEVEL, RateDifferences, compare_rates, holm
from stancewire.report.dating import date_document
from stancewire.scores import ScoredText, StoredSentence, read_scores

CLUSTERS: Final = ("document", "day")
EXAMPLES: Final = 3
"""Changed sentences that are shown of each label, those whose probability moved most."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: how it is called, what read it, and what it holds."""

    name: str
    model: str
    digest: str
    documents: int
    sentences: int


@dataclass(frozen=True, slots=True)
class LabelComparison:
    """A label on both sides: sentences that hold it, and their shares.

    `low` and `high` bound the difference of the shares, second less first, with 95% confidence; `p` tests
    that it is 0, and `p_corrected` is that by Holm over all labels: all four are NaN where a side has fewer
    than two clusters. `gained` and `lost` count sentences that both sides have and that hold the label only
    on the second, only on the first.
    """

    label: str
    held_first: int
    held_second: int
    share_first: float
    share_second: float
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    gained: int
    lost: int
    examples: tuple[Change, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the shares differ, with a chance of 5% that any of the labels is said to and does not."""
        return self.p_corrected < 1 - LEVEL


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found. `by` says what a cluster is, a document or a day, and `clusters` how many there are.

    `shared` counts the sentences that both sides have, `changed` those of them with other labels. Where both
    have the same sentences the comparison is `paired`. `missing` are labels that one side alone has, and
    `undated` documents that no date could be found for; `notes` say what is to be minded.
    """

    first: Side
    second: Side
    labels: tuple[LabelComparison, ...]
    by: str
    clusters: int
    paired: bool
    shared: int
    changed: int
    missing: tuple[str, ...] = ()
    undated: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Write the comparison as values that JSON can hold, None where a figure is not defined."""
        values = asdict(self)
        for entry, label in zip(values["labels"], self.labels, strict=True):
            entry["differs"] = label.differs
            for name, figure in entry.items():
                if isinstance(figure, float) and math.isnan(figure):
                    entry[name] = None
        return values


def compare_files(
    first: Path,
    second: Path,
    *,
    by: str = "document",
    out: Path | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> Comparison:
    """Compare two outputs of `stancewire score`: of two collections, or of one that two models read.

    Sentences are the same where document, offsets and text are. Their changes are written to `out`, `.jsonl`,
    `.csv` or `.parquet`, a row for each label that came or went. `on_progress` is told how many documents
    were just read. Raises StancewireError for outputs that cannot be read or have no label in common, and,
    with `out`, if they have no sentence in common.
    """
    _check_by(by)
    if out is not None and out.resolve() in (first.resolve(), second.resolve()):
        raise StancewireError(f"--out {out}: is what is read: name another place")
    made = (read_provenance(first), read_provenance(second))
    labels = [label for label in made[0].labels if label in made[1].labels]
    if not labels:
        raise StancewireError(
            f"{first} and {second} have no label in common: {', '.join(made[0].labels)}; "
            f"{', '.join(made[1].labels)}"
        )
    with open_writer(out, overwrite=overwrite) as writer:
        tick = on_progress or (lambda number: None)
        sides = [_Counts(labels), _Counts(labels)]
        for path, of, counts in zip((first, second), made, sides, strict=True):
            for text in read_scores(path, of.labels):
                counts.add(_cluster(text, by), text)
                tick(1)
        names = sides[0].names & sides[1].names
        changes = _Changes(labels, by, writer.write)
        if names:
            streams = (read_scores(first, made[0].labels), read_scores(second, made[1].labels))
            for before, after in _pairs(*streams, names):
                changes.add(before, after)
                tick(2)
        if out is not None and not changes.shared:
            raise StancewireError(
                f"{first} and {second} have no sentence in common: {out} would be empty, and is not written"
            )
        is_paired = changes.shared == sides[0].sentences == sides[1].sentences > 0
        rates = (
            _compare(changes.lost, changes.gained) if is_paired else _compare(sides[0].held, sides[1].held)
        )
        writer.commit()
    return Comparison(
        _side(first.name, made[0], sides[0]),
        _side(second.name, made[1], sides[1]),
        labels=_by_label(labels, sides, rates, changes),
        by=by,
        clusters=len(sides[0].held.keys() | sides[1].held.keys()),
        paired=is_paired,
        shared=changes.shared,
        changed=changes.changed,
        missing=tuple(sorted(set(made[0].labels) ^ set(made[1].labels))),
        notes=tuple(_notes(made, is_paired, changes.shared)),
    )


def compare_dates(
    scores: Path,
    split: date,
    *,
    by: str = "document",
    on_progress: Callable[[int], object] | None = None,
) -> Comparison:
    """Compare the documents of an output from before a day with those of that day and after it.

    Documents are dated as in a report, and left out where no date is found. `on_progress` is told how many
    documents were just read. Raises StancewireError for an output that cannot be read, or if all documents
    are on one side.
    """
    _check_by(by)
    made = read_provenance(scores)
    labels = list(made.labels)
    sides, undated = [_Counts(labels), _Counts(labels)], 0
    for text in read_scores(scores, labels):
        found = date_document(text)
        if found is None:
            undated += 1
        else:
            sides[found.day >= split].add(_cluster(text, by), text)
        if on_progress is not None:
            on_progress(1)
    for counts, what in zip(sides, ("before", "on or after"), strict=True):
        if not counts.documents:
            raise StancewireError(
                f"{scores} has no document {what} {split.isoformat()}; {undated:,} have no date"
            )
    rates = _compare(sides[0].held, sides[1].held)
    return Comparison(
        _side(f"before {split.isoformat()}", made, sides[0]),
        _side(f"from {split.isoformat()}", made, sides[1]),
        labels=_by_label(labels, sides, rates, _Changes(labels, by, lambda change: None)),
        by=by,
        clusters=len(sides[0].held.keys() | sides[1].held.keys()),
        paired=False,
        shared=0,
        changed=0,
        undated=undated,
    )


class _Counts:
    """What is counted of one side: by cluster the sentences, and those that hold each label."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.held: dict[str, list[int]] = {}
        self.names: set[str] = set()
        self.documents = self.sentences = 0
        self._positions = {label: position for position, label in enumerate(labels, 1)}

    def add(self, cluster: str, text: ScoredText) -> None:
        row = self.held.setdefault(cluster, [0] * (len(self._positions) + 1))
        row[0] += len(text.sentences)
        for sentence in text.sentences:
            for stance in sentence.stances:
                if stance.label in self._positions:
                    row[self._positions[stance.label]] += 1
        self.names.add(text.document)
        self.documents += 1
        self.sentences += len(text.sentences)

    def totals(self) -> list[int]:
        rows = [[0] * (len(self._positions) + 1), *self.held.values()]
        return [sum(column) for column in zip(*rows, strict=True)]


class _Changes:
    """What the sentences of both sides gained and lost, by cluster, and the largest changes."""

    def __init__(self, labels: Sequence[str], by: str, write: Callable[[Change], object]) -> None:
        self.gained: dict[str, list[int]] = {}
        self.lost: dict[str, list[int]] = {}
        self.shared = self.changed = 0
        self._labels = labels
        self._by = by
        self._write = write
        self._heaps: dict[str, list[tuple[float, int, Change]]] = {label: [] for label in labels}

    def add(self, before: ScoredText, after: ScoredText) -> None:
        # A sentence that stands twice in an output that was put together by hand is matched once.
        waiting = {_identity(sentence): sentence for sentence in after.sentences}
        cluster = _cluster(before, self._by)
        rows = [
            table.setdefault(cluster, [0] * (len(self._labels) + 1)) for table in (self.lost, self.gained)
        ]
        for old in before.sentences:
            new = waiting.pop(_identity(old), None)
            if new is not None:
                self.shared += 1
                rows[0][0] += 1
                rows[1][0] += 1
                self._compare(before, old, new, rows)

    def _compare(
        self, text: ScoredText, old: StoredSentence, new: StoredSentence, rows: Sequence[list[int]]
    ) -> None:
        held = [{stance.label for stance in sentence.stances} for sentence in (old, new)]
        differing = held[0] ^ held[1]
        moved = [label for label in self._labels if label in differing]
        self.changed += bool(moved)
        for label in moved:
            is_gain = label in held[1]
            rows[is_gain][self._labels.index(label) + 1] += 1
            change = Change(
                text.document,
                text.date,
                old.start,
                old.end,
                old.text,
                label,
                "gained" if is_gain else "lost",
                _shortest(old.probabilities[label]),
                _shortest(new.probabilities[label]),
            )
            self._write(change)
            size = abs(change.probability_second - change.probability_first)
            heap = self._heaps[label]
            heapq.heappush(heap, (size, -self.changed, change))
            if len(heap) > EXAMPLES:
                heapq.heappop(heap)

    def examples(self, label: str) -> tuple[Change, ...]:
        return tuple(entry[2] for entry in sorted(self._heaps[label], key=lambda entry: entry[:2])[::-1])

    def total(self, table: Mapping[str, list[int]], position: int) -> int:
        return sum(row[position] for row in table.values())


def _compare(first: Mapping[str, list[int]], second: Mapping[str, list[int]]) -> RateDifferences:
    keys = list(dict.fromkeys((*first, *second)))
    width = len(next(iter((first or second).values()), [0]))
    tables = [np.array([side.get(key, [0] * width) for key in keys]) for side in (first, second)]
    return compare_rates(tables[0][:, 1:], tables[0][:, 0], tables[1][:, 1:], tables[1][:, 0])


def _by_label(
    labels: Sequence[str], sides: Sequence[_Counts], rates: RateDifferences, changes: _Changes
) -> tuple[LabelComparison, ...]:
    corrected = holm(rates.p).tolist()
    totals = [side.totals() for side in sides]
    found = []
    for place, label in enumerate(labels):
        held = [total[place + 1] for total in totals]
        shares = [part / total[0] if total[0] else math.nan for part, total in zip(held, totals, strict=True)]
        found.append(
            LabelComparison(
                label,
                held_first=held[0],
                held_second=held[1],
                share_first=shares[0],
                share_second=shares[1],
                difference=shares[1] - shares[0],
                low=float(rates.low[place]),
                high=float(rates.high[place]),
                p=float(rates.p[place]),
                p_corrected=corrected[place],
                gained=changes.total(changes.gained, place + 1),
                lost=changes.total(changes.lost, place + 1),
                examples=changes.examples(label),
            )
        )
    return tuple(found)


def _pairs(
    first: Iterator[ScoredText], second: Iterator[ScoredText], names: set[str]
) -> Iterator[tuple[ScoredText, ScoredText]]:
    # In step: where both are in the same order, as outputs of one collection are, one document waits at most.
    waiting: tuple[dict[str, ScoredText], dict[str, ScoredText]] = ({}, {})
    streams = [(text for text in side if text.document in names) for side in (first, second)]
    for pair in zip_longest(*streams):
        for own, text in enumerate(pair):
            if text is None:
                continue
            partner = waiting[1 - own].pop(text.document, None)
            if partner is None:
                waiting[own][text.document] = text
            else:
                yield (partner, text) if own else (text, partner)


def _identity(sentence: StoredSentence) -> tuple[int, int, str]:
    return sentence.start, sentence.end, sentence.text


def _cluster(text: ScoredText, by: str) -> str:
    found = date_document(text) if by == "day" else None
    return f"document {text.document}" if found is None else f"day {found.day.isoformat()}"


def _shortest(probability: float) -> float:
    # The fewest digits that give the same float32 back, whichever form it was read from.
    return float(str(np.float32(probability)))


def _check_by(by: str) -> None:
    if by not in CLUSTERS:
        raise StancewireError(f"by should be {' or '.join(CLUSTERS)}, not {by!r}")


def _side(name: str, made: Provenance, counts: _Counts) -> Side:
    return Side(name, made.model, made.digest, counts.documents, counts.sentences)


def _notes(made: tuple[Provenance, Provenance], is_paired: bool, shared: int) -> Iterator[str]:
    one, two = made
    if one.digest != two.digest and not is_paired:
        yield (
            "The two were read by different models, and are not the same sentences: what differs may be the "
            "models' doing. Score both with one model."
        )
    if one.digest == two.digest and (
        one.thresholds != two.thresholds or one.settings.get("prior") != two.settings.get("prior")
    ):
        yield "The two were scored with other thresholds or another prior: what differs may be their doing."
    if shared and not is_paired:
        yield f"{shared:,} sentences are in both: the intervals allow for it by the names of the documents."

"""How good scores are on the collection they are of, by a probability sample that people annotated.

`estimation` says how the figures are computed, and from whom the methods are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.estimation import BANDS, DECIDED, Estimates, estimate
from stancewire.metrics import Figure
from stancewire.review.candidates import bands_of, labels_of, sentence_key, walk
from stancewire.review.sampling import Design

if TYPE_CHECKING:
    import pyarrow as pa

    from stancewire.annotations import AnnotatedSentence

FEWEST_POSITIVES: Final = 30
"""Sentences of the sample that hold a label, below which its figures are not to be relied on."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelValidation:
    """One label in a collection or a part of it.

    `positives` sentences of the sample hold it; the model found it in `found` sentences of all. `count` is
    how many truly hold it and `share` that of all sentences; `precision` and `recall` are the model's. Each
    has its 95% interval by the design of the sample, and is NaN where the sample says nothing.
    """

    label: str
    positives: int
    found: int
    count: Figure
    share: Figure
    precision: Figure
    recall: Figure

    @property
    def usable(self) -> bool:
        """Whether the sample holds enough positives to rely on the figures."""
        return self.positives >= FEWEST_POSITIVES


@dataclass(frozen=True, slots=True)
class PartValidation:
    """A collection, or the part of it that is in `group` by `by`: its sentences, how many were annotated."""

    by: str
    group: str
    sentences: int
    annotated: int
    labels: tuple[LabelValidation, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """The whole collection, and its parts.

    `drawn` sentences were drawn; of those, `annotated` have an answer. `strangers` of the answers are of
    sentences that were not drawn, and count for nothing. `merged` names strata without an answer, which were
    taken together with the one before.
    """

    drawn: int
    annotated: int
    strangers: int
    merged: tuple[str, ...]
    whole: PartValidation
    parts: tuple[PartValidation, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as what JSON can hold; figures that are not defined are None."""
        values: dict[str, Any] = _without_nan(asdict(self))
        every = zip((values["whole"], *values["parts"]), (self.whole, *self.parts), strict=True)
        for part, validation in every:
            for label, known in zip(part["labels"], validation.labels, strict=True):
                label["usable"] = known.usable
        return values


@dataclass(frozen=True, slots=True)
class AssumedCount:
    """How many sentences would hold a label if the model erred as it did elsewhere: an assumption.

    `recall` and `false_alarms` are the shares of sentences with and without the label in which it was found
    there, `positives` how many there have it.
    """

    label: str
    found: int
    positives: int
    recall: float
    false_alarms: float
    count: Figure

    def to_dict(self) -> dict[str, Any]:
        """Give it as what JSON can hold; figures that are not defined are None."""
        values: dict[str, Any] = _without_nan(asdict(self))
        return values


def validate(
    scores: Path,
    design: Design,
    answers: Sequence[AnnotatedSentence],
    *,
    by: Sequence[str] = (),
    on_sentence: Callable[[int], object] | None = None,
) -> Validation:
    """Validate scores by the answers for a sample, in all and for each of the ways to part them in `by`.

    The scores may be those that the sample was drawn from, or what another model made of the same documents.
    `by` may hold day, week, month, year, and columns that the documents came with. Sentences that were drawn
    and not annotated count as missing by chance within their stratum. Raises StancewireError if the scores
    are not of the sentences that the sample was drawn from, nothing is annotated, or an answer has a label
    that the design did not ask for.
    """
    labels = tuple(dict.fromkeys((*labels_of(scores), *design.labels)))
    drawn = {one.key for one in design.sample}
    _refuse_not_asked(answers, drawn, design.labels)
    collection = _Collection(labels, by, design)
    for number, place in enumerate(walk(scores, labels_of(scores), by), 1):
        collection.add(
            place.text.document, place.sentence.text, bands_of(place.sentence, labels), place.groups
        )
        if on_sentence:
            on_sentence(number)
    collection.refuse_other(scores, design)

    said = {sentence_key(one.doc, one.text): one.labels for one in answers}
    if not drawn & said.keys():
        raise StancewireError(
            "none of the annotated sentences was drawn: the answers should be those for the tasks that "
            "stancewire review --random wrote beside this design"
        )
    sample = _Sample.build(design, said, labels)
    parts = tuple(
        _validate_part(collection, sample, labels, name, group)
        for name in by
        for group in collection.groups(name)
    )
    return Validation(
        drawn=len(design.sample),
        annotated=int(sample.answered.sum()),
        strangers=len(said.keys() - drawn),
        merged=sample.merged,
        whole=_validate_part(collection, sample, labels, "", ""),
        parts=parts,
    )


def assume_errors(
    scores: Path, labels: Sequence[str], targets: NDArray[np.bool_], decisions: NDArray[np.bool_]
) -> tuple[AssumedCount, ...]:
    """Adjust counts by a model's errors elsewhere; `targets` and `decisions` there are `[sentences, labels]`.

    Rogan and Gladen 1978 (https://doi.org/10.1093/oxfordjournals.aje.a112510), with the interval of Lang and
    Reiczigel 2014 (https://doi.org/10.1016/j.prevetmed.2013.09.015) for a collection that was read in full.
    It assumes that the shares of positives and of negatives in which the label is found are here what they
    were there, which no figure can show; the interval knows nothing of that.
    """
    known = labels_of(scores)
    found, total = dict.fromkeys(known, 0), 0
    for place in walk(scores, known):
        total += 1
        for stance in place.sentence.stances:
            found[stance.label] += 1
    return tuple(
        _assumed(label, found[label], total, targets[:, column], decisions[:, column])
        for column, label in enumerate(labels)
        if label in found
    )


def validation_schema() -> pa.Schema:
    """Describe the columns of the table of a validation: a row a label and part."""
    import pyarrow as pa

    fields = [pa.field(name, pa.string(), nullable=False) for name in ("by", "group", "label")]
    counts = ("sentences", "annotated", "positives", "found")
    fields += [pa.field(name, pa.int64(), nullable=False) for name in counts]
    fields += [pa.field(name, pa.float64()) for name in _figure_columns()]
    return pa.schema([*fields, pa.field("usable", pa.bool_(), nullable=False)])


def validation_rows(validation: Validation) -> Iterator[tuple[object, ...]]:
    """Give the rows of the table, the whole first; a figure that is not defined is None."""
    for part in (validation.whole, *validation.parts):
        for row in part.labels:
            figures = [
                None if math.isnan(value) else value
                for figure in (row.count, row.share, row.precision, row.recall)
                for value in (figure.value, figure.low, figure.high)
            ]
            counts = (part.sentences, part.annotated, row.positives, row.found)
            yield (part.by, part.group, row.label, *counts, *figures, row.usable)


_FIGURES: Final = ("count", "share", "precision", "recall")
_ALL: Final = ("", "")


def _refuse_not_asked(
    answers: Sequence[AnnotatedSentence], drawn: Container[str], labels: Sequence[str]
) -> None:
    # A label that nobody counts would make a sentence that holds it one that holds none.
    wrong = [
        (one, label)
        for one in answers
        for label in sorted(one.labels.difference(labels))
        if sentence_key(one.doc, one.text) in drawn
    ]
    if wrong:
        one, label = wrong[0]
        more = f", nor are those of {len(wrong) - 1:,} more answers" if len(wrong) > 1 else ""
        raise StancewireError(
            f"{one.file}, line {one.line}: the label {label!r} is not one that the sample was annotated for "
            f"({', '.join(labels)}){more}: put the answers right and import them again"
        )


def _figure_columns() -> list[str]:
    return [f"{figure}{end}" for figure in _FIGURES for end in ("", "_low", "_high")]


class _Collection:
    # How many sentences of each part are in each band, and the band and parts of those that were drawn.
    def __init__(self, labels: Sequence[str], by: Sequence[str], design: Design) -> None:
        self._rows = np.arange(len(labels))
        self._by = tuple(by)
        self._wanted = {one.key for one in design.sample}
        self._documents = {one.document for one in design.sample}
        self._bands: dict[tuple[str, str], Counts] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        self.places: dict[str, tuple[list[int], frozenset[tuple[str, str]]]] = {}

    def add(self, document: str, text: str, bands: list[int], groups: Sequence[str]) -> None:
        parts = (_ALL, *zip(self._by, groups, strict=True))
        for part in parts:
            if part not in self._bands:
                self._bands[part] = np.zeros((len(self._rows), BANDS), np.int64)
                self._sizes[part] = 0
            self._bands[part][self._rows, bands] += 1
            self._sizes[part] += 1
        if document in self._documents:
            key = sentence_key(document, text)
            if key in self._wanted:
                self.places[key] = (bands, frozenset(parts))

    def refuse_other(self, scores: Path, design: Design) -> None:
        total = self._sizes.get(_ALL, 0)
        lost = self._wanted - self.places.keys()
        if total != design.sentences or lost:
            raise StancewireError(
                f"{scores} has {total:,} sentences, and the sample was drawn from {design.sentences:,} of "
                f"{design.scores}; {len(lost):,} of those drawn are not among them: scores of the same "
                "documents are needed"
            )

    def groups(self, name: str) -> list[str]:
        return sorted(group for by, group in self._bands if by == name)

    def bands(self, part: tuple[str, str]) -> Counts:
        return self._bands[part]

    def size(self, part: tuple[str, str]) -> int:
        return self._sizes[part]


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    # The sample as it was answered: strata without an answer are taken together with the one before.
    sizes: Counts
    answered: Counts
    keys: tuple[str, ...]
    strata: tuple[int, ...]
    held: NDArray[np.bool_]
    merged: tuple[str, ...]

    @classmethod
    def build(cls, design: Design, said: Mapping[str, frozenset[str]], labels: Sequence[str]) -> _Sample:
        sample = [one for one in design.sample if one.key in said]
        counts = np.bincount([one.stratum for one in sample], minlength=len(design.strata))
        numbers, kept, merged = [], -1, []
        for stratum, count in zip(design.strata, counts, strict=True):
            kept += bool(count)
            numbers.append(max(kept, 0))
            if not count:
                merged.append(stratum.name)
        sizes = np.zeros(kept + 1, np.int64)
        for number, stratum in zip(numbers, design.strata, strict=True):
            sizes[number] += stratum.size
        strata = [numbers[one.stratum] for one in sample]
        return cls(
            sizes=sizes,
            answered=np.bincount(strata, minlength=len(sizes)).astype(np.int64),
            keys=tuple(one.key for one in sample),
            strata=tuple(strata),
            held=np.array([[label in said[one.key] for label in labels] for one in sample]),
            merged=tuple(merged),
        )


def _validate_part(
    collection: _Collection, sample: _Sample, labels: Sequence[str], by: str, group: str
) -> PartValidation:
    part = (by, group)
    seen = np.zeros((len(labels), len(sample.sizes), BANDS))
    held = np.zeros_like(seen)
    rows = np.arange(len(labels))
    annotated = 0
    for key, stratum, holds in zip(sample.keys, sample.strata, sample.held, strict=True):
        bands, parts = collection.places[key]
        if part in parts:
            annotated += 1
            seen[rows, stratum, bands] += 1
            held[rows, stratum, bands] += holds
    known, total = collection.bands(part), collection.size(part)
    found = estimate(sample.sizes, sample.answered, known, seen, held)
    return PartValidation(
        by=by,
        group=group,
        sentences=total,
        annotated=annotated,
        labels=tuple(
            LabelValidation(
                label=label,
                positives=int(held[row].sum()),
                found=int(known[row, DECIDED]),
                count=_figure(found, "count", row, 1, total),
                share=_figure(found, "count", row, 1 / total, 1),
                precision=_figure(found, "precision", row, 1, 1),
                recall=_figure(found, "recall", row, 1, 1),
            )
            for row, label in enumerate(labels)
        ),
    )


def _figure(found: Estimates, name: str, row: int, factor: float, most: float) -> Figure:
    value, low, high = (float(part[row]) * factor for part in getattr(found, name))
    return Figure(value, *(end if math.isnan(end) else min(max(end, 0.0), most) for end in (low, high)))


def _assumed(
    label: str, found: int, total: int, target: NDArray[np.bool_], decided: NDArray[np.bool_]
) -> AssumedCount:
    positives, negatives = int(target.sum()), int((~target).sum())
    hits, alarms = int((target & decided).sum()), int((~target & decided).sum())
    recall = hits / positives if positives else math.nan
    false_alarms = alarms / negatives if negatives else math.nan
    gap = recall - false_alarms
    if not gap > 0:
        return AssumedCount(label, found, positives, recall, false_alarms, Figure(*[math.nan] * 3))
    share = min(max((found / total - false_alarms) / gap, 0.0), 1.0)
    hit, alarm = (hits + 1) / (positives + 2), (alarms + 1) / (negatives + 2)
    variance = share**2 * hit * (1 - hit) / positives + (1 - share) ** 2 * alarm * (1 - alarm) / negatives
    half = NormalDist().inv_cdf(0.975) * math.sqrt(variance) / gap
    ends = (max(share - half, 0.0), min(share + half, 1.0))
    count = Figure(share * total, *(end * total for end in ends))
    return AssumedCount(label, found, positives, recall, false_alarms, count)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value

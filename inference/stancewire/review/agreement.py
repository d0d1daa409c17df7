"""Where two people who annotated the same sentences agree, and what counts where they do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from stancewire.annotations import AnnotatedSentence, AnnotatedStance
from stancewire.review.answers import Answer


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How often two people gave a label to the same sentences.

    `kappa` is Cohen's (1960, https://doi.org/10.1177/001316446002000104): agreement beyond that of chance,
    1 where they always agree, 0 where no more than by chance; NaN where neither or both gave it to all.
    """

    label: str
    both: int
    only_first: int
    only_second: int
    neither: int
    kappa: float


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two people, how many sentences both annotated, and how they agree on each label."""

    first: str
    second: str
    sentences: int
    labels: tuple[LabelAgreement, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A sentence whose annotators gave it different labels: who said what, and what counts, or None."""

    text: str
    said: Mapping[str, tuple[str, ...]]
    decided: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Merged:
    """The sentences, one an answer, in the order they came; and those on which people differ."""

    sentences: tuple[AnnotatedSentence, ...]
    differences: tuple[Difference, ...]


def compare_annotators(answers: Sequence[Answer], labels: Sequence[str]) -> tuple[PairAgreement, ...]:
    """Compare each two people on the sentences that both annotated."""
    by_person: dict[str, dict[str, frozenset[str]]] = {}
    for answer in answers:
        by_person.setdefault(answer.annotator, {})[answer.key] = answer.sentence.labels
    pairs = []
    for first, second in combinations(sorted(by_person), 2):
        shared = [key for key in by_person[first] if key in by_person[second]]
        if shared:
            said = [(by_person[first][key], by_person[second][key]) for key in shared]
            agreements = tuple(_agreement(label, said) for label in labels)
            pairs.append(PairAgreement(first, second, len(shared), agreements))
    return tuple(pairs)


def merge_answers(answers: Sequence[Answer], final: str | None = None) -> Merged:
    """Take for each sentence the labels that more than half of its annotators gave.

    Where that is half of them nothing counts, and the sentence is left out. With `final` what that person
    says counts alone. Of two answers of one person the later counts; who and whom come from the first person
    who gave the label.
    """
    grouped: dict[str, dict[str, AnnotatedSentence]] = {}
    for answer in answers:
        grouped.setdefault(answer.key, {})[answer.annotator] = answer.sentence
    sentences, differences = [], []
    for said in grouped.values():
        first = next(iter(said.values()))
        decided = _decide(said, final)
        if len({sentence.labels for sentence in said.values()}) > 1:
            by_person = {person: tuple(sorted(one.labels)) for person, one in said.items()}
            counts = None if decided is None else tuple(sorted(decided.labels))
            differences.append(Difference(first.text, by_person, counts))
        if decided is not None:
            sentences.append(decided)
    return Merged(tuple(sentences), tuple(differences))


def cohens_kappa(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Compute Cohen's kappa of two people's yes and no; NaN where there is nothing to agree on."""
    total = both + only_first + only_second + neither
    if total == 0:
        return math.nan
    first, second = (both + only_first) / total, (both + only_second) / total
    by_chance = first * second + (1 - first) * (1 - second)
    observed = (both + neither) / total
    return math.nan if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _agreement(label: str, said: Sequence[tuple[frozenset[str], frozenset[str]]]) -> LabelAgreement:
    both = sum(label in one and label in other for one, other in said)
    first = sum(label in one and label not in other for one, other in said)
    second = sum(label not in one and label in other for one, other in said)
    neither = len(said) - both - first - second
    return LabelAgreement(label, both, first, second, neither, cohens_kappa(both, first, second, neither))


def _decide(said: Mapping[str, AnnotatedSentence], final: str | None) -> AnnotatedSentence | None:
    if final is not None and final in said:
        return said[final]
    votes: dict[str, int] = {}
    for sentence in said.values():
        for label in sentence.labels:
            votes[label] = votes.get(label, 0) + 1
    if any(2 * count == len(said) for count in votes.values()):
        return None
    first = next(iter(said.values()))
    stances: dict[str, AnnotatedStance] = {}
    for sentence in said.values():
        for stance in sentence.stances:
            if 2 * votes[stance.label] > len(said):
                stances.setdefault(stance.label, stance)
    return AnnotatedSentence(first.text, tuple(stances.values()), first.doc, file=first.file, line=first.line)

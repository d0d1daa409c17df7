"""Draw a probability sample of the sentences of scores, by strata, in one pass.

Each sentence has a number of chance, a hash of the seed and of what it is known by; the sample of a stratum
are those with the lowest numbers. That is a reservoir of fixed size a stratum, and the same sentences are
drawn whatever form the scores have and in whatever order they stand.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.review.candidates import NEAR_PROBABILITY, Candidate, Place, candidate, labels_of, walk

DESIGN_SUFFIX: Final = ".design.json"
FORMAT: Final = 1
FEWEST: Final = 2
"""The fewest sentences drawn from a stratum: of one nobody can tell how they differ."""

LABEL: Final = "label"
"""The stratification by what the model said: the likeliest stance, nearly one, or none."""

_NEAR, _NONE = "near", "none"


@dataclass(frozen=True, slots=True)
class Stratum:
    """Sentences of which some were drawn by chance: how many there are, how many were drawn."""

    name: str
    size: int
    drawn: int

    @property
    def weight(self) -> float:
        """How many sentences each drawn one stands for."""
        return self.size / self.drawn


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sentence of the sample: what it is known by, its document, the number of its stratum from 0."""

    key: str
    document: str
    stratum: int


@dataclass(frozen=True, slots=True)
class Design:
    """How a sample was drawn: what validating with it needs, but for the answers and the scores.

    `labels` are those that were asked for; `by` what the strata were made of; `sentences` how many there are.
    """

    scores: str
    labels: tuple[str, ...]
    by: tuple[str, ...]
    seed: int
    sentences: int
    strata: tuple[Stratum, ...]
    sample: tuple[Drawn, ...]
    format: int = FORMAT

    def to_json(self) -> str:
        """Write the design as JSON that `read_design` reads; each stratum with its weight."""
        values = asdict(self)
        for entry, stratum in zip(values["strata"], self.strata, strict=True):
            entry["weight"] = stratum.weight
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: its design, and the drawn sentences in an order of chance.

    `expected` is how many of them hold each label, by the model's probabilities. A sentence that stands word
    for word in its document again is there once.
    """

    design: Design
    sentences: tuple[Candidate, ...]
    expected: Mapping[str, float]


def draw_sample(
    scores: Path,
    size: int,
    *,
    by: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    seed: int = 1,
    on_sentence: Callable[[int], object] | None = None,
) -> Sample:
    """Draw `size` sentences by chance, of all alike or by strata; two of each stratum at the least.

    `by` may hold `label`, a period (day, week, month, year) and columns that the documents came with. A third
    of the sample is parted by the strata's sizes, which is best for the whole; a third evenly, so that each
    stratum can be spoken of; and a third as Neyman did (1934, https://doi.org/10.2307/2342192), more to the
    strata where labels are uncertain, each label relative to how common it is (the model's probabilities say
    both): Cochran, Sampling Techniques, 1977, chapters 5 and 5A.
    Memory grows with `size` times the number of strata. Raises StancewireError if there are fewer sentences,
    or more strata than can be sampled.
    """
    known = labels_of(scores)
    strata: dict[tuple[str, ...], _Reservoir] = {}
    total = 0
    for place in walk(scores, known, [name for name in by if name != LABEL]):
        total += 1
        name = _stratum_name(place, by)
        if name not in strata:
            _refuse_too_many(by, len(strata) + 1, size)
            strata[name] = _Reservoir(size, len(known))
        strata[name].add(place, known, seed)
        if on_sentence:
            on_sentence(total)
    if total < size:
        raise StancewireError(f"--random {size}: {scores} has only {total:,} sentences")
    ordered = sorted(strata.items())
    parts = [reservoir for _, reservoir in ordered]
    counts = allocate([part.size for part in parts], _spreads(parts), size)
    drawn = [part.lowest(count) for part, count in zip(parts, counts, strict=True)]
    design = Design(
        scores=scores.name,
        labels=tuple(labels or known),
        by=tuple(by),
        seed=seed,
        sentences=total,
        strata=tuple(
            Stratum(", ".join(name) or "all", part.size, count)
            for (name, part), count in zip(ordered, counts, strict=True)
        ),
        sample=tuple(
            Drawn(one.key, one.document, number) for number, group in enumerate(drawn) for one in group
        ),
    )
    sentences = list({one.key: one for group in drawn for one in group}.values())
    random.Random(seed).shuffle(sentences)
    return Sample(design, tuple(sentences), _expected(sentences, known))


def allocate(sizes: Sequence[int], spreads: Sequence[float], total: int) -> list[int]:
    """Part a sample among strata: by size, evenly, and by size times spread; at least FEWEST, at most all.

    The parts add up to `total`, or to all sentences where there are fewer.
    """
    size, spread = np.asarray(sizes, np.float64), np.asarray(spreads, np.float64)
    uncertain = size * spread
    if uncertain.sum() == 0:
        uncertain = size
    wanted = (size / size.sum() + 1 / len(size) + uncertain / uncertain.sum()) / 3
    low = np.minimum(size, FEWEST)
    # The factor at which the parts, kept within their bounds, add up.
    lowest, highest = 0.0, float(total * size.sum() / max(wanted[wanted > 0].min(), 1e-12))
    for _ in range(200):
        middle = (lowest + highest) / 2
        if np.clip(middle * wanted, low, size).sum() < total:
            lowest = middle
        else:
            highest = middle
    return _rounded(np.clip(highest * wanted, low, size), int(min(total, size.sum())), size)


def read_design(path: Path) -> Design:
    """Read how a sample was drawn; StancewireError if it cannot be read or is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise StancewireError(f"{path} has format {values['format']}: upgrade stancewire to read it")
        strata = tuple(Stratum(s["name"], int(s["size"]), int(s["drawn"])) for s in values["strata"])
        sample = tuple(Drawn(s["key"], s["document"], int(s["stratum"])) for s in values["sample"])
        if any(not 0 <= one.stratum < len(strata) for one in sample) or any(s.drawn < 1 for s in strata):
            raise ValueError
        return Design(
            scores=str(values["scores"]),
            labels=tuple(map(str, values["labels"])),
            by=tuple(values["by"]),
            seed=int(values["seed"]),
            sentences=int(values["sentences"]),
            strata=strata,
            sample=sample,
        )
    except OSError as error:
        raise StancewireError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StancewireError(
            f"{path} is not the design of a sample: stancewire review --random writes it beside the tasks"
        ) from None


@dataclass(slots=True)
class _Reservoir:
    capacity: int
    labels: int
    size: int = 0
    variance: NDArray[np.float64] = field(init=False)
    expected: NDArray[np.float64] = field(init=False)
    _heap: list[tuple[int, int, Candidate]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.variance, self.expected = np.zeros(self.labels), np.zeros(self.labels)

    def add(self, place: Place, labels: Sequence[str], seed: int) -> None:
        probabilities = place.sentence.probabilities
        for column, label in enumerate(labels):
            probability = probabilities[label]
            self.expected[column] += probability
            self.variance[column] += probability * (1 - probability)
        self.size += 1
        order = (-_chance(seed, place), -self.size)
        if len(self._heap) < self.capacity:
            heapq.heappush(self._heap, (*order, candidate(place)))
        elif order > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*order, candidate(place)))

    def lowest(self, count: int) -> list[Candidate]:
        return [one for _, _, one in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)[:count]]


def _chance(seed: int, place: Place) -> int:
    known = f"{seed}\0{place.text.document}\0{place.index}\0{place.sentence.text}"
    return int.from_bytes(hashlib.blake2b(known.encode("utf-8", "replace"), digest_size=8).digest())


def _stratum_name(place: Place, by: Sequence[str]) -> tuple[str, ...]:
    groups = iter(place.groups)
    return tuple(_said(place) if name == LABEL else next(groups) for name in by)


def _said(place: Place) -> str:
    sentence = place.sentence
    if sentence.stances:
        return max(sentence.stances, key=lambda stance: stance.probability).label
    return _NEAR if max(sentence.probabilities.values()) >= NEAR_PROBABILITY else _NONE


def _spreads(parts: Sequence[_Reservoir]) -> list[float]:
    # The root of the sum over labels of the variance of one sentence, relative to how often the label holds.
    total = np.maximum(sum(part.expected for part in parts), 1e-9)
    return [math.sqrt(float((part.variance / part.size / total**2).sum())) for part in parts]


def _rounded(parts: NDArray[np.float64], total: int, sizes: NDArray[np.float64]) -> list[int]:
    counts = np.floor(parts).astype(int)
    order = iter(np.argsort(counts - parts, kind="stable").tolist() * 2)
    while counts.sum() < total:
        stratum = next(order)
        counts[stratum] += counts[stratum] < sizes[stratum]
    return [int(count) for count in counts]


def _refuse_too_many(by: Sequence[str], strata: int, size: int) -> None:
    if strata * FEWEST > size and strata > 1:
        raise StancewireError(
            f"--random {size} --by {','.join(by)}: there are {strata} strata or more, and each needs "
            f"{FEWEST} sentences: draw more, or part them by less"
        )


def _expected(sentences: Sequence[Candidate], labels: Sequence[str]) -> dict[str, float]:
    return {label: sum(one.probabilities[label] for one in sentences) for label in labels}

"""Measure how far the stances of a sentence depend on which country stands in it.

    python tests/behaviour/swaps.py [--model FOLDER] [--changes] [--write-ceiling]

Prints three tables, then one JSON line. `--write-ceiling` brings `floors.json` up to this model; the
docstring of `rates.py` says when.

Into each sentence of `carriers.jsonl`, as the source of a stance, its target or a bystander, ten states and
five invented ones are put. Substitution is the measurement here, so a program does it (names only: what
follows from "Russian" or "Moscow" is not measured). Reported are

- for each label, the two actors whose mean probabilities over the carriers are farthest apart, and their
  difference; and the same among the invented states alone, of which the model can know nothing: so far apart
  are two names for no reason but their spelling.
- for each label, the share of carriers for which it holds with some actors and not with others, and of
  carriers for which any label does.
- for each actor, how many sentences have not the stances that their carrier has with most actors.

Intervals are 95% bootstrap percentile intervals over carriers (Efron 1979). For the difference, the two
actors are those found in the whole set: as they were chosen for their difference, it leans high.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from stancewire import StanceClassifier

CARRIERS = Path(__file__).parent / "carriers.jsonl"
STATES = (
    "Russia",
    "the United States",
    "Israel",
    "Iran",
    "China",
    "Ukraine",
    "Turkey",
    "India",
    "Pakistan",
    "Saudi Arabia",
)
INVENTED = ("Quarenia", "Taldosh", "Mervania", "Okelund", "Halvenia")
ACTORS = STATES + INVENTED
RESAMPLES = 2000
SEED = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The two actors that are farthest apart in the mean probability of a label, and how far."""

    higher: str
    lower: str
    difference: Measured


@dataclass(frozen=True, slots=True)
class Swaps:
    """What depends on the actor.

    `farthest` and `farthest_invented` have a difference a label; `changed` the share of carriers a label, and
    of any label under `any`; `means` each actor's mean probability of each label; `deviating` the number of
    each actor's sentences that have not the stances that their carrier has with most actors; `changes`, for
    each carrier whose stances change, the actors of each set of stances.
    """

    carriers: int
    farthest: Mapping[str, Difference]
    farthest_invented: Mapping[str, Difference]
    changed: Mapping[str, Measured]
    means: Mapping[str, Mapping[str, float]]
    deviating: Mapping[str, int]
    changes: Mapping[str, Mapping[str, tuple[str, ...]]]


def read_carriers() -> tuple[str, ...]:
    """Read the carrier sentences, with `{actor}` or `{actor's}` where the actor goes."""
    lines = CARRIERS.read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line)["text"] for line in lines)


def with_actor(carrier: str, actor: str) -> str:
    """Put an actor into a carrier sentence."""
    possessive = actor + ("'" if actor.endswith("s") else "'s")
    text = carrier.replace("{actor's}", possessive).replace("{actor}", actor)
    return text[0].upper() + text[1:]


def measure_swaps(classifier: StanceClassifier) -> Swaps:
    """Score every carrier with every actor, and compare the actors."""
    carriers, labels = read_carriers(), classifier.labels
    texts = [with_actor(carrier, actor) for carrier in carriers for actor in ACTORS]
    shape = (len(carriers), len(ACTORS), len(labels))
    probabilities = classifier.probabilities(texts).astype(np.float64).reshape(shape)
    held = probabilities >= np.array(classifier.manifest.thresholds)

    names = [
        [
            ", ".join(label for label, holds in zip(labels, cell, strict=True) if holds) or "none"
            for cell in row
        ]
        for row in held
    ]
    usual = [Counter(row).most_common(1)[0][0] for row in names]
    changes = {
        carrier: {
            name: tuple(actor for actor, found in zip(ACTORS, row, strict=True) if found == name)
            for name, _ in Counter(row).most_common()
        }
        for carrier, row in zip(carriers, names, strict=True)
        if len(set(row)) > 1
    }
    mixed = held.any(axis=1) & ~held.all(axis=1)
    means = probabilities.mean(axis=0)
    return Swaps(
        carriers=len(carriers),
        farthest=_farthest(probabilities, ACTORS, labels),
        farthest_invented=_farthest(probabilities[:, len(STATES) :], INVENTED, labels),
        changed={label: _share(mixed[:, index]) for index, label in enumerate(labels)}
        | {"any": _share(mixed.any(axis=1))},
        means={
            actor: dict(zip(labels, row.tolist(), strict=True))
            for actor, row in zip(ACTORS, means, strict=True)
        },
        deviating={
            actor: sum(row[index] != most for row, most in zip(names, usual, strict=True))
            for index, actor in enumerate(ACTORS)
        },
        changes=changes,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and rewrite the ceiling if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a model folder, or the name of a shipped model")
    parser.add_argument("--changes", action="store_true", help="print the carriers whose stances change")
    parser.add_argument("--write-ceiling", action="store_true", help="write floors.json from this share")
    options = parser.parse_args(arguments)

    classifier = StanceClassifier.load(options.model)
    swaps = measure_swaps(classifier)

    console = Console(width=None if sys.stdout.isatty() else 110)
    title = f"{classifier.manifest.name} {classifier.digest[:12]}"
    console.print(_differences_table(swaps, title), _changes_table(swaps), _actors_table(swaps))
    if options.changes:
        for carrier, sets in swaps.changes.items():
            found = "; ".join(f"{name}: {', '.join(actors)}" for name, actors in sets.items())
            console.print(f"{carrier}  {found}", markup=False, highlight=False, soft_wrap=True)
    summary = {"behaviour": "swaps", "model": classifier.manifest.name, "digest": classifier.digest}
    sys.stdout.write(json.dumps(summary | _as_json(swaps)) + "\n")
    if options.write_ceiling:
        # This folder is on the path of a script, not on that of the tests.
        from rates import write_key

        write_key("changed_carriers", ceiling_above(swaps))


def ceiling_above(swaps: Swaps) -> float:
    """Allow two more carriers to change than do now."""
    return round(swaps.changed["any"].value + 2 / swaps.carriers, 3)


def _farthest(
    probabilities: NDArray[np.float64], actors: Sequence[str], labels: Sequence[str]
) -> dict[str, Difference]:
    means = probabilities.mean(axis=0)
    found = {}
    for index, label in enumerate(labels):
        high, low = int(means[:, index].argmax()), int(means[:, index].argmin())
        apart = probabilities[:, high, index] - probabilities[:, low, index]
        found[label] = Difference(actors[high], actors[low], _share(apart))
    return found


def _share(values: NDArray[np.float64] | NDArray[np.bool_]) -> Measured:
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), (2.5, 97.5))
    return Measured(float(values.mean()), float(low), float(high))


def _differences_table(swaps: Swaps, title: str) -> Table:
    table = Table("label", "higher", "lower", title=f"{title}: largest mean difference between two actors")
    for heading in ("difference", "95% interval", "among invented"):
        table.add_column(heading, justify="right")
    for label, farthest in swaps.farthest.items():
        figure = farthest.difference
        invented = swaps.farthest_invented[label].difference.value
        table.add_row(
            label,
            farthest.higher,
            farthest.lower,
            f"{figure.value:.3f}",
            _interval(figure, "{:.3f}".format),
            f"{invented:.3f}",
        )
    return table


def _changes_table(swaps: Swaps) -> Table:
    table = Table("label", title=f"{swaps.carriers} carriers, {len(ACTORS)} actors: share that changes")
    for heading in ("changed", "95% interval"):
        table.add_column(heading, justify="right")
    for label, share in swaps.changed.items():
        table.add_row(label, f"{share.value:.1%}", _interval(share, "{:.1%}".format))
    return table


def _actors_table(swaps: Swaps) -> Table:
    labels = tuple(swaps.farthest)
    table = Table("actor", title="mean probability by actor, and sentences unlike their carrier's others")
    for heading in (*labels, "unlike"):
        table.add_column(heading, justify="right")
    for actor, means in swaps.means.items():
        table.add_row(actor, *(f"{means[label]:.3f}" for label in labels), str(swaps.deviating[actor]))
    return table


def _interval(figure: Measured, write: Callable[[float], str]) -> str:
    return f"{write(figure.low)} to {write(figure.high)}"


def _as_json(swaps: Swaps) -> dict[str, object]:
    def figures(measured: Measured) -> list[float]:
        return [round(number, 4) for number in (measured.value, measured.low, measured.high)]

    def differences(found: Mapping[str, Difference]) -> dict[str, object]:
        return {
            label: {"higher": entry.higher, "lower": entry.lower, "difference": figures(entry.difference)}
            for label, entry in found.items()
        }

    return {
        "carriers": swaps.carriers,
        "actors": list(ACTORS),
        "resamples": RESAMPLES,
        "seed": SEED,
        "farthest": differences(swaps.farthest),
        "farthest_invented": differences(swaps.farthest_invented),
        "changed": {label: figures(share) for label, share in swaps.changed.items()},
        "means": {
            actor: {label: round(mean, 4) for label, mean in row.items()}
            for actor, row in swaps.means.items()
        },
        "deviating": dict(swaps.deviating),
    }


if __name__ == "__main__":
    main()

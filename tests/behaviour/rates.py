"""Measure how often a model gets minimal pairs right, by capability.

    python tests/behaviour/rates.py [--model FOLDER] [--failures] [--write-floors]

Prints a table of the pass rates, then one JSON line. When the shipped model is replaced, two commands bring
`floors.json`, which `tests/test_behaviour.py` reads, up to it (seconds each):

    python tests/behaviour/rates.py --write-floors
    python tests/behaviour/swaps.py --write-ceiling

Look at the difference before committing it: a floor that fell is a capability that the new model lost.

`pairs/` has one file a capability and one pair (or triple) a line, sentences that differ in little and by
`seeds/codebook.md` in their stances, or differ in writing and not in their stances: CheckList's minimum
functionality and invariance tests (Ribeiro et al. 2020, https://arxiv.org/abs/2005.04118), written one by
one. A sentence names the labels that it must hold and those it must not; one that is in neither is a matter
of opinion and not looked at. A pair passes when all its sentences do. In `swapped` some sentences name the
source and target of their label too: `swapped-parties` is the share of those pairs of which the model finds
both, word for word, in each sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stancewire import StanceClassifier
from stancewire.classifier import Prediction

FOLDER = Path(__file__).parent
FLOORS = FOLDER / "floors.json"
PARTIES = "swapped-parties"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, the labels that it must hold and must not, and who performs its one label towards whom."""

    text: str
    must: frozenset[str]
    must_not: frozenset[str]
    parties: tuple[str, str] | None

    def is_read_by(self, prediction: Prediction) -> bool:
        """Tell whether the stances found are those of the codebook."""
        held = {stance.label for stance in prediction.stances}
        return self.must <= held and not self.must_not & held

    def has_its_parties_in(self, prediction: Prediction) -> bool:
        """Tell whether source and target were found, word for word; True for a sentence that names none."""
        found = {
            (stance.source and stance.source.text, stance.target and stance.target.text)
            for stance in prediction.stances
            if stance.label in self.must
        }
        return self.parties is None or found == {self.parties}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two or three sentences, and in a few words what they differ in."""

    about: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many pairs of a capability pass, how many of its sentences, and the sentences that do not."""

    pairs: int
    pairs_passed: int
    sentences: int
    failures: tuple[tuple[str, str], ...]

    @property
    def share(self) -> float:
        """The share of pairs that pass, 0 to 1."""
        return self.pairs_passed / self.pairs


def read_pairs() -> dict[str, tuple[Pair, ...]]:
    """Read the pairs of every capability, by the name of its file."""
    return {
        path.stem: tuple(_read_pair(line) for line in path.read_text(encoding="utf-8").splitlines())
        for path in sorted((FOLDER / "pairs").glob("*.jsonl"))
    }


def measure_rates(classifier: StanceClassifier) -> dict[str, Rate]:
    """Score every pair, and count by capability those that pass."""
    pairs = read_pairs()
    texts = [sentence.text for group in pairs.values() for pair in group for sentence in pair.sentences]
    predictions = dict(zip(texts, classifier.predict(texts), strict=True))

    rates = {capability: _rate(group, predictions) for capability, group in pairs.items()}
    named = [pair for pair in pairs["swapped"] if all(sentence.parties for sentence in pair.sentences)]
    passed = [
        all(sentence.has_its_parties_in(predictions[sentence.text]) for sentence in pair.sentences)
        for pair in named
    ]
    return rates | {PARTIES: Rate(len(named), sum(passed), 2 * len(named), ())}


def pooled(rates: Mapping[str, Rate]) -> float:
    """Compute the share of all pairs that pass; `swapped-parties`, pairs that `swapped` has, are left out."""
    counted = [rate for name, rate in rates.items() if name != PARTIES]
    return sum(rate.pairs_passed for rate in counted) / sum(rate.pairs for rate in counted)


def floors_below(rates: Mapping[str, Rate]) -> dict[str, float]:
    """Set each capability's floor one pair below its rate, that of all pairs together two points below."""
    floors = {name: max(0, rate.pairs_passed - 1) / rate.pairs for name, rate in rates.items()}
    floors["all"] = max(0.0, pooled(rates) - 0.02)
    return {name: int(1000 * floor) / 1000 for name, floor in floors.items()}


def write_key(key: str, value: object) -> None:
    """Replace one key of `floors.json`; a crash leaves the old file."""
    known = json.loads(FLOORS.read_text(encoding="utf-8")) if FLOORS.exists() else {}
    beside = FLOORS.with_suffix(".part")
    beside.write_text(json.dumps(known | {key: value}, indent=2) + "\n", encoding="utf-8")
    os.replace(beside, FLOORS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rates, and rewrite the floors if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a model folder, or the name of a shipped model")
    parser.add_argument("--failures", action="store_true", help="print the sentences that are read wrongly")
    parser.add_argument("--write-floors", action="store_true", help="write floors.json from these rates")
    options = parser.parse_args(arguments)

    classifier = StanceClassifier.load(options.model)
    rates = measure_rates(classifier)

    table = Table("capability", title=f"{classifier.manifest.name} {classifier.digest[:12]}")
    for heading in ("pairs", "passed", "rate", "sentences right"):
        table.add_column(heading, justify="right")
    for name, rate in sorted(rates.items(), key=lambda entry: entry[1].share):
        right = "" if name == PARTIES else f"{1 - len(rate.failures) / rate.sentences:.0%}"
        table.add_row(name, str(rate.pairs), str(rate.pairs_passed), f"{rate.share:.0%}", right)
    table.add_section()
    total = sum(rate.pairs for name, rate in rates.items() if name != PARTIES)
    table.add_row("all", str(total), "", f"{pooled(rates):.1%}", "")
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    if options.failures:
        for name, rate in rates.items():
            for text, fault in rate.failures:
                console.print(f"{name}: {text} [{fault}]", markup=False, highlight=False, soft_wrap=True)

    shares = {name: round(rate.share, 4) for name, rate in rates.items()}
    summary = {"behaviour": "pairs", "model": classifier.manifest.name, "digest": classifier.digest}
    sys.stdout.write(json.dumps(summary | {"rates": shares, "all": round(pooled(rates), 4)}) + "\n")
    if options.write_floors:
        write_key("rates", floors_below(rates))


def _read_pair(line: str) -> Pair:
    values = json.loads(line)
    sentences = tuple(
        Sentence(
            entry["text"],
            frozenset(entry["must"]),
            frozenset(entry["must_not"]),
            (entry["source"], entry["target"]) if "source" in entry else None,
        )
        for entry in values["sentences"]
    )
    return Pair(values["about"], sentences)


def _rate(pairs: Sequence[Pair], predictions: Mapping[str, Prediction]) -> Rate:
    sentences = [sentence for pair in pairs for sentence in pair.sentences]
    failures = {
        sentence.text: _fault(sentence, predictions[sentence.text])
        for sentence in sentences
        if not sentence.is_read_by(predictions[sentence.text])
    }
    passed = sum(not any(sentence.text in failures for sentence in pair.sentences) for pair in pairs)
    return Rate(len(pairs), passed, len(sentences), tuple(failures.items()))


def _fault(sentence: Sentence, prediction: Prediction) -> str:
    held = {stance.label for stance in prediction.stances}
    lacking = [f"lacks {label}" for label in sorted(sentence.must - held)]
    wrong = [f"has {label}" for label in sorted(sentence.must_not & held)]
    return ", ".join(lacking + wrong)


if __name__ == "__main__":
    main()

"""Compare sentence splitters: boundary F1 on each kind of article, and megabytes a second.

    python benchmarks/segmentation.py FOLDER [--boundaries tests/data/boundaries.json]

FOLDER holds the articles whose boundaries are marked, a development set kept outside the repository.
Splitters other than ours run as they come; those that are not installed are named and left out:
`pip install pysbd blingfire numpy syntok nupunkt sentencex sentence-splitter`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from stancewire.segmentation import split_sentences

Splitter = Callable[[str], Iterable[str]]
RUNS = 5


def ours() -> Splitter:
    """Return `stancewire.segmentation.split_sentences`."""
    return lambda text: [sentence.text for sentence in split_sentences(text)]


def sentencex() -> Splitter:
    """Return sentencex, rules in Rust."""
    from sentencex import segment

    return lambda text: segment("en", text)


def nupunkt() -> Splitter:
    """Return nupunkt, Punkt trained on legal text, with its paragraph breaks."""
    from nupunkt.models import load_default_model

    return load_default_model().texts


def pysbd() -> Splitter:
    """Return pySBD, the rules of the pragmatic segmenter."""
    from pysbd import Segmenter

    return Segmenter(language="en", clean=False).segment


def blingfire() -> Splitter:
    """Return BlingFire, a finite-state machine in C++."""
    from blingfire import text_to_sentences

    return lambda text: text_to_sentences(text).split("\n")


def syntok() -> Splitter:
    """Return syntok, rules in Python."""
    from syntok.segmenter import analyze

    return lambda text: [
        text[sentence[0].offset : sentence[-1].offset + len(sentence[-1].value)]
        for paragraph in analyze(text)
        for sentence in paragraph
    ]


def sentence_splitter() -> Splitter:
    """Return sentence-splitter, the rules of Moses and Europarl."""
    from sentence_splitter import SentenceSplitter

    return SentenceSplitter("en").split


def boundaries(text: str, sentences: Iterable[str]) -> set[int]:
    """Return the end offsets of those sentences that are in the text as they are, found again in order."""
    ends: set[int] = set()
    position = 0
    for sentence in map(str.strip, sentences):
        start = text.find(sentence, position) if sentence else -1
        if start >= 0:
            position = start + len(sentence)
            ends.add(position)
    return ends


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument(
    "--boundaries", type=Path, default=Path(__file__).parents[1] / "tests" / "data" / "boundaries.json"
)
arguments = parser.parse_args()

# The marked articles, each with its kind, its boundaries and where they stop.
marked = []
for name, article in json.loads(arguments.boundaries.read_text("utf-8"))["articles"].items():
    content = (arguments.folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != article["sha256"]:
        sys.exit(f"{name} is not the article whose boundaries were marked")
    text = content.decode("utf-8")
    marked.append((article["kind"], text, set(article["ends"]), article.get("until", len(text))))
kinds = sorted({kind for kind, *_ in marked})

# Speed is measured on every article of the folder, each on its own.
texts = [path.read_bytes().decode("utf-8") for path in sorted(arguments.folder.glob("*.txt"))]
megabytes = sum(len(text.encode("utf-8")) for text in texts) / 1e6

results = {}
for load in (ours, sentencex, nupunkt, pysbd, blingfire, syntok, sentence_splitter):
    name = load.__name__.replace("_", "-")
    try:
        split = load()
    except ImportError as error:
        sys.stderr.write(f"{name} is not installed and left out: {error}\n")
        continue

    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for kind, text, expected, until in marked:
        found = {end for end in boundaries(text, split(text)) if end <= until}
        for index, number in enumerate((len(found & expected), len(found), len(expected))):
            counts[kind][index] += number

    seconds = []
    for _ in range(RUNS):
        # Made anew, since nupunkt remembers what it decided on the same articles before.
        split = load()
        begin = time.perf_counter()
        for text in texts:
            list(split(text))
        seconds.append(time.perf_counter() - begin)

    results[name] = {
        "f1": {kind: round(2 * hits / (found + marks), 4) for kind, (hits, found, marks) in counts.items()},
        "mb_per_second": round(megabytes / statistics.median(seconds), 2),
    }

rows = [f"{'splitter':<18}" + "".join(f"{kind:>10}" for kind in kinds) + f"{'MB/s':>10}"]
for name, result in results.items():
    scores = "".join(f"{result['f1'][kind]:>10.3f}" for kind in kinds)
    rows.append(f"{name:<18}{scores}{result['mb_per_second']:>10.2f}")
rows.append(
    json.dumps({"benchmark": "segmentation", "megabytes": round(megabytes, 3), "runs": RUNS, **results})
)
sys.stdout.write("\n".join(rows) + "\n")

"""Fuzz model folders: change bytes of a graph or values of a tokenizer, make the hashes right, load and run.

`python tests/fuzz/folders.py --seconds 300` ends with a line of JSON: how many folders were tried, and what
became of them. Anything but a result or a StancewireError is a fault: its folder is kept and named, and the
exit code is 1. A crash of the process leaves its folder too.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from handmade import make_graph, make_tokenizer, write_folder
from onnx import helper

from stancewire import StanceClassifier, StancewireError

TEXTS = ["The minister denies it.", "", "\ud800\0", "ab <m> ab" * 30, "e\u0301" * 40]
GRAPHS = [
    make_graph().SerializeToString(),
    make_graph(
        helper.make_node("DynamicQuantizeLinear", ["mean"], ["q", "s", "z"]),
        helper.make_node("Cast", ["q"], ["c"], to=1),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("LayerNormalization", ["m", "s"], ["n"], axis=-1),
        helper.make_node("ConstantOfShape", ["z"], ["w"]),
    ).SerializeToString(),
]
TOKENIZERS = [
    make_tokenizer(),
    make_tokenizer()
    | {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
        }
    },
    make_tokenizer()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "Punctuation", "behavior": "Isolated"},
                {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
            ],
        },
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0], ["de", -2.0]]},
        "post_processor": None,
    },
    make_tokenizer()
    | {
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
        "added_tokens": [
            {"id": 4, "content": "<m>", "single_word": False, "lstrip": True, "rstrip": False}
            | {"normalized": True, "special": False}
        ],
    },
]
VALUES = [None, True, 0, -1, 2**31, 2**64, -(2**63), 1e308, "", "a", "\0", "\ud83d", [], {}, [[]], ["x", 1]]
KEYS = [
    "type",
    "pattern",
    "dropout",
    "vocab",
    "merges",
    "unk_id",
    "fuse_unk",
    "ids",
    "normalizers",
    "behavior",
]


def change_bytes(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        kind, at = chance.random(), chance.randrange(len(changed))
        if kind < 0.75:
            changed[at] = chance.randrange(256)
        elif kind < 0.85:
            del changed[at : at + chance.randrange(1, 20)]
        elif kind < 0.95:
            changed[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            changed[at : at + 30] = changed[chance.randrange(len(changed)) :][:30]
    return bytes(changed)


def change_values(values: Any, chance: random.Random) -> Any:
    changed = copy.deepcopy(values)
    for _ in range(chance.choice([1, 1, 2, 3])):
        kind, (holder, key) = chance.random(), chance.choice(places := list(find_places(changed)))
        if kind < 0.6:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        elif kind < 0.75 and isinstance(holder, dict):
            del holder[key]
        elif kind < 0.9:
            other, its = chance.choice(places)
            holder[key] = copy.deepcopy(other[its])
        elif isinstance(holder, dict):
            holder[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
    return changed


def find_places(values: Any) -> Any:
    for key in list(values) if isinstance(values, dict) else range(len(values)):
        yield values, key
        if isinstance(values[key], dict | list):
            yield from find_places(values[key])


def try_folder(folder: Path) -> str:
    try:
        classifier = StanceClassifier.load(folder, threads=1)
        classifier.predict(TEXTS)
    except StancewireError as error:
        return "refused" if str(error).isprintable() else "fault: not printable"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"fault: {type(error).__name__}"
    return "read"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, ended = random.Random(arguments.seed), time.monotonic() + arguments.seconds
    folder, counts = Path(tempfile.mkdtemp(prefix="stancewire-fuzz-")) / "under-way", Counter[str]()
    while time.monotonic() < ended:
        graph, tokenizer = chance.choice(GRAPHS), chance.choice(TOKENIZERS)
        if chance.random() < 0.5:
            part, graph, tokenizer = "graph", change_bytes(graph, chance), TOKENIZERS[0]
        else:
            part, graph, tokenizer = "tokenizer", GRAPHS[0], change_values(tokenizer, chance)
        write_folder(folder, graph, json.dumps(tokenizer).encode())
        begun = time.monotonic()
        outcome = try_folder(folder)
        if time.monotonic() - begun > 5:
            outcome = "fault: took more than 5 seconds"
        counts[f"{part} {outcome}"] += 1
        if outcome.startswith("fault"):
            kept = shutil.copytree(folder, folder.with_name(f"fault-{counts.total()}"))
            sys.stderr.write(f"{outcome}: {kept}\n")
    sys.stdout.write(json.dumps({"folders": counts.total(), **dict(sorted(counts.items()))}) + "\n")
    return any("fault" in outcome for outcome in counts)


if __name__ == "__main__":
    sys.exit(main())

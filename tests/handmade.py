"""Model folders made by hand: small, quick, and as hostile as a test wants them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")

import numpy as np  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "deny", "warn", "##s", "the", "minister", "."]
LABELS = ["warm", "cold"]


def make_graph(*more: Any, **settings: Any) -> Any:
    """A graph that looks each token up and takes the mean; `more` nodes stand behind that."""
    values = np.random.default_rng(0).normal(size=(len(WORDS), len(LABELS))).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        *more,
        helper.make_node("Identity", ["mean"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(values, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **settings)


def make_tokenizer() -> dict[str, Any]:
    """BERT's steps over a vocabulary of ten pieces."""
    ids = {word: number for number, word in enumerate(WORDS)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


def write_folder(
    folder: Path, graph: Any | None = None, tokenizer: Any | None = None, **manifest: Any
) -> Path:
    """Write a model folder whose hashes are right, whatever it holds; `manifest` replaces values in it."""
    folder.mkdir(parents=True, exist_ok=True)
    graph, tokenizer = graph or make_graph(), tokenizer or make_tokenizer()
    contents = {
        "model.onnx": graph if isinstance(graph, bytes) else graph.SerializeToString(),
        "tokenizer.json": tokenizer if isinstance(tokenizer, bytes) else json.dumps(tokenizer).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    values = {
        "format": 2,
        "name": "handmade",
        "labels": LABELS,
        "thresholds": dict.fromkeys(LABELS, 0.5),
        "calibration": None,
        "max_length": 16,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "provenance": {},
    }
    (folder / "stance.json").write_text(json.dumps(values | manifest), encoding="utf-8")
    return folder

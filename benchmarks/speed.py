"""Compare the speed with transformers' pipeline and a sorted float32 ONNX run of the same weights.

    python benchmarks/speed.py [--sentences 1000] [--repeats 5]

Everything runs in one process, on the sentences of the corpus's test split, in turn, and each figure is the
median of the repeats. The ratios are medians of the ratios within one repeat, so that a machine that slows
down slows both. The machine should be idle: the load found is printed and stands in the last line, one JSON
document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from stancewire import StanceClassifier
from stancewire.annotations import read_annotated
from stancewire.runtime import available_processors
from stancewire_training.checkpoint import write_transformers

SEEDS = Path(__file__).parents[1] / "seeds"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=None, help="a model folder; by default the one that comes along")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    load = os.getloadavg()[0]
    texts = read_sentences(arguments.sentences)
    print(f"{len(texts)} sentences, {available_processors()} processors, load before the run {load:.2f}")
    with tempfile.TemporaryDirectory() as beside:
        folder = write_transformers(arguments.model or "stance-small", Path(beside) / "checkpoint")
        systems = {
            "ours": prepare_ours(arguments.model),
            "pipeline32": prepare_pipeline(folder),
            "onnx_fp32": prepare_onnx(folder),
        }
        rates = measure(systems, texts, arguments.repeats)
    print_table(rates)
    print(json.dumps(summarise(rates, load)))


def read_sentences(count: int) -> list[str]:
    """Take sentences of the test split, of every family, in a mixed and fixed order."""
    sentences = [entry.text for entry in read_annotated(SEEDS / "test")]
    order = np.random.default_rng(0).permutation(len(sentences))
    return [sentences[index] for index in order[:count]]


def prepare_ours(model: str | None) -> Callable[[Sequence[str]], object]:
    return StanceClassifier.load(model).predict


def prepare_pipeline(folder: Path) -> Callable[[Sequence[str]], object]:
    classify = pipeline("text-classification", model=str(folder), top_k=None, batch_size=32)
    return lambda texts: classify(list(texts))


def prepare_onnx(folder: Path) -> Callable[[Sequence[str]], object]:
    """Run a float32 graph with an attention mask over batches of 32 like lengths, on all processors."""
    import onnxruntime as ort

    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    path = folder / "fp32.onnx"
    example = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        _Masked(model),
        tuple(example[name] for name in names),
        str(path),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names} | {"logits": {0: "batch"}},
        dynamo=False,
    )
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(texts: Sequence[str]) -> object:
        encoded = tokenizer(list(texts), truncation=True)["input_ids"]
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        logits = {}
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            padded = tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors="np")
            found = session.run(None, {name: padded[name].astype(np.int64) for name in names})[0]
            logits.update(zip(rows, found, strict=True))
        return logits

    return run


def measure(
    systems: dict[str, Callable[[Sequence[str]], object]], texts: Sequence[str], repeats: int
) -> dict[str, list[float]]:
    """Time each system in turn, after one warm-up each: sentences a second, one figure a repeat."""
    for run in systems.values():
        run(texts[:100])
    rates: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(repeats):
        for name, run in systems.items():
            start = time.perf_counter()
            run(texts)
            rates[name].append(len(texts) / (time.perf_counter() - start))
    return rates


def print_table(rates: dict[str, list[float]]) -> None:
    print(f"{'':14}{'sentences/s':>12}{'slowest':>10}{'fastest':>10}{'ours is':>12}")
    for name, values in rates.items():
        ratio = median_ratio(rates["ours"], values)
        print(
            f"{name:14}{statistics.median(values):12.0f}{min(values):10.0f}{max(values):10.0f}{ratio:11.2f}x"
        )


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def summarise(rates: dict[str, list[float]], load: float) -> dict[str, float]:
    return {
        "ratio_pipeline32": round(median_ratio(rates["ours"], rates["pipeline32"]), 2),
        "ratio_onnx_fp32": round(median_ratio(rates["ours"], rates["onnx_fp32"]), 2),
        "sentences_per_second": round(statistics.median(rates["ours"]), 1),
        "load": round(load, 2),
    }


class _Masked(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=torch.zeros_like(input_ids)
        ).logits


if __name__ == "__main__":
    main()

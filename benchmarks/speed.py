"""Compare the speed with transformers' pipeline and other ways to run the same weights, in one run.

    python benchmarks/speed.py [--sentences 1000] [--repeats 5] [--any-load]

Everything runs on the sentences of the corpus's test split, in turn, and each figure is the median of the
repeats. Ratios are medians of the ratios within one repeat, so that a machine that slows down slows both. The
machine should be idle: above a load of 0.3 the run is refused, unless told to go on; the load stands in the
last line, one JSON document:

- `ratio_*`: how many times as fast stance-small is; `ratio_end_to_end` is from files to Parquet, against the
  pipeline on the bare sentences. `tiny_ratio_pipeline32` is stance-tiny's, where that model is there.
- `int8_peak_share`: what share of the machine's products of int8 the model's matrices use, of those that bare
  `MatMulInteger` (1024 x 384 x 1536, u8 x s8) reaches on as many one-thread sessions.
- `cold_start_s`: a new process, from its start to the first prediction.
- `peak_pss_mb`: the most memory of `stancewire score` on two threads, as the kernel shares it out (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from stancewire import StanceClassifier
from stancewire.annotations import read_annotated
from stancewire.runtime import available_processors
from stancewire_training.checkpoint import write_transformers
from stancewire_training.graph import read_parameters

SEEDS = Path(__file__).parents[1] / "seeds"
IDLE = 0.3
SHAPE = (1024, 384, 1536)
Run = Callable[[Sequence[str]], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="stance-small", help="a model folder, or the name of one")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--any-load", action="store_true", help="measure on a busy machine, too")
    arguments = parser.parse_args()

    load = os.getloadavg()[0]
    texts = read_sentences(arguments.sentences)
    print(f"{len(texts)} sentences, {available_processors()} processors, load before the run {load:.2f}")
    if load > IDLE and not arguments.any_load:
        sys.exit(f"the load is above {IDLE}: wait for an idle machine, or add --any-load")
    with tempfile.TemporaryDirectory() as beside:
        folder = write_transformers(arguments.model, Path(beside) / "checkpoint")
        documents = write_documents(texts, Path(beside) / "documents")
        systems: dict[str, Run] = {
            "ours": StanceClassifier.load(arguments.model).predict,
            "end_to_end": lambda _: score(arguments.model, documents, Path(beside) / "scores.parquet"),
            "pipeline1": prepare_pipeline(folder, 1),
            "pipeline32": prepare_pipeline(folder, 32),
            "torch_sorted": prepare_torch(folder),
            "onnx_fp32": prepare_onnx(folder),
        }
        if (Path(__file__).parents[1] / "models" / "stance-tiny").is_dir():
            systems["tiny"] = StanceClassifier.load("stance-tiny").predict
        rates = measure(systems, texts, arguments.repeats)
        peak_pss = measure_pss(arguments.model, documents, Path(beside) / "pss.parquet")
    print_table(rates)
    summary = summarise(rates, load)
    share = measure_peak_share(arguments.model, texts, statistics.median(rates["ours"]))
    summary |= {
        "int8_peak_share": round(share, 3),
        "cold_start_s": round(measure_cold_start(arguments.model), 3),
        "peak_pss_mb": round(peak_pss / 1e6, 1),
    }
    print(json.dumps(summary))


def read_sentences(count: int) -> list[str]:
    """Take sentences of the test split, of every family, in a mixed and fixed order."""
    sentences = [entry.text for entry in read_annotated(SEEDS / "test")]
    order = np.random.default_rng(0).permutation(len(sentences))
    return [sentences[index] for index in order[:count]]


def write_documents(texts: Sequence[str], folder: Path) -> Path:
    """Write the sentences as documents of twenty, each sentence a paragraph of its own."""
    folder.mkdir()
    for start in range(0, len(texts), 20):
        text = "\n\n".join(texts[start : start + 20])
        (folder / f"{start:06d}.txt").write_text(text, encoding="utf-8")
    return folder


def score_command(model: str, documents: Path, out: Path) -> list[str]:
    command = [sys.executable, "-m", "stancewire.cli", "score", str(documents), "--out", str(out)]
    return [*command, "--model", model, "--overwrite", "--any-language", "--quiet", "--threads", "2"]


def score(model: str, documents: Path, out: Path) -> None:
    subprocess.run(score_command(model, documents, out), check=True, capture_output=True)


def prepare_pipeline(folder: Path, batch_size: int) -> Run:
    classify = pipeline("text-classification", model=str(folder), top_k=None, batch_size=batch_size)
    return lambda texts: classify(list(texts))


def prepare_torch(folder: Path) -> Run:
    """Run the float32 checkpoint over batches of 32 like lengths."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def run(texts: Sequence[str]) -> object:
        return [model(**batch).logits for _, batch in like_lengths(tokenizer, texts, "pt")]

    return run


def prepare_onnx(folder: Path) -> Run:
    """Run a float32 graph with an attention mask over batches of 32 like lengths, on all processors."""
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
        return [
            session.run(None, {name: batch[name].astype(np.int64) for name in names})[0]
            for _, batch in like_lengths(tokenizer, texts, "np")
        ]

    return run


def like_lengths(tokenizer: object, texts: Sequence[str], tensors: str) -> list[tuple[list[int], dict]]:
    """Cut texts into padded batches of 32 like lengths: each with the positions of its texts."""
    encoded = tokenizer(list(texts), truncation=True)["input_ids"]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    batches = [order[start : start + 32] for start in range(0, len(order), 32)]
    return [
        (rows, tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors=tensors))
        for rows in batches
    ]


def measure(systems: dict[str, Run], texts: Sequence[str], repeats: int) -> dict[str, list[float]]:
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


def measure_peak_share(model: str, texts: Sequence[str], rate: float) -> float:
    """Divide the int8 products a second of the model's matrices at `rate` by what the machine can do."""
    classifier = StanceClassifier.load(model)
    tokens = np.mean([len(row.ids) for row in classifier._runtime._tokenizer.encode_batch(list(texts))])
    matrices = [
        parameter.size
        for name, parameter in read_parameters(classifier.folder / "model.onnx").items()
        if parameter.ndim == 2 and "embeddings" not in name and "classifier" not in name
    ]
    return rate * float(tokens) * sum(matrices) / measure_int8_peak()


def measure_int8_peak() -> float:
    """Count the products a second of bare `MatMulInteger`, on a one-thread session a processor."""
    rows, inner, columns = SHAPE
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "peak",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [rows, inner])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [rows, columns])],
        [helper.make_tensor("b", TensorProto.INT8, [inner, columns], b"\1" * (inner * columns), raw=True)],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(content)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    threads = available_processors()
    sessions = [ort.InferenceSession(content.SerializeToString(), options) for _ in range(threads)]
    left = np.random.default_rng(0).integers(0, 255, (rows, inner), dtype=np.uint8)

    def run(session: ort.InferenceSession) -> None:
        for _ in range(40):
            session.run(None, {"a": left})

    rates = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(run, sessions))
            rates.append(40 * threads * rows * inner * columns / (time.perf_counter() - start))
    return statistics.median(rates)


def measure_cold_start(model: str) -> float:
    code = f"import stancewire; stancewire.StanceClassifier.load({model!r}).predict('They will respond.')"
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_pss(model: str, documents: Path, out: Path) -> float:
    """Find the most bytes that one scoring run has, asked of the kernel fifty times a second."""
    process = subprocess.Popen(
        score_command(model, documents, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))])
        time.sleep(0.02)
    if process.wait() != 0:
        sys.exit("the scoring whose memory was measured failed")
    return peak


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
    summary = {
        f"ratio_{name}": round(median_ratio(rates["ours"], rates[name]), 2)
        for name in ("pipeline1", "pipeline32", "torch_sorted", "onnx_fp32")
    }
    summary["ratio_end_to_end"] = round(median_ratio(rates["end_to_end"], rates["pipeline32"]), 2)
    if "tiny" in rates:
        summary["tiny_ratio_pipeline32"] = round(median_ratio(rates["tiny"], rates["pipeline32"]), 2)
    summary["sentences_per_second"] = round(statistics.median(rates["ours"]), 1)
    summary["load"] = round(load, 2)
    return summary


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

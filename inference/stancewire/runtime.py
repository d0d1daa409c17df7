"""From sentences to probabilities and parties: tokenizers and onnxruntime, nothing else.

Dynamic int8 quantization takes the range of each activation over the whole batch, so a sentence's probability
would move with its neighbours. Here each window of tokens is one run of its own, unpadded, on one thread;
runs go side by side on as many threads as there are cores. A sentence's probabilities are therefore the same
bits whatever stands beside it, in whatever order, on however many threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Encoding

from stancewire.errors import StancewireError
from stancewire.faults import faults_as
from stancewire.manifest import MODEL, TOKENIZER, Manifest
from stancewire.onnx_reader import check_graph
from stancewire.spans import POINTERS, Parties, find_parties
from stancewire.tokenizer_reader import read_tokenizer

# Sentences a thread takes at a time: enough to make the hand-over cheap, few enough to keep all threads busy.
_SLICE = 16


@dataclass(frozen=True, slots=True)
class SentenceReading:
    """What the model says of a sentence: a probability a label, and the parties of each label that holds.

    `probabilities` is float32 `[labels]`; `parties` is keyed by the label's position, and empty for a model
    that knows no spans.
    """

    probabilities: NDArray[np.float32]
    parties: Mapping[int, Parties] = field(default_factory=dict)


class OnnxRuntime:
    """The model of one folder, ready to run; safe to call from several threads.

    `threads` is the number of sentences under way at once; None takes the processors that this process may
    use. `shifts` are added to the logits `[labels]`. Raises StancewireError if the tokenizer or the graph
    cannot be read, or is not of the expected form.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        threads: int | None = None,
        shifts: NDArray[np.float32] | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise StancewireError(f"threads should be at least 1, not {threads}")
        self.threads = threads or available_processors()
        self.folder = folder
        self._labels = len(manifest.labels)
        self._tokenizer = read_tokenizer(folder / TOKENIZER, manifest.max_length)
        self._shifts = np.zeros(self._labels, dtype=np.float32) if shifts is None else shifts
        self._thresholds = np.array(manifest.thresholds, dtype=np.float64)
        self._session = _open_session(folder / MODEL, self._labels)
        self.has_spans = len(self._session.get_outputs()) > 1
        self._pool: ThreadPoolExecutor | None = None

    def read(
        self, sentences: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> list[SentenceReading]:
        """Read sentences, in order.

        A sentence longer than the model's token budget is read in windows that overlap by half; each label
        takes the highest probability that any window gives it, and its parties from that window.
        `on_progress` is told how many sentences were just finished.
        """
        slices = [sentences[start : start + _SLICE] for start in range(0, len(sentences), _SLICE)]
        readings: list[SentenceReading] = []
        done = map(self._run_slice, slices) if self.threads == 1 or len(slices) < 2 else self._spread(slices)
        for block in done:
            readings += block
            if on_progress is not None:
                on_progress(len(block))
        return readings

    def probabilities(
        self, sentences: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32]:
        """Compute the probability of each label for each sentence, as `read` does: `[sentences, labels]`."""
        rows = [reading.probabilities for reading in self.read(sentences, on_progress)]
        return np.stack(rows) if rows else np.empty((0, self._labels), dtype=np.float32)

    def _spread(self, slices: list[Sequence[str]]) -> Any:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="stancewire")
        return self._pool.map(self._run_slice, slices)

    def _run_slice(self, sentences: Sequence[str]) -> list[SentenceReading]:
        with faults_as(self._unable):
            encodings = self._tokenizer.encode_batch([encodable(sentence) for sentence in sentences])
        return [
            self._read_sentence(sentence, (encoding, *encoding.overflowing))
            for sentence, encoding in zip(sentences, encodings, strict=True)
        ]

    def _read_sentence(self, sentence: str, windows: tuple[Encoding, ...]) -> SentenceReading:
        outputs = [self._run_window(window.ids) for window in windows]
        by_window = np.stack([sigmoid(output[0][0] + self._shifts) for output in outputs])
        probabilities = by_window.max(axis=0)
        if not self.has_spans:
            return SentenceReading(probabilities)
        best = by_window.argmax(axis=0)
        held = np.flatnonzero(probabilities >= self._thresholds).tolist()
        return SentenceReading(
            probabilities,
            {
                label: find_parties(
                    outputs[best[label]][1][0, :, label * POINTERS : (label + 1) * POINTERS],
                    windows[best[label]].offsets,
                    sentence,
                )
                for label in held
            },
        )

    def _run_window(self, ids: Sequence[int]) -> list[NDArray[np.float32]]:
        with faults_as(self._unable):
            outputs: list[NDArray[np.float32]] = self._session.run(
                None, {"input_ids": np.array([ids], dtype=np.int64)}
            )
        # What a graph declares of its outputs does not bind it.
        shapes = ((1, self._labels), (1, len(ids), self._labels * POINTERS))
        for output, shape in zip(outputs, shapes, strict=False):
            if output.shape != shape:
                raise self._unable(f"its graph gives figures of shape {output.shape}, not {shape}")
            if not np.isfinite(output).all():
                raise self._unable("its graph gives figures that are no numbers")
        return outputs

    def _unable(self, why: str) -> StancewireError:
        return StancewireError(f"the model in {self.folder} cannot read a sentence: {why}")


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits into probabilities, in float32, of the same shape."""
    # Below -88 the exponential is infinite, and the probability rightly 0.
    with np.errstate(over="ignore"):
        probabilities: NDArray[np.float32] = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return probabilities


def logits_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn probabilities back into logits, in float32; 0 and 1, which have none, count as nearly so."""
    inside = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(inside / (1 - inside)).astype(np.float32)


def available_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encodable(sentence: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form: a tokenizer takes UTF-8 only."""
    return sentence.encode("utf-8", "replace").decode("utf-8")


def open_graph(content: bytes, where: str) -> ort.InferenceSession:
    """Check an ONNX file and open it, to be run on one thread; `where` names it in the StancewireError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # What goes wrong is raised; onnxruntime would print it too, with the words of the graph.
    options.log_severity_level = 4
    # Else bytes that pass for a graph and carry onnxruntime's own mark would be read as something else.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    with faults_as(lambda why: StancewireError(f"{where} is not a model that onnxruntime can read: {why}")):
        check_graph(content, where)
        session = ort.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        # Kept for a change of provider, which never happens here.
        session._model_bytes = None
    return session


def _open_session(path: Path, labels: int) -> ort.InferenceSession:
    with faults_as(lambda why: StancewireError(f"{path} is not a model that onnxruntime can read: {why}")):
        # What was checked is what is run, whatever becomes of the file meanwhile.
        session = open_graph(path.read_bytes(), str(path))
        _check_form(session, path, labels)
    return session


def _check_form(session: ort.InferenceSession, path: Path, labels: int) -> None:
    inputs = [entry.name for entry in session.get_inputs()]
    outputs = [entry.name for entry in session.get_outputs()]
    if inputs != ["input_ids"] or outputs not in (["logits"], ["logits", "spans"]):
        raise StancewireError(
            f"{path} should have the input input_ids and the outputs logits and, if it knows them, spans; "
            f"it has {', '.join(map(ascii, inputs))} and {', '.join(map(ascii, outputs))}"
        )
    for entry, expected in zip(session.get_outputs(), (labels, labels * POINTERS), strict=False):
        found = entry.shape[-1] if entry.shape else 1
        if found != expected:
            raise StancewireError(
                f"{path} gives {found!a} figures as {entry.name}, its manifest names {labels} label(s)"
            )
        if entry.type != "tensor(float)":
            raise StancewireError(f"{path} gives {entry.name} as {entry.type}, not as tensor(float)")

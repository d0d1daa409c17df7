"""From sentences to probabilities: tokenizers and onnxruntime, nothing else.

Dynamic int8 quantization takes the range of each activation over the whole batch, so a sentence's probability
would move with its neighbours. Here each window of tokens is one run of its own, unpadded, on one thread;
runs go side by side on as many threads as there are cores. A sentence's probabilities are therefore the same
bits whatever stands beside it, in whatever order, on however many threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stancewire.errors import StancewireError
from stancewire.manifest import MODEL, TOKENIZER, Manifest

# Sentences a thread takes at a time: enough to make the hand-over cheap, few enough to keep all threads busy.
_SLICE = 16


class OnnxRuntime:
    """The model of one folder, ready to run; safe to call from several threads.

    `threads` is the number of sentences under way at once; None takes the processors that this process may
    use. Raises StancewireError if the tokenizer or the graph cannot be read, or is not of the expected form.
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise StancewireError(f"threads should be at least 1, not {threads}")
        self.threads = threads or available_processors()
        self._labels = len(manifest.labels)
        self._tokenizer = _read_tokenizer(folder / TOKENIZER, manifest.max_length)
        self._session = _open_session(folder / MODEL, self._labels)
        self._pool: ThreadPoolExecutor | None = None

    def probabilities(
        self, sentences: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32]:
        """Compute the probability of each label for each sentence: float32 `[sentences, labels]`.

        A sentence longer than the model's token budget is read in windows that overlap by half, and each
        label takes the highest probability that any window gives it. `on_progress` is told how many sentences
        were just finished.
        """
        slices = [sentences[start : start + _SLICE] for start in range(0, len(sentences), _SLICE)]
        blocks = [np.empty((0, self._labels), dtype=np.float32)]
        done = map(self._run_slice, slices) if self.threads == 1 or len(slices) < 2 else self._spread(slices)
        for block in done:
            blocks.append(block)
            if on_progress is not None:
                on_progress(len(block))
        return np.concatenate(blocks)

    def _spread(self, slices: list[Sequence[str]]) -> Any:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="stancewire")
        return self._pool.map(self._run_slice, slices)

    def _run_slice(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        encodings = self._tokenizer.encode_batch_fast([_encodable(sentence) for sentence in sentences])
        return np.stack(
            [
                np.max([self._run_window(window.ids) for window in (encoding, *encoding.overflowing)], axis=0)
                for encoding in encodings
            ]
        )

    def _run_window(self, token_ids: list[int]) -> NDArray[np.float32]:
        (logits,) = self._session.run(None, {"input_ids": np.array([token_ids], dtype=np.int64)})
        return sigmoid(logits[0])


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits into probabilities, in float32, of the same shape."""
    # Below -88 the exponential is infinite, and the probability rightly 0.
    with np.errstate(over="ignore"):
        probabilities: NDArray[np.float32] = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return probabilities


def available_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _encodable(sentence: str) -> str:
    # A lone surrogate has no UTF-8 form, and the tokenizer takes UTF-8 only.
    return sentence.encode("utf-8", "replace").decode("utf-8")


def _read_tokenizer(path: Path, max_length: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length, stride=max_length // 2)
    except Exception as error:  # the library raises plain Exception
        raise StancewireError(f"{path} is not a tokenizer that can be read: {error}") from None
    return tokenizer


def _open_session(path: Path, labels: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class but this
        raise StancewireError(f"{path} is not a model that onnxruntime can read: {error}") from None
    inputs = [entry.name for entry in session.get_inputs()]
    if inputs != ["input_ids"] or len(session.get_outputs()) != 1:
        raise StancewireError(
            f"{path} should have the input input_ids and one output, it has the inputs {inputs}"
        )
    found = session.get_outputs()[0].shape[-1]
    if found != labels:
        raise StancewireError(
            f"{path} gives {found} figures a sentence, its manifest names {labels} label(s)"
        )
    return session

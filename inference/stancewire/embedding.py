"""The vectors that a model's last layer reads: taken out of the graph of any model folder, as it is.

The graph itself gives logits. Here it is opened a second time, with one more output: the tensor that the last
linear layer multiplies. Probabilities are not taken from this second session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.faults import faults_as
from stancewire.manifest import MODEL, TOKENIZER, Manifest
from stancewire.onnx_reader import Node, read_nodes, with_output
from stancewire.runtime import OnnxRuntime, encodable, open_graph
from stancewire.tokenizer_reader import read_tokenizer

_LINEAR: Final = frozenset(("Gemm", "MatMul", "MatMulInteger"))
_QUANTIZED: Final = frozenset(("DynamicQuantizeLinear", "QuantizeLinear"))
_LOGITS: Final = "logits"
_WIDEST: Final = 8_192
_SLICE: Final = 64


def find_embedding(nodes: Sequence[Node]) -> str:
    """Name the tensor that the last linear layer before the logits reads.

    Nodes stand in the order in which they are run, as ONNX has it. A graph without such a layer is known by
    its logits themselves.
    """
    makers = {name: node for node in nodes for name in node.outputs}
    behind = {_LOGITS}
    for node in reversed(nodes):
        if behind.isdisjoint(node.outputs):
            continue
        if node.operator in _LINEAR and node.inputs:
            read = node.inputs[0]
            before = makers.get(read)
            is_int8 = before is not None and before.operator in _QUANTIZED and before.inputs
            return before.inputs[0] if before is not None and is_int8 else read
        behind.update(node.inputs)
    return _LOGITS


class Embedder:
    """Gives the vector of a sentence that a model's last layer reads; safe to call from several threads.

    Raises StancewireError, when made, for a graph that cannot be opened with one more output.
    """

    def __init__(self, runtime: OnnxRuntime, manifest: Manifest) -> None:
        self._folder = runtime.folder
        self._threads = runtime.threads
        self._tokenizer = read_tokenizer(runtime.folder / TOKENIZER, manifest.max_length)
        path = runtime.folder / MODEL
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StancewireError(f"{path} cannot be read: {error.strerror}") from None
        self._tensor = find_embedding(read_nodes(content, str(path)))
        if self._tensor != _LOGITS:
            content = with_output(content, self._tensor)
        self._session = open_graph(content, str(path))

    def embed(
        self, sentences: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32]:
        """Compute the vectors of sentences, of length 1: float32 `[sentences, width]`.

        The vector of a sentence that is read in several windows is the mean of theirs. `on_progress` is told
        how many sentences were just read.
        """
        slices = [sentences[start : start + _SLICE] for start in range(0, len(sentences), _SLICE)]
        rows: list[NDArray[np.float32]] = []
        with ThreadPoolExecutor(self._threads, thread_name_prefix="stancewire-embed") as pool:
            for block in pool.map(self._embed_slice, slices):
                rows += block
                if on_progress is not None:
                    on_progress(len(block))
        if not rows:
            return np.empty((0, 0), dtype=np.float32)
        if len({row.shape for row in rows}) > 1:
            raise self._unable("its graph gives vectors of several widths")
        return np.stack(rows)

    def _embed_slice(self, sentences: Sequence[str]) -> list[NDArray[np.float32]]:
        with faults_as(self._unable):
            encodings = self._tokenizer.encode_batch([encodable(sentence) for sentence in sentences])
        return [
            _unit(np.mean([self._run(window.ids) for window in (encoding, *encoding.overflowing)], axis=0))
            for encoding in encodings
        ]

    def _run(self, ids: Sequence[int]) -> NDArray[np.float32]:
        with faults_as(self._unable):
            found: Any = self._session.run([self._tensor], {"input_ids": np.array([ids], dtype=np.int64)})[0]
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.ndim < 2:
            raise self._unable(f"the tensor {self._tensor!a} before its last layer is no vector")
        # A layer that reads each token gives a vector a token.
        vector: NDArray[np.float32] = found.reshape(-1, found.shape[-1]).mean(axis=0)
        if not 0 < len(vector) <= _WIDEST or not np.isfinite(vector).all():
            raise self._unable("what its last layer reads are no vectors of finite figures")
        return vector

    def _unable(self, why: str) -> StancewireError:
        return StancewireError(f"the model in {self._folder} gives no vector of a sentence: {why}")


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)

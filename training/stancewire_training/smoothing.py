"""Move the outliers of activations into the weights, so that int8 loses less.

Dynamic quantization gives all channels of an activation one range, and after some layer norms one channel is
many times larger than the rest. After Xiao et al. (2023), "SmoothQuant", https://arxiv.org/abs/2211.10438,
each channel of an activation is divided by a factor and the rows of the weights behind it are multiplied by
it: the product stays the same, and the ranges are levelled. How far is searched for each activation, by the
error that int8 makes on sample sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float32]

FACTOR: Final = "_smoothing"
"""What the name of an activation's factors ends in: an activation is multiplied by them, `[channels]`."""

# How far ranges are levelled: the share of the activation's range that goes into the weights; None: not.
_STRENGTHS: Final = (None, 0.5, 0.65, 0.8, 0.9, 1.0)
_LEVELS, _WEIGHT_LEVELS = 255, 63
_TINY: Final = 1e-6


def smooth(graph: onnx.ModelProto, sentences: Sequence[Sequence[int]]) -> None:
    """Level the activations of a float32 graph in place, by what they are on sample sentences of token ids.

    Each activation that matrix products with constant weights share gets one `Mul` node before them.
    """
    weights = {tensor.name: tensor for tensor in graph.graph.initializer if len(tensor.dims) == 2}
    groups: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            groups.setdefault(node.input[0], []).append(node)
    activations = _record(graph, list(groups), sentences)
    for activation, nodes in groups.items():
        matrices = [numpy_helper.to_array(weights[node.input[1]]) for node in nodes]
        factors = _search(activations[activation], np.concatenate(matrices, axis=1))
        if factors is not None:
            _insert(graph.graph, activation, nodes, factors)
            for node, matrix in zip(nodes, matrices, strict=True):
                smoothed = numpy_helper.from_array(matrix / factors[:, None], node.input[1])
                weights[node.input[1]].CopyFrom(smoothed)


def _record(
    graph: onnx.ModelProto, names: Sequence[str], sentences: Sequence[Sequence[int]]
) -> dict[str, list[Floats]]:
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    runs = [session.run(list(names), {"input_ids": np.array([ids], dtype=np.int64)}) for ids in sentences]
    return {name: [run[at][0] for run in runs] for at, name in enumerate(names)}


def _search(activations: Sequence[Floats], weights: Floats) -> Floats | None:
    # What an activation is multiplied by, [channels]; None where levelling does not pay.
    spread = np.maximum(np.max([np.abs(rows).max(axis=0) for rows in activations], axis=0), _TINY)
    strength = np.maximum(np.abs(weights).max(axis=1), _TINY)
    exact = [rows @ weights for rows in activations]
    best, least = None, np.inf
    for factors in _candidates(spread, strength):
        rounded = _round_weights(weights if factors is None else weights / factors[:, None])
        inputs = [_round(rows if factors is None else rows * factors) for rows in activations]
        error = sum(
            float(np.square(rows @ rounded - wanted).sum())
            for rows, wanted in zip(inputs, exact, strict=True)
        )
        if error < least:
            best, least = factors, error
    return best


def _candidates(spread: Floats, strength: Floats) -> Iterator[Floats | None]:
    for share in _STRENGTHS:
        if share is None:
            yield None
        else:
            levels = spread**share / strength ** (1 - share)
            # Only the ratios of the factors matter: their geometric mean is 1.
            yield (np.exp(np.log(levels).mean()) / levels).astype(np.float32)


def _round(rows: Floats) -> Floats:
    # As DynamicQuantizeLinear does: 8 bits over the range of the whole sentence, 0 in it.
    low, high = min(float(rows.min()), 0.0), max(float(rows.max()), 0.0)
    scale = max((high - low) / _LEVELS, _TINY)
    zero = np.round(-low / scale)
    steps = np.clip(np.round(rows / scale) + zero, 0, _LEVELS) - zero
    rounded: Floats = (steps * scale).astype(np.float32)
    return rounded


def _round_weights(weights: Floats) -> Floats:
    # 7 bits a column, as `quantize` has it.
    scale = np.maximum(np.abs(weights).max(axis=0) / _WEIGHT_LEVELS, _TINY)
    rounded: Floats = (np.round(weights / scale) * scale).astype(np.float32)
    return rounded


def _insert(
    graph: onnx.GraphProto, activation: str, nodes: Sequence[onnx.NodeProto], factors: Floats
) -> None:
    name = nodes[0].input[1] + FACTOR
    graph.initializer.append(numpy_helper.from_array(factors, name))
    scaled = activation + FACTOR
    product = helper.make_node("Mul", [activation, name], [scaled], name=f"{name}_Mul")
    first = min(list(graph.node).index(node) for node in nodes)
    graph.node.insert(first, product)
    for node in nodes:
        node.input[0] = scaled

"""Between a transformers checkpoint and an int8 ONNX graph, both ways.

The graph takes `input_ids` `[batch, tokens]` alone: sentences run unpadded, so there is nothing to mask. It
gives `logits` and, if the model knows them, `spans`. Its weights carry the names of the checkpoint's
parameters, which is what makes the way back possible.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from stancewire.onnx_reader import check_graph
from stancewire_training.smoothing import FACTOR, smooth

if TYPE_CHECKING:
    from stancewire_training.network import StanceForSequenceClassification

_OPSET: Final = 17
HEADS: Final = ("classifier.weight", "span_classifier.weight")
# The suffixes that onnxruntime gives to the parts of a quantized weight, and to one that it turned around.
_INT8, _SCALE, _ZERO, _TRANSPOSED = "_quantized", "_scale", "_zero_point", "_Transposed"
_WORDS: Final = "word_embeddings.weight"


class _Unpadded(torch.nn.Module):
    def __init__(self, model: StanceForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self.model(input_ids=input_ids)
        return (output.logits,) if output.spans is None else (output.logits, output.spans)


def to_onnx(model: StanceForSequenceClassification) -> onnx.ModelProto:
    """Trace a model into a float32 graph, `input_ids` to its outputs, weights named as in the checkpoint.

    Through torch's older exporter, which needs no further library; with eager attention, which traces into
    the fewest nodes.
    """
    attention = model.encoder.config._attn_implementation
    model.encoder.set_attn_implementation("eager")
    outputs = ["logits"] if model.span_classifier is None else ["logits", "spans"]
    axes = {
        "input_ids": {0: "batch", 1: "tokens"},
        "logits": {0: "batch"},
        "spans": {0: "batch", 1: "tokens"},
    }
    example = torch.full((1, 8), 5, dtype=torch.int64)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Unpadded(model).eval(),
            (example,),
            # The older exporter takes a stream; the signature is the newer one's.
            stream,  # type: ignore[arg-type]
            input_names=["input_ids"],
            output_names=outputs,
            dynamic_axes={name: axes[name] for name in ("input_ids", *outputs)},
            opset_version=_OPSET,
            dynamo=False,
        )
    model.encoder.set_attn_implementation(attention)
    graph = onnx.load_from_string(stream.getvalue())
    _name_weights(graph.graph, model)
    return graph


def quantize(graph: onnx.ModelProto, path: Path, sentences: Sequence[Sequence[int]] = ()) -> None:
    """Quantize the weights of a graph to int8, activations on the fly, and write it to `path`.

    With `sentences`, samples as token ids, the activations are levelled first (`smoothing`). With
    `reduce_range` (7 bits): on processors without VNNI the 8-bit products overflow, and the answers differ
    from machine to machine. Word embeddings get a scale for each row. The last layers, small and calibrated,
    stay in float32, and so do the other embeddings.
    """
    weights = {name + turned for name in HEADS for turned in ("", _TRANSPOSED)}
    heads = [node.name for node in graph.graph.node if weights.intersection(node.input)]
    # onnxruntime makes a MatMul of each Gemm first, and names it so.
    heads += [f"{name}_MatMul" for name in heads]
    if sentences:
        smooth(graph, sentences)
    logging.getLogger().addFilter(_without_advice)
    try:
        quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=heads,
        )
    finally:
        logging.getLogger().removeFilter(_without_advice)
    quantized = onnx.load(path)
    _quantize_embeddings(quantized.graph)
    _keep_unused(graph.graph, quantized.graph)
    onnx.save(quantized, path)


def read_parameters(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the parameters of a graph that `to_onnx` named, in float32, by the checkpoint's names.

    Raises StancewireError for a graph that stancewire would not run: no file but this one is opened for it.
    """
    content = path.read_bytes()
    check_graph(content, str(path))
    graph = onnx.load_from_string(content).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    factors = _factors(graph, tensors)
    parameters: dict[str, NDArray[np.float32]] = {}
    for name, values in tensors.items():
        stem = name.removesuffix(_INT8)
        if stem != name:
            scale, zero = tensors[stem + _SCALE], tensors.get(stem + _ZERO, np.float32(0))
            values = (values.astype(np.float32) - zero.astype(np.float32)) * scale
        elif values.dtype != np.float32 or name.endswith((_SCALE, FACTOR)):
            continue
        values = values * factors[name][:, None] if name in factors else values
        transposed = stem.endswith(_TRANSPOSED)
        parameters[stem.removesuffix(_TRANSPOSED)] = np.array(values.T if transposed else values, order="C")
    return parameters


def fold_into_graph(path: Path, slopes: Sequence[float], intercepts: Sequence[float]) -> None:
    """Fold a slope and an intercept a label into the last layer of a written graph."""
    graph = onnx.load(path)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == "classifier.weight":
            values = values * np.array(slopes, np.float32)[:, None]
        elif tensor.name == "classifier.weight" + _TRANSPOSED:
            values = values * np.array(slopes, np.float32)
        elif tensor.name == "classifier.bias":
            values = values * np.array(slopes, np.float32) + np.array(intercepts, np.float32)
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, path)


def _factors(graph: onnx.GraphProto, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    # A weight's product is fed by an activation, which is fed by the Mul that `smooth` put there.
    makers = {output: node for node in graph.node for output in node.output}
    found = {}
    for node in graph.node:
        if node.op_type in ("MatMul", "MatMulInteger") and node.input[1] in tensors:
            maker = makers.get(node.input[0])
            if maker is not None and maker.op_type == "DynamicQuantizeLinear":
                maker = makers.get(maker.input[0])
            if maker is not None and maker.op_type == "Mul" and maker.input[1].endswith(FACTOR):
                found[node.input[1]] = tensors[maker.input[1]]
    return found


def _quantize_embeddings(graph: onnx.GraphProto) -> None:
    # The table of words is most of a small model's bytes; one scale for all of it would cost accuracy.
    for node in list(graph.node):
        table = next((t for t in graph.initializer if t.name == node.input[0]), None) if node.input else None
        if node.op_type != "Gather" or table is None or not table.name.endswith(_WORDS):
            continue
        values, name = numpy_helper.to_array(table), table.name
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)
        rounded = np.round(values / scale).astype(np.int8)
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(rounded, name + _INT8))
        graph.initializer.append(numpy_helper.from_array(scale, name + _SCALE))
        ids, out, at = node.input[1], node.output[0], list(graph.node).index(node)
        graph.node.remove(node)
        steps = [
            helper.make_node("Gather", [name + _INT8, ids], [name + ".rows"], name=name + ".Gather"),
            helper.make_node("Cast", [name + ".rows"], [name + ".cast"], name=name + ".Cast", to=1),
            helper.make_node("Gather", [name + _SCALE, ids], [name + ".scales"], name=name + ".GatherScale"),
            helper.make_node("Mul", [name + ".cast", name + ".scales"], [out], name=name + ".Mul"),
        ]
        for step in reversed(steps):
            graph.node.insert(at, step)


def _keep_unused(before: onnx.GraphProto, after: onnx.GraphProto) -> None:
    # onnxruntime leaves out what no node needs, such as a parameter that has the same values as another.
    used = {source for node in before.node for source in node.input}
    after.initializer.extend(tensor for tensor in before.initializer if tensor.name not in used)


def _without_advice(record: logging.LogRecord) -> bool:
    # The advice is to fuse nodes first, after which the weights would have lost their names.
    return "pre-processing before quantization" not in record.getMessage()


def _name_weights(graph: onnx.GraphProto, model: StanceForSequenceClassification) -> None:
    # The exporter turns a linear layer's weight around and numbers it: it is found by its content.
    names: dict[tuple[tuple[int, ...], bytes], str] = {}
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        names[values.shape, values.tobytes()] = name
        if values.ndim == 2:
            names[values.T.shape, np.ascontiguousarray(values.T).tobytes()] = name + _TRANSPOSED
    renamed = {}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        found = names.get((values.shape, values.tobytes()))
        if found is not None:
            renamed[tensor.name] = found
            tensor.name = found
    # The exporter keeps one of several parameters that are equal, such as biases that are still 0.
    kept = {name.removesuffix(_TRANSPOSED) for name in renamed.values()}
    for name, parameter in model.named_parameters():
        if name not in kept:
            graph.initializer.append(numpy_helper.from_array(parameter.detach().numpy(), name))
    for node in graph.node:
        for position, source in enumerate(node.input):
            node.input[position] = renamed.get(source, source)

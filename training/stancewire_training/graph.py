"""Between a transformers checkpoint and an int8 ONNX graph, both ways.

The graph takes `input_ids` `[batch, tokens]` alone: sentences run unpadded, so there is nothing to mask. Its
weights carry the names of the checkpoint's parameters, which is what makes the way back possible.
"""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

if TYPE_CHECKING:
    from stancewire_training.network import StanceForSequenceClassification

_OPSET: Final = 17
_HEAD: Final = "classifier.weight"
# The suffixes that onnxruntime gives to the parts of a quantized weight, and to one that it turned around.
_INT8, _SCALE, _ZERO, _TRANSPOSED = "_quantized", "_scale", "_zero_point", "_Transposed"


class _Unpadded(torch.nn.Module):
    def __init__(self, model: StanceForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids).logits
        return logits


def to_onnx(model: StanceForSequenceClassification) -> onnx.ModelProto:
    """Trace a model into a float32 graph, from `input_ids` to `logits`, weights named as in the checkpoint.

    Through torch's older exporter, which needs no further library; with eager attention, which traces into
    the fewest nodes.
    """
    attention = model.encoder.config._attn_implementation
    model.encoder.set_attn_implementation("eager")
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
            output_names=["logits"],
            dynamic_axes={"input_ids": {0: "batch", 1: "tokens"}, "logits": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    model.encoder.set_attn_implementation(attention)
    graph = onnx.load_from_string(stream.getvalue())
    _name_weights(graph.graph, model)
    return graph


def quantize(graph: onnx.ModelProto, path: Path) -> None:
    """Quantize the weights of a graph to int8, activations on the fly, and write it to `path`.

    With `reduce_range` (7 bits): on processors without VNNI the 8-bit products overflow, and the answers
    differ from machine to machine. The last layer, small and calibrated, stays in float32.
    """
    head = [node.name for node in graph.graph.node if _HEAD in node.input]
    # onnxruntime makes a MatMul of each Gemm first, and names it so.
    head += [f"{name}_MatMul" for name in head]
    logging.getLogger().addFilter(_without_advice)
    try:
        quantize_dynamic(
            graph,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=head,
        )
    finally:
        logging.getLogger().removeFilter(_without_advice)
    _keep_unused(graph, path)


def read_parameters(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the parameters of a graph that `to_onnx` named, in float32, by the checkpoint's names."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    parameters: dict[str, NDArray[np.float32]] = {}
    for name, values in tensors.items():
        stem = name.removesuffix(_INT8)
        if stem != name:
            scale, zero = tensors[stem + _SCALE], tensors[stem + _ZERO]
            values = (values.astype(np.float32) - zero.astype(np.float32)) * scale
        elif values.dtype != np.float32 or name.endswith(_SCALE):
            continue
        transposed = stem.endswith(_TRANSPOSED)
        parameters[stem.removesuffix(_TRANSPOSED)] = np.array(values.T if transposed else values, order="C")
    return parameters


def _without_advice(record: logging.LogRecord) -> bool:
    # The advice is to fuse nodes first, after which the weights would have lost their names.
    return "pre-processing before quantization" not in record.getMessage()


def _keep_unused(graph: onnx.ModelProto, path: Path) -> None:
    # onnxruntime leaves out what no node needs, such as a parameter that has the same values as another.
    used = {source for node in graph.graph.node for source in node.input}
    unused = [tensor for tensor in graph.graph.initializer if tensor.name not in used]
    if unused:
        quantized = onnx.load(path)
        quantized.graph.initializer.extend(unused)
        onnx.save(quantized, path)


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

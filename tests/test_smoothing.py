"""Levelling activations before quantization: the same products, smaller errors."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from stancewire_training.smoothing import FACTOR, smooth  # noqa: E402

TOKENS, CHANNELS, OUT = 50, 24, 16


def outlier_graph() -> onnx.ModelProto:
    """Rows of a table with one channel forty times the others, and two products with constant weights."""
    generator = np.random.default_rng(0)
    table = generator.normal(size=(TOKENS, CHANNELS)).astype(np.float32)
    table[:, 3] *= 40
    weights = [generator.normal(size=(CHANNELS, OUT)).astype(np.float32) for _ in range(2)]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("MatMul", ["rows", "first"], ["one"]),
            helper.make_node("MatMul", ["rows", "second"], ["two"]),
            helper.make_node("Add", ["one", "two"], ["logits"]),
        ],
        "outliers",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "tokens", OUT])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(weights[0], "first"),
            numpy_helper.from_array(weights[1], "second"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, ids: list[int]) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": np.array([ids], dtype=np.int64)})[0]


def test_the_products_stay_the_same() -> None:
    plain, smoothed = outlier_graph(), outlier_graph()

    smooth(smoothed, [[1, 2, 3], [4, 5]])

    assert run(smoothed, [7, 8, 9]) == pytest.approx(run(plain, [7, 8, 9]), abs=1e-3)


def test_products_that_share_an_activation_share_one_node() -> None:
    graph = outlier_graph()

    smooth(graph, [[1, 2, 3], [4, 5]])

    factors = [tensor for tensor in graph.graph.initializer if tensor.name.endswith(FACTOR)]
    assert [tensor.name for tensor in factors] == ["first" + FACTOR]
    assert [node.op_type for node in graph.graph.node].count("Mul") == 1
    # The outlier is made smaller, as much as the weights allow.
    assert np.argmin(numpy_helper.to_array(factors[0])) == 3


def test_int8_loses_less_and_the_way_back_gives_the_weights(tmp_path) -> None:
    from stancewire_training.graph import quantize, read_parameters

    ids = list(range(10, 30))
    exact = run(outlier_graph(), ids)
    errors = {}
    for name, samples in (("plain", ()), ("smoothed", [list(range(20)), list(range(25, 50))])):
        quantize(outlier_graph(), tmp_path / name, samples)
        errors[name] = np.abs(run(onnx.load(tmp_path / name), ids) - exact).mean()

    assert errors["smoothed"] < errors["plain"] / 2
    restored = read_parameters(tmp_path / "smoothed")
    table = next(numpy_helper.to_array(t) for t in outlier_graph().graph.initializer if t.name == "table")
    again = table[ids] @ restored["first"] + table[ids] @ restored["second"]
    assert np.abs(again - exact).mean() < errors["plain"] / 2

"""What of an ONNX file is refused before onnxruntime sees it, and that nothing else is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import ROOT
from handmade import make_graph, onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from stancewire.errors import StancewireError
from stancewire.onnx_reader import MAX_NODES, OPERATORS, check_graph

SHIPPED = sorted((ROOT / "models").glob("*/model.onnx"))
# Numbers of onnx.proto: model.graph, graph.node, node.op_type, model.opset_import.
GRAPH, NODE, OP_TYPE, OPSET = 7, 1, 4, 8


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def inner_graph() -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["mean"], ["inner"])],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )


def with_function() -> onnx.ModelProto:
    body = [helper.make_node("Identity", ["a"], ["b"])]
    function = helper.make_function("ours", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    return make_graph(functions=[function])


def with_external_data(location: str) -> onnx.ModelProto:
    model = make_graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def with_strings() -> onnx.ModelProto:
    text = helper.make_tensor("words", TensorProto.STRING, [1], [b"rm -rf"])
    return make_graph(helper.make_node("Constant", [], ["words"], value=text))


def with_sparse_weights() -> onnx.ModelProto:
    model = make_graph()
    model.graph.sparse_initializer.add()
    return model


def with_training() -> onnx.ModelProto:
    model = make_graph()
    model.training_info.add()
    return model


def with_domain() -> onnx.ModelProto:
    model = make_graph()
    model.opset_import.add(domain="com.evil", version=1)
    return model


HOSTILE = {
    "a loop": (
        make_graph(helper.make_node("Loop", ["", "yes"], ["x"], body=inner_graph())),
        "the operator 'Loop'|a subgraph",
    ),
    "a condition": (
        make_graph(
            helper.make_node("If", ["c"], ["x"], then_branch=inner_graph(), else_branch=inner_graph())
        ),
        "the operator 'If'|a subgraph",
    ),
    "a scan": (
        make_graph(helper.make_node("Scan", ["mean"], ["x"], body=inner_graph(), num_scan_inputs=1)),
        "the operator 'Scan'|a subgraph",
    ),
    "a subgraph of an operator that needs none": (
        make_graph(helper.make_node("Add", ["mean", "mean"], ["x"], body=inner_graph())),
        "a subgraph",
    ),
    "a list of subgraphs": (
        make_graph(helper.make_node("Add", ["mean", "mean"], ["x"], bodies=[inner_graph()])),
        "a subgraph",
    ),
    "a custom operator": (
        make_graph(helper.make_node("Shell", ["mean"], ["x"], domain="com.evil")),
        "the operator 'Shell'|the domain 'com.evil'",
    ),
    "a known operator of another domain": (
        make_graph(helper.make_node("Add", ["mean", "mean"], ["x"], domain="com.evil")),
        "the domain 'com.evil'",
    ),
    "an operator of onnxruntime's own": (
        make_graph(helper.make_node("FusedMatMul", ["mean", "mean"], ["x"], domain="com.microsoft")),
        "the operator 'FusedMatMul'|the domain 'com.microsoft'",
    ),
    "a domain that no node uses": (with_domain(), "the domain 'com.evil'"),
    "an operator of chance": (make_graph(helper.make_node("RandomNormalLike", ["mean"], ["x"])), "Random"),
    "an operator on strings": (
        make_graph(helper.make_node("RegexFullMatch", ["s"], ["x"], pattern="(a+)+$")),
        "RegexFullMatch",
    ),
    "a function": (with_function(), "functions"),
    "external data": (with_external_data("weights.bin"), "external data"),
    "external data outside the folder": (with_external_data("../../etc/passwd"), "external data"),
    "external data in memory": (with_external_data("*/_ORT_MEM_ADDR_/*"), "external data"),
    "external data of an attribute": (
        make_graph(
            helper.make_node("Constant", [], ["x"], value=with_external_data("x").graph.initializer[0])
        ),
        "external data",
    ),
    "a tensor of strings": (with_strings(), "a tensor of strings"),
    "sparse weights": (with_sparse_weights(), "a sparse tensor"),
    "training steps": (with_training(), "training steps"),
    "a type as an attribute": (
        make_graph(
            helper.make_node(
                "Cast", ["mean"], ["x"], to=helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
            )
        ),
        "a type as an attribute",
    ),
    "too many nodes": (
        make_graph(*(helper.make_node("Neg", ["mean"], [f"x{n}"]) for n in range(MAX_NODES))),
        "more than 2,000 nodes",
    ),
}


def test_a_plain_graph_passes_with_its_operators_counted():
    content = make_graph(helper.make_node("Erf", ["mean"], ["x"])).SerializeToString()

    assert check_graph(content, "here") == {"Gather": 1, "ReduceMean": 1, "Erf": 1, "Identity": 1}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_graph_passes_in_less_than_50_milliseconds(path: Path):
    content = path.read_bytes()

    begin = time.process_time()
    found = check_graph(content, str(path))
    seconds = time.process_time() - begin

    assert found["MatMulInteger"] >= 6
    assert sum(found.values()) == len(onnx.load_from_string(content).graph.node)
    assert seconds < 0.05


def test_a_graph_of_the_exporter_passes_before_and_after_quantization(tiny_checkpoint, tiny_model):
    from stancewire_training.graph import to_onnx
    from stancewire_training.model import load_checkpoint

    float32 = to_onnx(load_checkpoint(tiny_checkpoint)[0]).SerializeToString()

    assert "MatMulInteger" not in check_graph(float32, "float32")
    assert "MatMulInteger" in check_graph((tiny_model / "model.onnx").read_bytes(), "int8")


@pytest.mark.parametrize("kind", ["MPNet", "Roberta"])
def test_a_graph_of_another_encoder_passes_before_and_after_quantization(kind: str, tmp_path: Path):
    pytest.importorskip("torch")
    import transformers

    from stancewire_training.graph import quantize, to_onnx
    from stancewire_training.network import StanceConfig, StanceForSequenceClassification

    encoder = getattr(transformers, f"{kind}Config")(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    config = StanceConfig(encoder=encoder.to_dict(), spans=True, id2label={0: "a", 1: "b"})
    float32 = to_onnx(StanceForSequenceClassification(config).eval())
    expected = {node.op_type for node in float32.graph.node}
    found = set(check_graph(float32.SerializeToString(), "float32"))
    quantize(float32, tmp_path / "int8.onnx", [[5, 6, 7]])

    assert found == expected
    assert "MatMulInteger" in check_graph((tmp_path / "int8.onnx").read_bytes(), "int8")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_model_needs_is_refused_and_named(name: str):
    model, said = HOSTILE[name]

    with pytest.raises(StancewireError, match=rf"^here has .*({said}).*: it is not run"):
        check_graph(model.SerializeToString(), "here")


def test_a_second_operator_or_graph_hides_nothing():
    # Of two values of a field protobuf takes the last, and of two graphs it makes one.
    twice = field(GRAPH, field(NODE, field(OP_TYPE, b"Loop") + field(OP_TYPE, b"Add")))
    behind = make_graph().SerializeToString() + field(GRAPH, field(NODE, field(OP_TYPE, b"Loop")))

    for content in (twice, behind):
        with pytest.raises(StancewireError, match="the operator 'Loop'"):
            check_graph(content, "here")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it holds no graph"),
        (b"nonsense", "none of ONNX's"),
        (field(OPSET, b""), "it holds no graph"),
        (b"\x80", "a number is cut short"),
        (b"\xff" * 11, "a number is cut short"),
        (varint(GRAPH << 3 | 2) + varint(2**62), "field 7 is cut short"),
        (varint(1 << 3 | 1) + b"1234567", "field 1 is cut short"),
        # protobuf drops the bits of a field's number past the 32nd, and would see a graph.
        (varint((1 << 32) + (GRAPH << 3 | 2)) + varint(0), "none of ONNX's"),
        (varint(GRAPH << 3 | 0) + varint(1), "field 7 of type 0"),
        (varint(GRAPH << 3 | 3), "field 7 of type 3"),
        (field(99, b""), "field 99"),
        (field(0, b""), "field 0"),
        (b"\x80\x02}q\x00X\x06\x00\x00\x00weight", "is not an ONNX file"),
    ],
)
def test_what_is_not_onnx_is_refused(content: bytes, said: str):
    with pytest.raises(StancewireError, match=r"^here is not an ONNX file that can be read") as caught:
        check_graph(content, "here")

    assert said in str(caught.value)


def test_numbers_wider_than_a_field_are_not_cut_to_a_harmless_one():
    # As an int32 this location is 0, in the file.
    tensor = varint(14 << 3 | 0) + varint(1 << 32)
    content = field(GRAPH, field(5, tensor))

    with pytest.raises(StancewireError, match="external data"):
        check_graph(content, "here")


def test_a_file_of_tiny_fields_is_refused_in_less_than_a_second():
    content = (varint(1 << 3 | 0) + b"\x01") * 12_000_000

    begin = time.process_time()
    with pytest.raises(StancewireError, match="more than 200,000 fields"):
        check_graph(content, "here")

    assert time.process_time() - begin < 1


def test_the_name_of_an_operator_is_quoted_for_a_terminal():
    content = field(GRAPH, field(NODE, field(OP_TYPE, b"\x1b]0;owned\x07\xff\n" + b"x" * 1_000)))

    with pytest.raises(StancewireError) as caught:
        check_graph(content, "here")

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_every_operator_of_the_list_is_one_of_onnx_without_subgraphs():
    graphs = (onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS)
    schemas = {name: onnx.defs.get_schema(name) for name in OPERATORS}

    assert [n for n, s in schemas.items() if any(a.type in graphs for a in s.attributes.values())] == []


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_a_sentence(content: bytes):
    with pytest.raises(StancewireError, match=r"^here (has|is not) "):
        check_graph(content, "here")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_graph_with_a_changed_byte_passes_or_is_refused_with_a_sentence(data: st.DataObject):
    content = bytearray(make_graph().SerializeToString())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        found = check_graph(bytes(content), "here")
    except StancewireError as error:
        assert str(error).startswith("here ")
    else:
        assert found.keys() <= OPERATORS


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(sorted(OPERATORS)), min_size=1, max_size=50), st.booleans())
def test_the_reader_counts_what_the_library_onnx_counts(operators: list[str], raw: bool):
    values = numpy_helper.from_array(onnx.numpy_helper.to_array(make_graph().graph.initializer[0]), "more")
    if not raw:
        values = helper.make_tensor("more", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    model = make_graph(*(helper.make_node(name, ["mean"], [f"x{n}"]) for n, name in enumerate(operators)))
    model.graph.initializer.append(values)

    found = check_graph(model.SerializeToString(), "here")

    nodes = [node.op_type for node in model.graph.node]
    assert found == {name: nodes.count(name) for name in nodes}

"""Read what an ONNX file is made of, and refuse what no model of stancewire's needs, before anything runs it.

A graph from a stranger is a program. onnxruntime runs what it is given: loops without an end, subgraphs,
operators of other vendors, weights in files that the graph names. This reader walks the file's protobuf
(https://protobuf.dev/programming-guides/encoding/), by the field numbers of onnx.proto, and lets pass only
straight lines of arithmetic on tensors that stand in the file itself. A field that it does not know is
refused. Each occurrence of a field is checked, so it does not matter which of two onnxruntime would take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from stancewire.errors import StancewireError

# First what the shipped graphs hold, then the same of other encoders, in float32 and int8.
_OPERATORS = """
    Add Cast Concat Constant ConstantOfShape DequantizeLinear Div DynamicQuantizeLinear Erf Gather
    LayerNormalization MatMul MatMulInteger Mul ReduceMean Reshape Shape Slice Softmax Transpose Unsqueeze

    Abs And Ceil Clip Cos CumSum Equal Expand Floor GatherElements Gelu Gemm Greater GreaterOrEqual Identity
    Less LessOrEqual Log Max Min Neg Not Or Pow QuantizeLinear Range Reciprocal ReduceMax ReduceMin ReduceSum
    Relu Sigmoid Sign Sin Split Sqrt Squeeze Sub Tanh Tile Where
"""
OPERATORS: Final = frozenset(_OPERATORS.split())
"""The operators that a graph may hold, all of them arithmetic or a change of shape."""

MAX_NODES: Final = 2_000
"""A graph of twelve layers has about 1,300 nodes."""

_DOMAINS = ("", "ai.onnx")
# A graph of 2,000 nodes has some 40,000; more are there to keep the reader busy.
_MAX_FIELDS = 200_000
_LONGEST_NAME = 64
_EXTERNAL = "weights outside the file (external data)"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
# The numbers of fields: of the model its graph; of that its nodes and outputs; of these their parts.
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_OUTPUT, _VALUE_NAME = 7, 1, 12, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
# Ten bytes of seven bits.
_LONGEST_VARINT = 70
# FLOAT, INT, STRING, TENSOR, and lists of them: neither graphs nor types.
_ATTRIBUTE_TYPES = frozenset((1, 2, 3, 4, 6, 7, 8, 9))


@dataclass(frozen=True, slots=True)
class _Message:
    """What the fields of a message are, by their numbers.

    `passed` are skipped, `nested` walked, `texts` and `numbers` handed to a check; `refused` says what it is.
    """

    passed: frozenset[int]
    nested: Mapping[int, _Message] = field(default_factory=dict)
    texts: Mapping[int, Callable[[_Walk, str], None]] = field(default_factory=dict)
    numbers: Mapping[int, Callable[[_Walk, int], None]] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)


def check_graph(content: bytes, where: str) -> dict[str, int]:
    """Check an ONNX file, and count each of its operators; the figures of its tensors are not looked at.

    `where` names the file in the StancewireError, raised for what is not ONNX, for an operator or domain
    outside the allow-list, subgraphs, functions, external data, sparse or string tensors, too many nodes.
    """
    walk = _Walk(content, where)
    walk.message(_MODEL, 0, len(content))
    if not walk.operators:
        raise walk.broken("it holds no graph")
    return dict(walk.operators)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a graph: its operator, and the names of the tensors that it takes and gives."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_nodes(content: bytes, where: str) -> list[Node]:
    """Read the nodes of a file that `check_graph` let pass, in the order in which they are run.

    `where` names the file in the StancewireError, raised for names that are not UTF-8.
    """
    walk = _Walk(content, where)
    nodes = []
    for start, end in walk.fields(_MODEL_GRAPH, 0, len(content)):
        for first, last in walk.fields(_GRAPH_NODE, start, end):
            operators, inputs, outputs = (
                tuple(walk.text(*place) for place in walk.fields(number, first, last))
                for number in (_NODE_OPERATOR, _NODE_INPUT, _NODE_OUTPUT)
            )
            nodes.append(Node(operators[-1] if operators else "", inputs, outputs))
    return nodes


def with_output(content: bytes, tensor: str) -> bytes:
    """Make an ONNX file that gives one more tensor as its last output; its type is left to onnxruntime.

    A message of protobuf may come in parts, which are merged
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins): the output is a part of the graph that
    is put behind the file, and nothing in the file is moved.
    """
    output = _encode(_GRAPH_OUTPUT, _encode(_VALUE_NAME, tensor.encode()))
    return content + _encode(_MODEL_GRAPH, output)


def _encode(number: int, value: bytes) -> bytes:
    length, size = len(value), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | _BYTES]) + size + bytes([length]) + value


class _Walk:
    """One walk through a file, and what was found on the way."""

    def __init__(self, content: bytes, where: str) -> None:
        self.operators: Counter[str] = Counter()
        self._content = content
        self._where = where
        self._fields = 0

    def message(self, kind: _Message, position: int, end: int) -> None:
        while position < end:
            number, wire, value, start, position = self._field(position, end)
            if number in kind.passed:
                continue
            if number in kind.refused:
                raise self.unfit(kind.refused[number])
            if number in kind.nested and wire == _BYTES:
                self.message(kind.nested[number], start, position)
            elif number in kind.texts and wire == _BYTES:
                text = self._content[start : min(position, start + _LONGEST_NAME)]
                kind.texts[number](self, text.decode("utf-8", "replace"))
            elif number in kind.numbers and wire == _VARINT:
                kind.numbers[number](self, value)
            else:
                raise self.broken(f"field {number} of type {wire} is none of ONNX's")

    def fields(self, wanted: int, position: int, end: int) -> Iterator[tuple[int, int]]:
        while position < end:
            number, wire, _, start, position = self._field(position, end)
            if number == wanted and wire == _BYTES:
                yield start, position

    def text(self, start: int, end: int) -> str:
        try:
            return self._content[start:end].decode("utf-8")
        except UnicodeDecodeError:
            raise self.broken("a name is not UTF-8") from None

    def operator(self, name: str) -> None:
        if name not in OPERATORS:
            raise self.unfit(f"the operator {name!r}")
        self.operators[name] += 1
        if self.operators.total() > MAX_NODES:
            raise self.unfit(f"more than {MAX_NODES:,} nodes")

    def domain(self, name: str) -> None:
        if name not in _DOMAINS:
            raise self.unfit(f"operators of the domain {name!r}")

    def attribute_type(self, value: int) -> None:
        if value not in _ATTRIBUTE_TYPES:
            raise self.unfit(f"an attribute of type {value}, a graph or worse")

    def data_location(self, value: int) -> None:
        if value != 0:
            raise self.unfit(_EXTERNAL)

    def unfit(self, what: str) -> StancewireError:
        return StancewireError(
            f"{self._where} has {what}, which no model of stancewire's needs: it is not run. "
            "Take models from people you trust, exported by stancewire export"
        )

    def broken(self, why: str) -> StancewireError:
        return StancewireError(
            f"{self._where} is not an ONNX file that can be read ({why}): "
            "take a fresh copy of the model folder"
        )

    def _field(self, position: int, end: int) -> tuple[int, int, int, int, int]:
        # Its number, its type, its value if that is a number; where its content starts and ends.
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise self.unfit(f"more than {_MAX_FIELDS:,} fields")
        tag, position = self._varint(position, end)
        number, wire, value, start = tag >> 3, tag & 7, 0, position
        if wire == _VARINT:
            value, position = self._varint(position, end)
        elif wire == _BYTES:
            length, start = self._varint(position, end)
            position = start + length
        elif wire in _FIXED_SIZES:
            position += _FIXED_SIZES[wire]
        else:
            raise self.broken(f"field {number} of type {wire} is none of ONNX's")
        if position > end:
            raise self.broken(f"field {number} is cut short")
        return number, wire, value, start, position

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end and shift < _LONGEST_VARINT:
            byte = self._content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise self.broken("a number is cut short")


_OPSET = _Message(frozenset({2}), texts={1: _Walk.domain})
_TENSOR = _Message(
    frozenset({1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 16}),
    numbers={14: _Walk.data_location},
    refused={
        3: "a tensor in segments",
        6: "a tensor of strings",
        13: _EXTERNAL,
    },
)
_ATTRIBUTE = _Message(
    frozenset({1, 2, 3, 4, 7, 8, 9, 13}),
    nested={5: _TENSOR, 10: _TENSOR},
    numbers={20: _Walk.attribute_type},
    refused=dict.fromkeys((6, 11), "a subgraph (of a loop or a condition)")
    | dict.fromkeys((14, 15), "a type as an attribute")
    | dict.fromkeys((22, 23), "a sparse tensor")
    | {21: "an attribute of a function"},
)
_NODE = _Message(
    frozenset({1, 2, 3, 6, 9}),
    nested={5: _ATTRIBUTE},
    texts={4: _Walk.operator, 7: _Walk.domain},
    refused={8: "an overloaded function", 10: "a device for a node"},
)
_GRAPH = _Message(
    # Inputs, outputs and values are names and types; onnxruntime holds them against the nodes.
    frozenset({2, 10, 11, 12, 13, 14, 16}),
    nested={1: _NODE, 5: _TENSOR},
    refused={15: "a sparse tensor"},
)
_MODEL = _Message(
    frozenset({1, 2, 3, 4, 5, 6, 14}),
    nested={7: _GRAPH, 8: _OPSET},
    refused={20: "training steps", 25: "functions", 26: "a configuration of devices"},
)

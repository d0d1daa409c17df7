"""The values that came with a document, such as its outlet: they come out again, each column of one kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

ColumnKind = Literal["string", "integer", "number", "boolean"]

_LARGEST: Final = 2**63


def column_kinds(values: Mapping[str, Any]) -> dict[str, ColumnKind]:
    """Say of which kind the values of a document are; lists and objects are written as JSON, as strings."""
    return {name: _kind(value) for name, value in values.items()}


def merge_kinds(kinds: Iterable[Mapping[str, ColumnKind]]) -> dict[str, ColumnKind]:
    """Find for each column the kind that holds the values of all documents, in alphabetical order."""
    merged: dict[str, ColumnKind] = {}
    for one in kinds:
        for name, kind in one.items():
            before = merged.get(name, kind)
            if before != kind:
                kind = "number" if {before, kind} == {"integer", "number"} else "string"
            merged[name] = kind
    return dict(sorted(merged.items()))


def as_kind(value: Any, kind: ColumnKind) -> Any:
    """Write a value as one of the kind of its column."""
    if value is None:
        return None
    if kind == "number":
        return float(value)
    if kind != "string" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> ColumnKind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and -_LARGEST <= value < _LARGEST:
        return "integer"
    return "number" if isinstance(value, float) else "string"

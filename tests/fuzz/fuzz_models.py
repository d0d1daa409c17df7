"""Fuzz the readers of a model folder: any bytes as its graph, its tokenizer or its manifest.

What they let pass is run by `tests/fuzz/folders.py`, which makes whole folders.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness import main

PLACE = Path(tempfile.mkdtemp(prefix="stancewire-fuzz-")) / "tokenizer.json"


def one_input(data: bytes) -> None:
    """Read, or refused with a sentence that can be printed; the first byte says as which file."""
    from stancewire.errors import StancewireError
    from stancewire.manifest import parse_manifest
    from stancewire.onnx_reader import MAX_NODES, OPERATORS, check_graph
    from stancewire.tokenizer_reader import read_tokenizer

    kind, content = (data[0] if data else 0) % 3, data[1:]
    try:
        if kind == 0:
            found = check_graph(content, "model.onnx")
            assert found.keys() <= OPERATORS
            assert 0 < sum(found.values()) <= MAX_NODES
        elif kind == 1:
            PLACE.write_bytes(content)
            encoding = read_tokenizer(PLACE, 16).encode("The minister denies it.")
            assert len(encoding.ids) <= 16
        else:
            manifest = parse_manifest(content.decode("utf-8", "replace"), "stance.json")
            assert all(label.isprintable() or label.split() for label in manifest.labels)
            assert parse_manifest(manifest.to_json(), "stance.json") == manifest
    except StancewireError as error:
        assert str(error).replace(str(PLACE), "").isprintable(), ascii(str(error))


if __name__ == "__main__":
    main(one_input, ["stancewire.manifest", "stancewire.onnx_reader", "stancewire.tokenizer_reader"])

"""Fuzz the readers of annotated sentences: any bytes as JSON lines or CSV."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness import main

PLACE = Path(tempfile.mkdtemp(prefix="stancewire-fuzz-"))


def one_input(data: bytes) -> None:
    """Every row is read, or named with its line; the first byte says in which form."""
    from stancewire.annotations import find_span, read_annotations
    from stancewire.errors import StancewireError

    path = PLACE / ("a.csv" if data[:1] > b"\x7f" else "a.jsonl")
    path.write_bytes(data[1:])
    told: list[int] = []
    try:
        sentences = read_annotations(path, on_fault=lambda line, what: told.append(line))
        for sentence in sentences:
            for stance in sentence.stances:
                if stance.target is not None:
                    start, end = find_span(sentence.text, stance.target, stance.target_start)
                    assert sentence.text[start:end] == stance.target
    except StancewireError:
        pass
    assert all(line > 0 for line in told)


if __name__ == "__main__":
    main(one_input, ["stancewire.annotations"])

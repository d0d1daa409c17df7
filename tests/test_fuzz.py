"""What the fuzzing found, and what it begins with, is tried on every harness in each run of the tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
INPUTS = sorted((FUZZ / "corpus").glob("*/*"))
sys.path.insert(0, str(FUZZ))


def test_every_harness_has_a_corpus():
    harnesses = {path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.py")}

    assert harnesses == {path.parent.name for path in INPUTS}


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_kept_input_does_no_harm(path: Path):
    harness = importlib.import_module(f"fuzz_{path.parent.name}")

    harness.one_input(path.read_bytes())


@pytest.mark.parametrize("name", sorted({path.parent.name for path in INPUTS}))
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff", b"r", bytes(range(256))])
def test_a_harness_takes_any_bytes(name: str, data: bytes):
    importlib.import_module(f"fuzz_{name}").one_input(data)

"""Each promise of docs/guarantees.md names tests that are there."""

from __future__ import annotations

import re

from conftest import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROMISES = [line for line in PAGE[: PAGE.index("## How hard")].splitlines() if line.startswith("| ")]


def test_every_promise_names_a_test():
    heads = ("| promise |", "| --- |")

    silent = [line for line in PROMISES if not line.startswith(heads) and "`tests/" not in line]

    assert len(PROMISES) > 30
    assert silent == []


def test_every_test_that_is_named_is_there():
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", PAGE)

    missing = [
        f"{path}::{test}"
        for path, test in named
        if f"\ndef {test}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert len(named) > 40
    assert missing == []

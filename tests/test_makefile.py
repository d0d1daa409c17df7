"""`make score`: what it does with an exit code, with options, and with a package that has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

STANCEWIRE = """#!/bin/sh
echo "stancewire $*"
[ "$1" = report ] || exit {code}
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "installed").touch()
    return tmp_path


def make(clone: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = clone / ".venv" / "bin" / "stancewire"
    command.write_text(STANCEWIRE.format(code=code), encoding="utf-8")
    command.chmod(0o755)
    # Not as a part of the make that may run these tests, which would tell of each folder that it enters.
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=clone, env=alone, capture_output=True, text=True, check=False
    )


def test_score_ends_with_the_report_and_says_where_stancewire_is(clone):
    done = make(clone, "score", "FOLDER=my articles", "OUT=o.csv", "ARGS=--text-column 'full text'")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "stancewire score my articles --out o.csv --overwrite --text-column full text"
    assert lines[1] == "stancewire report o.csv --out o.html --overwrite"
    assert len(lines) == 3
    assert ".venv/bin/stancewire" in lines[2]
    assert ". .venv/bin/activate" in lines[2]


@pytest.mark.parametrize("out", ["o.jsonl", "o/"])
def test_skipped_documents_are_no_fault_of_make(clone, out):
    errors = out.rstrip("/") + ".errors.jsonl"
    (clone / errors).touch()

    done = make(clone, "score", f"OUT={out}", code=1)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"--out {out.split('.')[0].rstrip('/')}.html" in done.stdout
    assert f"Documents were skipped: {errors} " in done.stdout.splitlines()[-2]


def test_where_nothing_was_scored_make_fails_and_reports_nothing(clone):
    done = make(clone, "score", code=2)

    assert done.returncode == 2
    assert "Error 2" in done.stderr
    assert "report" not in done.stdout


def test_a_file_of_the_package_that_changed_is_installed_anew(clone):
    source = clone / "inference" / "stancewire" / "new.py"
    source.parent.mkdir(parents=True)
    source.touch()
    os.utime(source, (1, 1))
    assert make(clone, "-q", "score").returncode == 1  # never up to date: it scores
    assert make(clone, "-q", ".venv/installed").returncode == 0

    source.touch()

    assert make(clone, "-q", ".venv/installed").returncode == 1

"""What the README promises: nothing leaves the machine, and nothing is left in the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# onnxruntime is quiet by itself where these are set: they would make the tests pass for the wrong reason.
_QUIET = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")


def run_at_home(code: str, home: Path, **variables: str) -> list[str]:
    """Run code in a fresh process whose home folder is `home`, and list the files that it leaves there."""
    kept = {name: value for name, value in os.environ.items() if name not in (*_QUIET, "XDG_CACHE_HOME")}
    environment = kept | {"HOME": str(home), "USERPROFILE": str(home)} | variables
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_scoring_leaves_nothing_in_the_home_folder(tiny_model, tmp_path):
    code = (
        "from stancewire import StanceClassifier; "
        f"StanceClassifier.load({str(tiny_model)!r}).score_article('They denied it. It rained.')"
    )

    assert run_at_home(code, tmp_path) == []


def test_the_training_side_turns_onnxruntime_off_before_it_starts(tmp_path):
    pytest.importorskip("torch")

    assert run_at_home("import stancewire_training.graph", tmp_path) == []


def test_who_wants_onnxruntimes_telemetry_may_have_it():
    code = "import os, stancewire; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'"

    subprocess.run([sys.executable, "-c", code], env=os.environ | {"ORT_DISABLE_TELEMETRY": "0"}, check=True)

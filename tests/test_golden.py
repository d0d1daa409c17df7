"""The shipped model's figures on 20 sentences of our own, here and on a processor without VNNI."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import skip_or_fail

from stancewire import StanceClassifier

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))
TEXTS = [entry["text"] for entry in GOLDEN["sentences"]]
EXPECTED = np.array([entry["probabilities"] for entry in GOLDEN["sentences"]])

SCORE = (
    "import json, sys; from stancewire import StanceClassifier; "
    "print(json.dumps(StanceClassifier.load(threads=1).probabilities(json.loads(sys.argv[1])).tolist()))"
)


@pytest.fixture(scope="module")
def shipped() -> StanceClassifier:
    return StanceClassifier.load()


def test_the_golden_figures_are_those_of_the_shipped_model(shipped):
    assert shipped.digest == GOLDEN["digest"]
    assert list(shipped.labels) == GOLDEN["labels"]


def test_the_shipped_model_gives_its_golden_probabilities(shipped):
    np.testing.assert_allclose(shipped.probabilities(TEXTS), EXPECTED, atol=1e-3)


def test_golden_sentences_hold_the_stances_that_the_codebook_gives_them(shipped):
    wrong = [
        (entry["text"], stances)
        for entry, prediction in zip(GOLDEN["sentences"], shipped.predict(TEXTS), strict=True)
        if (stances := sorted(s.label for s in prediction.stances)) != sorted(entry["stances"])
    ]

    assert len(wrong) <= GOLDEN["wrong_at_most"], wrong


@pytest.mark.slow
def test_a_processor_without_vnni_gives_the_same_probabilities():
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        skip_or_fail("qemu", "qemu-x86_64 (Debian's qemu-user) is not installed")

    done = subprocess.run(
        [emulator, "-cpu", "Haswell", sys.executable, "-c", SCORE, json.dumps(TEXTS)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    change = np.abs(np.array(json.loads(done.stdout)) - EXPECTED)
    # A range that falls on the other side of a rounding moves a whole sentence: one of the twenty, by 0.007.
    assert (change.max(axis=1) <= 1e-3).mean() >= 0.9
    assert change.max() <= 0.02


def test_the_shipped_model_loads_in_under_half_a_second(tmp_path):
    code = (
        "import time; from stancewire import StanceClassifier; import stancewire.classifier; "
        "start = time.perf_counter(); StanceClassifier.load(); print(time.perf_counter() - start)"
    )

    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]

    assert min(times) < 0.5


def test_a_long_sentence_is_read_to_its_end(shipped):
    filler = (
        "The committee met on Tuesday and the minutes of the session before were read out and approved " * 12
    )
    said = "and the minister warned that any ship that enters the strait will be sunk."

    cut = shipped.predict(filler)
    whole = shipped.predict(filler + said)

    assert whole.probabilities["threat"] > cut.probabilities["threat"] + 0.3

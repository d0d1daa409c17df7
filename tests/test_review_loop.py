"""Once around: score, review, answer by a script, import, train on, and the corrected sentences are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import config_values, seed_rows

pytest.importorskip("torch")

import yaml
from typer.testing import CliRunner

from stancewire import StanceClassifier
from stancewire.annotations import read_annotations
from stancewire.cli import app

NAMES = ("minister", "general", "president", "union", "company", "spokesman", "ambassador", "mayor")
ACTS = {
    "denied": "denial",
    "accused": "accusation",
    "warned": "threat",
    "promised": "reassurance",
    "opened": None,
}


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def truth(text: str) -> set[str]:
    """Say what a coder says, who goes by the verb."""
    return {label for verb, label in ACTS.items() if label and f" {verb} " in text}


def answer(tasks: Path, done: Path) -> Path:
    """Answer the tasks as somebody does in Label Studio: each looked at, and put right."""
    values = json.loads(tasks.read_text(encoding="utf-8"))
    for number, task in enumerate(values, 1):
        choices = {"choices": sorted(truth(task["data"]["text"]))}
        result = {"from_name": "stances", "to_name": "text", "type": "choices", "value": choices}
        task |= {"id": number, "annotations": [{"completed_by": 1, "result": [result]}]}
    done.write_text(json.dumps(values), encoding="utf-8")
    return done


@pytest.mark.slow
def test_corrected_sentences_come_out_right_after_training_on_them(tmp_path, tiny_model, tiny_encoder):
    articles, corpus = tmp_path / "articles", tmp_path / "my-corpus"
    articles.mkdir()
    # No two sentences are alike but for the verbs: those that are get passed over.
    words = sorted({word for row in seed_rows("train", 160) for word in re.findall("[a-z]{4,}", row["text"])})
    for number, name in enumerate(NAMES):
        sentences = [
            f"The {name} {verb} {' '.join(words[(number * len(ACTS) + act) :: 40][:5])}."
            for act, verb in enumerate(ACTS)
        ]
        (articles / f"{name}.txt").write_text(" ".join(sentences), encoding="utf-8")
    values = config_values(
        tiny_encoder, corpus, epochs=60, learning_rate=3e-3, early_stopping_patience=60, batch_size=4
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    scores, tasks = tmp_path / "scores.jsonl", tmp_path / "tasks.json"

    run("score", articles, "--model", tiny_model, "--out", scores, "--any-language")
    run("review", scores, "--uncertain", 60, "--out", tasks)
    done = answer(tasks, tmp_path / "tasks-done.json")
    run("import", done, "--into", corpus / "train")
    run("import", done, "--into", corpus / "validation")
    run("train", tmp_path / "config.yaml", "--from", tiny_model, "--out", tmp_path / "run")
    run("export", tmp_path / "run", "--out", tmp_path / "model")

    corrected = read_annotations(corpus / "train" / "tasks-done.jsonl")
    before, after = (StanceClassifier.load(model) for model in (tiny_model, tmp_path / "model"))
    right = [
        sum({stance.label for stance in model.predict(one.text).stances} == one.labels for one in corrected)
        for model in (before, after)
    ]
    assert len(corrected) >= 30
    assert right[0] < 0.8 * len(corrected)
    assert right[1] >= 0.95 * len(corrected)

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import config_values, seed_rows, write_corpus
from transformers import pipeline

from stancewire import StanceClassifier, StancewireError
from stancewire_training import trainer as trainer_module
from stancewire_training.calibration import fit_platt, fold_into, sigmoid
from stancewire_training.checkpoint import from_shipped, write_transformers
from stancewire_training.config import parse_config
from stancewire_training.export import export
from stancewire_training.graph import read_parameters, to_onnx
from stancewire_training.model import compute_logits, load_checkpoint
from stancewire_training.record import read_record
from stancewire_training.sampling import LikeLengthSampler
from stancewire_training.trainer import train

OWN_LABELS = ["promise", "appeal", "praise", "warning", "demand"]
OWN_SENTENCES = [
    ("We shall mend the bridge before the first snow.", "promise"),
    ("Please come to the square and bring a lantern.", "appeal"),
    ("The firefighters of Osterby were braver than anyone.", "praise"),
    ("The ice on the lake will not carry a horse.", "warning"),
    ("Give the herders back their summer pasture.", "demand"),
    ("The ferry leaves at noon.", None),
]


@pytest.fixture
def values(tiny_encoder: Path, tiny_corpus: Path) -> dict:
    return config_values(tiny_encoder, tiny_corpus, epochs=2)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_weights(values, tmp_path):
    config = parse_config(values, "test")

    first = train(config, tmp_path / "first").folder
    second = train(config, tmp_path / "second").folder

    assert weights(first) == weights(second)


def test_an_interrupted_training_resumed_gives_the_weights_of_an_uninterrupted_one(
    values, tmp_path, monkeypatch
):
    config = parse_config(values, "test")
    whole = train(config, tmp_path / "whole").folder

    # The name is part of a checkpoint.
    class EarlyStoppingCallback(trainer_module.EarlyStoppingCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            if state.epoch and state.epoch >= 1:
                raise KeyboardInterrupt

    make = trainer_module.EarlyStoppingCallback
    monkeypatch.setattr(trainer_module, "EarlyStoppingCallback", EarlyStoppingCallback)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut")
    monkeypatch.setattr(trainer_module, "EarlyStoppingCallback", make)

    with pytest.raises(StancewireError, match="--resume"):
        train(config, tmp_path / "cut")
    resumed = train(config, tmp_path / "cut", resume=True).folder

    assert weights(resumed) == weights(whole)


def test_another_label_set_trains_without_a_change_of_code(tiny_encoder, tmp_path):
    rows = [
        {
            "text": text,
            "doc": None,
            "i": None,
            "stances": [
                {"label": label, "source": None, "source_start": None, "target": None, "target_start": None}
            ]
            if label
            else [],
        }
        for text, label in OWN_SENTENCES
    ]
    corpus = write_corpus(tmp_path / "corpus", {"train": rows, "validation": rows}, OWN_LABELS)
    config = parse_config(config_values(tiny_encoder, corpus, epochs=1), "test")

    model = export(train(config, tmp_path / "run").folder, tmp_path / "model").folder

    assert StanceClassifier.load(model).labels == tuple(OWN_LABELS)


def test_a_finished_folder_is_refused_and_kept(tiny_checkpoint, values):
    before = weights(tiny_checkpoint)

    with pytest.raises(StancewireError, match="holds a finished model"):
        train(parse_config(values, "test"), tiny_checkpoint)

    assert weights(tiny_checkpoint) == before


def test_a_fault_of_the_users_leaves_the_folder_that_would_be_overwritten(tiny_checkpoint, values):
    values["data"]["corpus"] = "no-such-folder"
    before = weights(tiny_checkpoint)

    with pytest.raises(StancewireError, match="no-such-folder"):
        train(parse_config(values, "test"), tiny_checkpoint, overwrite=True)

    assert weights(tiny_checkpoint) == before


def test_the_result_folder_holds_no_pickle_and_the_whole_config(tiny_checkpoint):
    names = {path.name for path in tiny_checkpoint.iterdir() if path.name != "checkpoints"}

    assert {"model.safetensors", "config.json", "config.yaml", "training.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert read_record(tiny_checkpoint).labels == ("threat", "reassurance", "accusation", "denial")


def test_pipeline_torch_and_onnx_give_the_same_probabilities(tiny_checkpoint, tmp_path):
    import onnxruntime

    model, tokenizer = load_checkpoint(tiny_checkpoint)
    rows = [row["text"] for row in seed_rows("test", 60)]
    texts = [text for text in rows if len(tokenizer(text)["input_ids"]) <= tokenizer.model_max_length]
    expected = sigmoid(compute_logits(model, tokenizer, texts))

    classify = pipeline("text-classification", model=str(tiny_checkpoint), top_k=None)
    piped = [{row["label"]: row["score"] for row in rows} for rows in classify(texts, truncation=True)]
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    ids = tokenizer(texts, truncation=True)["input_ids"]
    traced = [sigmoid(session.run(None, {"input_ids": np.array([row])})[0][0]) for row in ids]

    labels = read_record(tiny_checkpoint).labels
    np.testing.assert_allclose([[row[label] for label in labels] for row in piped], expected, atol=1e-4)
    np.testing.assert_allclose(traced, expected, atol=1e-4)


def test_the_sampler_brings_every_sentence_once_and_like_lengths_together():
    lengths = np.random.default_rng(0).integers(5, 60, size=1003).tolist()

    indices = list(LikeLengthSampler(lengths, 8))

    spread = [np.ptp([lengths[i] for i in indices[at : at + 8]]) for at in range(0, 1000, 8)]
    assert sorted(indices) == list(range(1003))
    assert np.median(spread) <= 5


def test_platt_recovers_a_slope_and_an_intercept_and_folding_is_applying_them():
    import torch

    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 1)).astype(np.float32)
    targets = (generator.random((20_000, 1)) < sigmoid(2 * logits - 1)).astype(np.float32)
    layer = torch.nn.Linear(3, 1)
    inputs = torch.randn(5, 3)
    before = layer(inputs).detach().numpy()

    calibration = fit_platt(logits, targets, ["a"])
    fold_into(layer, calibration)

    assert calibration.slopes[0] == pytest.approx(2, abs=0.1)
    assert calibration.intercepts[0] == pytest.approx(-1, abs=0.1)
    after = calibration.slopes[0] * before + calibration.intercepts[0]
    np.testing.assert_allclose(layer(inputs).detach().numpy(), after, atol=1e-5)


def test_an_export_is_self_contained_and_refused_past_the_limits(tiny_checkpoint, tiny_model):
    assert {p.name for p in tiny_model.iterdir()} == {
        "model.onnx",
        "tokenizer.json",
        "stance.json",
        "README.md",
    }
    tokenizer = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))
    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None
    with pytest.raises(StancewireError, match="exists"):
        export(tiny_checkpoint, tiny_model)


def test_an_export_replaces_a_folder_whole_and_leaves_no_litter(tiny_checkpoint, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    (out / "older.txt").write_text("older", encoding="utf-8")

    export(tiny_checkpoint, out, overwrite=True)

    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (out / "older.txt").exists()


def test_from_shipped_restores_every_parameter_and_the_probabilities(tiny_checkpoint, tiny_model):
    original, tokenizer = load_checkpoint(tiny_checkpoint)
    rebuilt, _ = from_shipped(tiny_model)
    texts = [row["text"] for row in seed_rows("test", 12)]

    wanted, found = dict(original.named_parameters()), dict(rebuilt.named_parameters())
    assert set(found) == set(wanted) == set(read_parameters(tiny_model / "model.onnx"))
    for name, parameter in wanted.items():
        step = float(parameter.detach().abs().max()) / 50
        assert float((found[name] - parameter).abs().max()) <= step
    probabilities = sigmoid(compute_logits(rebuilt, tokenizer, texts))
    change = np.abs(probabilities - sigmoid(compute_logits(original, tokenizer, texts)))
    # The tiny model's random weights round worse than trained ones: all but a few are within 0.05.
    assert (change <= 0.05).mean() >= 0.95
    assert change.max() <= 0.1


@pytest.mark.slow
def test_the_shipped_model_loads_in_transformers(tmp_path):
    folder = write_transformers("stance-small", tmp_path / "checkpoint")
    code = (
        "import sys, stancewire_training; from transformers import pipeline; "
        "p = pipeline('text-classification', model=sys.argv[1], top_k=None); "
        "print(p('The airline denied it.')[0])"
    )

    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "denial" in done.stdout

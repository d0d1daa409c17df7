"""Training from a config file: the same weights each time, any labels, nothing lost, nothing hidden."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, config_values, seed_rows, write_corpus

torch = pytest.importorskip("torch")

import onnxruntime  # noqa: E402
import yaml  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import pipeline  # noqa: E402

from stancewire import StanceClassifier, StancewireError  # noqa: E402
from stancewire.runtime import sigmoid  # noqa: E402
from stancewire_training import trainer as trainer_module  # noqa: E402
from stancewire_training.config import Config, parse_config, read_config  # noqa: E402
from stancewire_training.data import load_corpus  # noqa: E402
from stancewire_training.export import export  # noqa: E402
from stancewire_training.graph import to_onnx  # noqa: E402
from stancewire_training.model import build_model, compute_logits, load_checkpoint, load_tokenizer  # noqa: E402
from stancewire_training.record import TrainingRecord, read_record  # noqa: E402
from stancewire_training.sampling import LikeLengthSampler  # noqa: E402
from stancewire_training.trainer import encode_split, make_optimizer, train  # noqa: E402

OWN_LABELS = ["promise", "appeal", "praise", "warning", "demand"]
OWN_SENTENCES = [
    ("We shall mend the bridge before the first snow.", ["promise"]),
    ("By spring every pupil will have a desk, the headmistress said.", ["promise"]),
    ("You have my word that the well will be dug.", ["promise"]),
    ("The mill will pay back every farmer, its owner vowed.", ["promise"]),
    ("I will return your boat on Sunday.", ["promise"]),
    ("Please come to the square and bring a lantern.", ["appeal"]),
    ("The widow asked her neighbours to lend a hand.", ["appeal"]),
    ("Whoever saw the grey mare, kindly tell the stable.", ["appeal"]),
    ("We beg the harbour master to wait one more day.", ["appeal"]),
    ("Spare a coin for the roof of the chapel.", ["appeal"]),
    ("The firefighters of Osterby were braver than anyone.", ["praise"]),
    ("Never was a cake so light, the judges agreed.", ["praise"]),
    ("Her patience with the beginners is a gift.", ["praise"]),
    ("The new choir sang splendidly.", ["praise"]),
    ("Well done, wrote the mayor to the gardeners.", ["praise"]),
    ("The ice on the lake will not carry a horse.", ["warning"]),
    ("Beware of the dog behind the bakery.", ["warning"]),
    ("The doctor cautioned that the water is not clean.", ["warning"]),
    ("Mind the third step, it is loose.", ["warning"]),
    ("A storm is coming, and the nets are still out.", ["warning"]),
    ("Give the herders back their summer pasture.", ["demand"]),
    ("The weavers insist on a shorter day.", ["demand"]),
    ("Return the keys by noon, the landlord wrote.", ["demand"]),
    ("The pupils want the old playground restored, and now.", ["demand"]),
    ("Remove that fence at once.", ["demand"]),
    ("Please be careful, the path is steep.", ["appeal", "warning"]),
    ("If you pay us today, we shall work all night.", ["promise", "demand"]),
    ("The ferry leaves at noon.", []),
    ("It rained on the day of the fair.", []),
    ("The library has two floors.", []),
    ("Apples cost more than last year.", []),
    ("The bus stopped in front of the school.", []),
]


@pytest.fixture
def values(tiny_encoder: Path, tiny_corpus: Path) -> dict:
    return config_values(tiny_encoder, tiny_corpus, epochs=2)


@pytest.fixture
def finished(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of a finished training that a test may harm."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "finished")


@pytest.fixture
def own_corpus(tmp_path: Path) -> Path:
    rows = [
        {"text": text, "stances": [{"label": label, "source": None, "target": None} for label in labels]}
        for text, labels in OWN_SENTENCES
    ]
    return write_corpus(tmp_path / "corpus", {"train": rows, "validation": rows[::2]}, OWN_LABELS)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def train_until(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Train, and press ctrl-C when that many epochs are over."""

    # The name is part of a checkpoint.
    class EarlyStoppingCallback(trainer_module.EarlyStoppingCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            if (state.epoch or 0) >= epoch:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module, "EarlyStoppingCallback", EarlyStoppingCallback)
        train(config, out)


def train_all_but_the_end(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and press ctrl-C when only the calibration is left to do."""

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module, "_calibrate", interrupt)
        train(config, out)


def run_python(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_seed_gives_the_same_weights_bit_for_bit(values, tmp_path):
    config = parse_config(values, "test")

    first = train(config, tmp_path / "first").folder
    second = train(config, tmp_path / "second").folder

    assert weights(first) == weights(second)
    assert (first / "training.json").read_bytes() == (second / "training.json").read_bytes()


def test_another_seed_gives_other_weights(values, tmp_path):
    values["training"]["epochs"] = 1
    first = train(parse_config(values, "test"), tmp_path / "first").folder
    values["training"]["seed"] = 2

    second = train(parse_config(values, "test"), tmp_path / "second").folder

    assert weights(first) != weights(second)


def test_an_interrupted_training_resumed_gives_the_weights_of_an_uninterrupted_one(
    values, tmp_path, monkeypatch
):
    config = parse_config(values, "test")
    whole = train(config, tmp_path / "whole").folder
    train_until(config, tmp_path / "cut", monkeypatch, epoch=1)

    resumed = train(config, tmp_path / "cut", resume=True).folder

    assert weights(resumed) == weights(whole)
    assert (resumed / "training.json").read_bytes() == (whole / "training.json").read_bytes()


def test_resuming_passes_over_a_checkpoint_that_was_cut_short(values, tmp_path, monkeypatch):
    config = parse_config(values, "test")
    whole = train(config, tmp_path / "whole").folder
    train_until(config, tmp_path / "cut", monkeypatch, epoch=1)
    half = tmp_path / "cut" / "checkpoints" / "checkpoint-20"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    (half / "trainer_state.json").write_text('{"epoch": 2')

    resumed = train(config, tmp_path / "cut", resume=True).folder

    assert weights(resumed) == weights(whole)


def test_a_training_interrupted_before_its_first_checkpoint_is_resumed_from_the_start(
    values, tmp_path, monkeypatch
):
    values["training"]["epochs"] = 1
    config = parse_config(values, "test")
    whole = train(config, tmp_path / "whole").folder
    train_until(config, tmp_path / "cut", monkeypatch, epoch=0)

    resumed = train(config, tmp_path / "cut", resume=True).folder

    assert weights(resumed) == weights(whole)


def test_resuming_after_an_early_stop_trains_no_further(values, tmp_path, monkeypatch):
    values["training"] |= {"epochs": 12, "early_stopping_patience": 1}
    config = parse_config(values, "test")
    whole = train(config, tmp_path / "whole").folder
    train_all_but_the_end(config, tmp_path / "cut", monkeypatch)

    resumed = train(config, tmp_path / "cut", resume=True).folder

    assert checkpoints(resumed) == checkpoints(whole)
    assert weights(resumed) == weights(whole)


def test_early_stopping_keeps_the_best_epoch(values, tmp_path):
    values["training"] |= {"epochs": 12, "early_stopping_patience": 1}

    folder = train(parse_config(values, "test"), tmp_path / "run").folder

    last = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name.rpartition("-")[2]))
    state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
    best = load_file(folder / "checkpoints" / f"checkpoint-{state['best_global_step']}" / "model.safetensors")
    kept = load_file(folder / "model.safetensors")
    assert state["best_global_step"] < state["global_step"] < 120
    # The last layer has the calibration folded in.
    assert [name for name in best if not torch.equal(best[name], kept[name])] == [
        "classifier.bias",
        "classifier.weight",
    ]


@pytest.mark.parametrize("changes", [{"gradient_accumulation": 3}, {"bf16": True}])
def test_it_trains_with_gradient_accumulation_and_in_bfloat16(values, tmp_path, changes):
    values["training"] |= {"epochs": 1} | changes

    folder = train(parse_config(values, "test"), tmp_path / "run").folder

    saved = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved.values())


def test_another_label_set_trains_without_a_change_of_code(tiny_encoder, own_corpus, tmp_path):
    values = config_values(
        tiny_encoder,
        own_corpus,
        epochs=15,
        batch_size=8,
        learning_rate=0.001,
        head_learning_rate=0.1,
        hidden_dropout=0.0,
        early_stopping_patience=15,
    )
    config = parse_config(values, "test")

    run = train(config, tmp_path / "run").folder
    classifier = StanceClassifier.load(export(run, tmp_path / "model").folder)

    prediction = classifier.predict(OWN_SENTENCES[0][0])
    assert classifier.labels == tuple(OWN_LABELS)
    assert list(prediction.probabilities) == OWN_LABELS
    assert read_record(run).figures["validation"]["macro_f1"]["value"] > 0.8


def test_no_module_names_a_label_of_the_corpus():
    labels = re.compile("|".join(load_corpus(ROOT / "seeds").labels), re.IGNORECASE)
    modules = [*(ROOT / "inference").rglob("*.py"), *(ROOT / "training").rglob("*.py")]

    assert len(modules) > 30
    assert [str(path) for path in modules if labels.search(path.read_text(encoding="utf-8"))] == []


def test_targets_are_multi_hot_float32_and_sentences_are_cut_at_the_token_budget(own_corpus, tiny_encoder):
    corpus = load_corpus(own_corpus)
    tokenizer = load_tokenizer(tiny_encoder, 8)

    split = encode_split(corpus, "train", tokenizer)

    targets = np.array(split["labels"])
    assert split.features["labels"].feature.dtype == "float32"
    assert targets.sum(axis=0).tolist() == [6, 6, 5, 6, 6]
    assert targets[25].tolist() == [0, 1, 0, 1, 0]
    assert targets[-1].tolist() == [0, 0, 0, 0, 0]
    assert split["length"] == [len(ids) for ids in split["input_ids"]]
    assert max(split["length"]) == 8


def test_the_head_has_a_rate_of_its_own_and_biases_and_norms_no_decay(values, tiny_encoder):
    config = parse_config(values, "test")
    model = build_model(config, tiny_encoder, OWN_LABELS)

    groups = make_optimizer(model, config).param_groups

    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {
        names[entry]: (group["lr"], group["weight_decay"]) for group in groups for entry in group["params"]
    }
    assert len(found) == len(names)
    assert found["classifier.weight"] == (1e-3, 0.01)
    assert found["classifier.bias"] == (1e-3, 0.0)
    assert found["encoder.embeddings.word_embeddings.weight"] == (5e-3, 0.01)
    assert found["encoder.embeddings.LayerNorm.weight"] == (5e-3, 0.0)


def test_the_sampler_brings_every_sentence_once_and_like_lengths_together():
    lengths = np.random.default_rng(0).integers(5, 60, size=1003).tolist()

    indices = list(LikeLengthSampler(lengths, 8))

    spread = [np.ptp([lengths[i] for i in indices[at : at + 8]]) for at in range(0, 1000, 8)]
    assert sorted(indices) == list(range(1003))
    assert np.median(spread) <= 5


def test_a_finished_folder_is_refused_and_kept(finished, values):
    before = contents(finished)

    with pytest.raises(StancewireError, match=r"holds a finished model.*--overwrite"):
        train(parse_config(values, "test"), finished)

    assert contents(finished) == before


def test_a_finished_folder_is_not_resumed(finished, values):
    with pytest.raises(StancewireError, match="holds a finished model"):
        train(parse_config(values, "test"), finished, resume=True)


def test_a_finished_folder_is_replaced_when_asked(finished, values):
    values["training"]["epochs"] = 1
    (finished / "notes.txt").write_text("older", encoding="utf-8")
    before = weights(finished)

    train(parse_config(values, "test"), finished, overwrite=True)

    assert weights(finished) != before
    assert not (finished / "notes.txt").exists()


def test_an_unfinished_folder_is_refused_with_both_ways_out(values, tmp_path, monkeypatch):
    config = parse_config(values, "test")
    train_until(config, tmp_path / "cut", monkeypatch, epoch=1)

    with pytest.raises(StancewireError, match="--resume goes on with it, --overwrite starts anew"):
        train(config, tmp_path / "cut")


def test_an_unfinished_folder_is_not_resumed_with_another_config(values, tmp_path, monkeypatch):
    train_until(parse_config(values, "test"), tmp_path / "cut", monkeypatch, epoch=1)
    values["training"]["learning_rate"] = 1e-3

    with pytest.raises(StancewireError, match=r"config\.yaml differs from the config given"):
        train(parse_config(values, "test"), tmp_path / "cut", resume=True)


def test_there_must_be_something_to_resume(values, tmp_path):
    with pytest.raises(StancewireError, match="leave out --resume"):
        train(parse_config(values, "test"), tmp_path / "nothing", resume=True)

    assert not (tmp_path / "nothing").exists()


def test_one_cannot_resume_and_overwrite(finished, values):
    before = contents(finished)

    with pytest.raises(StancewireError, match="give one of the two"):
        train(parse_config(values, "test"), finished, resume=True, overwrite=True)

    assert contents(finished) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_holds_something_else_is_left_alone(values, tmp_path, overwrite):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "config.yaml").write_text("mine", encoding="utf-8")

    with pytest.raises(StancewireError, match="holds something else than a training"):
        train(parse_config(values, "test"), tmp_path / "thesis", overwrite=overwrite)

    assert contents(tmp_path / "thesis") == {"config.yaml": b"mine"}


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "corpus", "no-such-folder"),
        ("data", "max_length", 4096),
        ("encoder", "name", "someone/no-such-encoder"),
        ("encoder", "sha256", "0" * 64),
    ],
)
def test_a_fault_of_the_users_leaves_the_folder_that_would_be_overwritten(
    finished, values, section, key, value
):
    values[section][key] = value
    before = contents(finished)

    with pytest.raises(StancewireError, match=re.escape(str(value))):
        train(parse_config(values, "test"), finished, overwrite=True)

    assert contents(finished) == before


def test_the_encoder_of_a_training_is_not_overwritten_by_it(finished, values):
    before = contents(finished)

    with pytest.raises(StancewireError, match="holds the encoder"):
        train(parse_config(values, "test"), finished, encoder=finished, overwrite=True)

    assert contents(finished) == before


def test_the_result_folder_holds_what_it_should_and_no_pickle(tiny_checkpoint):
    names = {path.name for path in tiny_checkpoint.iterdir()}

    assert names == {
        "checkpoints",
        "config.json",
        "config.yaml",
        "model.safetensors",
        "README.md",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }


def test_the_saved_config_is_the_one_given_with_every_key(tiny_checkpoint, tiny_encoder, tiny_corpus):
    given = parse_config(config_values(tiny_encoder, tiny_corpus), "test")

    assert read_config(tiny_checkpoint / "config.yaml") == given


def test_a_checkpoint_is_of_its_own_model_type_and_carries_no_code(tiny_checkpoint):
    config = json.loads((tiny_checkpoint / "config.json").read_text(encoding="utf-8"))

    assert config["model_type"] == "stancewire"
    assert config["problem_type"] == "multi_label_classification"
    assert "auto_map" not in config
    assert list(config["id2label"].values()) == list(read_record(tiny_checkpoint).labels)


def test_the_record_says_what_the_weights_were_made_of(tiny_checkpoint, tiny_corpus, tiny_encoder):
    record = read_record(tiny_checkpoint)

    assert record.corpus_fingerprint == load_corpus(tiny_corpus).fingerprint
    assert record.corpus_sentences == {"train": 160, "validation": 60, "test": 40}
    assert record.encoder_sha256 == weights(tiny_encoder)
    assert record.seed == 1
    assert {"stancewire", "torch", "transformers", "datasets", "python"} <= set(record.versions)
    assert set(record.figures) == {"validation", "test"}


def test_the_model_card_of_a_training_names_encoder_licence_and_figures(tiny_checkpoint, tiny_encoder):
    card = (tiny_checkpoint / "README.md").read_text(encoding="utf-8")

    record = read_record(tiny_checkpoint)
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == str(tiny_encoder)
    assert front["license"] == "apache-2.0"
    assert "It was trained before on Microsoft's MiniLM" in card
    assert f"Macro-F1 {record.figures['validation']['macro_f1']['value']:.3f}" in card
    assert "What int8 changes" not in card


def test_thresholds_and_slopes_are_as_the_config_says(values, tmp_path):
    values["training"]["epochs"] = 1
    values["calibration"] = {"method": "none", "thresholds": "half"}

    record = train(parse_config(values, "test"), tmp_path / "run").record

    assert record.thresholds == (0.5,) * 4
    assert record.slopes == (1.0,) * 4
    assert record.intercepts == (0.0,) * 4


def test_pipeline_torch_and_onnx_give_the_same_probabilities(tiny_checkpoint, tiny_model):
    model, tokenizer = load_checkpoint(tiny_checkpoint)
    rows = [row["text"] for row in seed_rows("test", 60)]
    texts = [text for text in rows if len(tokenizer(text)["input_ids"]) <= tokenizer.model_max_length]
    expected = sigmoid(compute_logits(model, tokenizer, texts))

    classify = pipeline("text-classification", model=str(tiny_checkpoint), top_k=None)
    piped = [{row["label"]: row["score"] for row in rows} for rows in classify(texts)]
    batched = [{row["label"]: row["score"] for row in rows} for rows in classify(texts, batch_size=8)]
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    ids = tokenizer(texts)["input_ids"]
    traced = [sigmoid(session.run(None, {"input_ids": np.array([row])})[0][0]) for row in ids]
    shipped = StanceClassifier.load(tiny_model).probabilities(texts)

    labels = read_record(tiny_checkpoint).labels
    np.testing.assert_allclose([[row[label] for label in labels] for row in piped], expected, atol=1e-4)
    np.testing.assert_allclose([[row[label] for label in labels] for row in batched], expected, atol=1e-4)
    np.testing.assert_allclose(traced, expected, atol=1e-4)
    np.testing.assert_allclose(shipped, expected, atol=0.1)


def test_a_sentence_beyond_the_token_budget_is_read_in_the_windows_of_the_runtime(
    tiny_checkpoint, tiny_model
):
    model, tokenizer = load_checkpoint(tiny_checkpoint)
    text = " ".join(row["text"] for row in seed_rows("test", 12))

    found = sigmoid(compute_logits(model, tokenizer, [text]))

    np.testing.assert_allclose(StanceClassifier.load(tiny_model).probabilities([text]), found, atol=0.1)


def test_a_record_comes_back_from_its_json(tiny_checkpoint, tmp_path):
    record = dataclasses.replace(read_record(tiny_checkpoint), figures={"test": {"f1": math.nan}})
    (tmp_path / "training.json").write_text(record.to_json(), encoding="utf-8")

    again = read_record(tmp_path)

    assert again == dataclasses.replace(record, figures={"test": {"f1": None}})
    assert again.to_json() == record.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{}",
        '{"name": "x"}',
        "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_a_record_that_is_none_is_refused_with_its_name(tmp_path, text):
    raw = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "training.json").write_bytes(raw)

    with pytest.raises(StancewireError, match=r"training\.json is not the record of a training"):
        read_record(tmp_path)


@pytest.mark.parametrize("field", [entry.name for entry in dataclasses.fields(TrainingRecord)])
@pytest.mark.parametrize("value", [None, [[]], 1.5])
def test_a_record_with_a_damaged_field_is_refused(tiny_checkpoint, tmp_path, field, value):
    values = json.loads((tiny_checkpoint / "training.json").read_text(encoding="utf-8"))
    (tmp_path / "training.json").write_text(json.dumps(values | {field: value}), encoding="utf-8")

    with pytest.raises(StancewireError, match=field):
        read_record(tmp_path)


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(StancewireError, match=r"has no training\.json"):
        read_record(tmp_path)


@pytest.mark.slow
def test_the_module_explains_itself(tmp_path):
    done = run_python("-m", "stancewire_training", "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "--set" in done.stdout
    assert "--resume" in done.stdout


@pytest.mark.slow
def test_the_module_trains_from_a_config_file_with_overrides(values, tmp_path):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    asked = ("-m", "stancewire_training", "own.yaml", "--set", "training.learning_rate=1e-3")

    done = run_python(*asked, "--set", "training.epochs=1", cwd=tmp_path)
    again = run_python(*asked, "--set", "training.epochs=1", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert read_config(tmp_path / "runs" / "tiny" / "config.yaml").training.learning_rate == 1e-3
    assert again.returncode == 2
    assert "holds a finished model" in again.stderr


@pytest.mark.slow
def test_two_processes_train_together_and_one_of_them_writes(values, tmp_path):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)

    done = run_python(*launch, "-m", "stancewire_training", "own.yaml", "--out", "run", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "run")
    assert record.corpus_sentences["train"] == 160
    # Ten batches an epoch, shared by two.
    assert checkpoints(tmp_path / "run") == ["checkpoint-10", "checkpoint-5"]

"""From a trained folder to a model folder: what it holds, what int8 changes, and that nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import config_values, seed_rows, write_corpus

torch = pytest.importorskip("torch")

import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import transformers  # noqa: E402
import yaml  # noqa: E402

from stancewire import StanceClassifier, StancewireError  # noqa: E402
from stancewire.manifest import read_manifest  # noqa: E402
from stancewire.runtime import sigmoid  # noqa: E402
from stancewire_training.config import parse_config, read_config  # noqa: E402
from stancewire_training.export import export  # noqa: E402
from stancewire_training.graph import quantize, read_parameters, to_onnx  # noqa: E402
from stancewire_training.model import compute_logits, load_checkpoint  # noqa: E402
from stancewire_training.network import StanceConfig, StanceForSequenceClassification  # noqa: E402
from stancewire_training.record import read_record  # noqa: E402
from stancewire_training.trainer import train  # noqa: E402

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
ENCODERS = {
    "bert": transformers.BertConfig(**SMALL),
    "mpnet": transformers.MPNetConfig(**SMALL),
    "roberta": transformers.RobertaConfig(**SMALL),
    "distilbert": transformers.DistilBertConfig(
        vocab_size=60, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64
    ),
}


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the trained folder whose configuration a test may change."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))


@pytest.fixture
def older(tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder that is already there, alone in its parent."""
    return shutil.copytree(tiny_model, tmp_path / "models" / "older")


def set_config(checkpoint: Path, section: str, key: str, value: object) -> None:
    values = yaml.safe_load((checkpoint / "config.yaml").read_text(encoding="utf-8"))
    values[section][key] = value
    (checkpoint / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_folder_holds_four_files_and_its_manifest_is_right(tiny_checkpoint, tiny_model):
    manifest, _ = read_manifest(tiny_model)

    record = read_record(tiny_checkpoint)
    assert sorted(contents(tiny_model)) == ["README.md", "model.onnx", "stance.json", "tokenizer.json"]
    assert sorted(manifest.files) == ["README.md", "model.onnx", "tokenizer.json"]
    assert manifest.labels == record.labels
    assert (manifest.calibration.data, manifest.calibration.sentences) == ("the validation split", 60)
    assert set(manifest.calibration.shares) == set(manifest.calibration.curves) == set(record.labels)
    assert manifest.max_length == record.max_length == 48
    assert manifest.provenance["corpus_fingerprint"] == record.corpus_fingerprint
    assert manifest.provenance["config"] == read_config(tiny_checkpoint / "config.yaml").model_dump()
    assert manifest.provenance["versions"]["torch"] == torch.__version__


def test_the_tokenizer_of_a_model_folder_neither_cuts_nor_pads(tiny_model):
    tokenizer = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))

    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None


def test_the_model_card_gives_the_measured_figures_and_where_the_encoder_is_from(tiny_checkpoint, tiny_model):
    card = (tiny_model / "README.md").read_text(encoding="utf-8")

    config, record = read_config(tiny_checkpoint / "config.yaml"), read_record(tiny_checkpoint)
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == config.encoder.name
    assert front["license"] == "apache-2.0"
    assert config.encoder.trained_on in card
    assert record.corpus_fingerprint in card
    assert f"Macro-F1 {record.figures['test']['macro_f1']['value']:.3f}" in card
    assert "## The test split, in float32, before quantization" in card
    assert "What int8 changes" in card


def test_further_data_is_measured_for_the_model_card(tiny_checkpoint, tiny_corpus, tmp_path):
    data = {"Other sentences": tiny_corpus / "test" / "all.jsonl"}

    folder = export(tiny_checkpoint, tmp_path / "model", evaluations=data).folder

    assert "## Other sentences\n" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_int8_model_stays_within_what_the_export_says_it_measured(tiny_checkpoint, tiny_corpus, tmp_path):
    report = export(tiny_checkpoint, tmp_path / "model")

    model, tokenizer = load_checkpoint(tiny_checkpoint)
    lines = (tiny_corpus / "validation" / "all.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    found = StanceClassifier.load(report.folder).probabilities(texts)
    change = np.abs(found - sigmoid(compute_logits(model, tokenizer, texts))).max()
    assert change == pytest.approx(report.loss.largest_probability_change, abs=1e-5)
    assert change < 0.1
    assert report.model_bytes == (report.folder / "model.onnx").stat().st_size


def test_probabilities_and_thresholds_are_fitted_on_what_is_given(tiny_checkpoint, tiny_corpus, tmp_path):
    data = tiny_corpus / "test" / "all.jsonl"
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]

    folder = export(tiny_checkpoint, tmp_path / "model", calibrate=data).folder

    manifest, _ = read_manifest(folder)
    classifier = StanceClassifier.load(folder)
    share = np.array(
        [[any(s["label"] == label for s in row["stances"]) for label in manifest.labels] for row in rows]
    )
    assert (manifest.calibration.data, manifest.calibration.sentences) == ("all", len(rows))
    assert list(manifest.calibration.shares.values()) == pytest.approx(share.mean(axis=0).tolist())
    # Platt's slope and intercept make the mean probability that of the share, but for his smoothing.
    found = classifier.probabilities([row["text"] for row in rows])
    assert found.mean(axis=0) == pytest.approx(share.mean(axis=0), abs=0.05)
    assert all(manifest.calibration.curves.values())


def test_an_export_gives_the_same_files_each_time(tiny_checkpoint, tiny_model, tmp_path):
    again = export(tiny_checkpoint, tmp_path / "again").folder

    assert contents(again) == contents(tiny_model)


def test_the_last_layer_stays_in_float32_and_the_others_become_int8(tiny_model):
    tensors = {
        tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type)
        for tensor in onnx.load(tiny_model / "model.onnx").graph.initializer
    }

    for head in ("classifier", "span_classifier"):
        assert tensors[f"{head}.weight_Transposed"] == tensors[f"{head}.bias"] == "FLOAT"
    assert tensors["encoder.encoder.layer.0.intermediate.dense.weight_Transposed_quantized"] == "INT8"
    assert tensors["encoder.embeddings.word_embeddings.weight_quantized"] == "INT8"
    assert tensors["encoder.embeddings.position_embeddings.weight"] == "FLOAT"


def test_multiplied_weights_use_seven_bits_so_that_every_processor_gives_the_same(tiny_model):
    graph = onnx.load(tiny_model / "model.onnx").graph
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}

    weights = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name in multiplied]

    assert len(weights) == 12
    assert max(int(np.abs(values.astype(int)).max()) for values in weights) == 64


@pytest.mark.parametrize("name", list(ENCODERS))
def test_an_encoder_of_any_kind_is_traced_and_comes_back_from_int8_whole(name, tmp_path):
    torch.manual_seed(0)
    labels = {0: "praise", 1: "blame", 2: "advice"}
    config = StanceConfig(encoder=ENCODERS[name], id2label=labels, spans=True)
    model = StanceForSequenceClassification(config).eval()

    graph = to_onnx(model)
    quantize(graph, tmp_path / "model.onnx")
    found = read_parameters(tmp_path / "model.onnx")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    for tokens in (3, 8, 60):
        ids = np.random.default_rng(tokens).integers(5, 60, (1, tokens))
        expected = model(input_ids=torch.tensor(ids))
        logits, spans = session.run(None, {"input_ids": ids})
        np.testing.assert_allclose(logits, expected.logits.detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(spans, expected.spans.detach().numpy(), atol=1e-5)
    # Many of an untrained network's parameters are equal: none may stand in for the others.
    wanted = {name: values.detach().numpy() for name, values in model.named_parameters()}
    assert set(found) == set(wanted)
    for parameter, values in wanted.items():
        np.testing.assert_allclose(found[parameter], values, atol=float(np.abs(values).max()) / 50)


def test_a_folder_that_is_there_is_refused_and_kept(tiny_checkpoint, older):
    before = contents(older.parent)

    with pytest.raises(StancewireError, match="add --overwrite"):
        export(tiny_checkpoint, older)

    assert contents(older.parent) == before


def test_a_folder_that_is_no_model_is_not_overwritten(tiny_checkpoint, older):
    before = contents(older.parent)

    with pytest.raises(StancewireError, match="is not a model folder"):
        export(tiny_checkpoint, older.parent, overwrite=True)

    assert contents(older.parent) == before


def test_a_model_folder_is_replaced_whole(tiny_checkpoint, tiny_model, older):
    (older / "baselines.json").write_text("{}", encoding="utf-8")

    export(tiny_checkpoint, older, overwrite=True)

    assert contents(older) == contents(tiny_model)
    assert [path.name for path in older.parent.iterdir()] == ["older"]


@pytest.mark.parametrize("key", ["max_probability_change", "max_macro_f1_drop"])
def test_an_export_past_a_limit_is_refused_and_the_older_folder_kept(checkpoint, older, monkeypatch, key):
    set_config(checkpoint, "export", key, 0.0)
    before = contents(older.parent)
    figures = iter([0.5, 0.4])
    monkeypatch.setattr("stancewire_training.export.macro_f1", lambda *_: next(figures))

    with pytest.raises(StancewireError, match=rf"export\.{key} allows 0\.0"):
        export(checkpoint, older, overwrite=True)

    assert contents(older.parent) == before


@pytest.mark.parametrize("step", ["quantize", "_write_tokenizer", "_measure", "write_card", "_swap_in"])
def test_an_interruption_leaves_the_older_folder_and_no_litter(tiny_checkpoint, older, monkeypatch, step):
    before = contents(older.parent)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"stancewire_training.export.{step}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_checkpoint, older, overwrite=True)

    assert contents(older.parent) == before
    assert [path.name for path in older.parent.iterdir()] == ["older"]


def test_a_fault_between_the_two_renames_brings_the_older_folder_back(tiny_checkpoint, older, monkeypatch):
    before = contents(older.parent)
    replace = os.replace

    def fail_for_the_new_one(source, target):
        if Path(source).name.endswith(".part"):
            raise OSError("no space left on device")
        replace(source, target)

    monkeypatch.setattr("stancewire_training.export.os.replace", fail_for_the_new_one)
    with pytest.raises(OSError, match="no space"):
        export(tiny_checkpoint, older, overwrite=True)

    assert contents(older.parent) == before
    assert [path.name for path in older.parent.iterdir()] == ["older"]


def test_leftovers_of_a_killed_export_are_in_nobodys_way(tiny_checkpoint, tiny_model, tmp_path):
    for leftover in (".model.part", ".model.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "model.onnx").write_bytes(b"half")
    (tmp_path / "model").mkdir()

    export(tiny_checkpoint, tmp_path / "model", overwrite=True)

    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert contents(tmp_path / "model") == contents(tiny_model)


def test_a_corpus_that_changed_since_the_training_is_refused(checkpoint, tiny_corpus, tmp_path):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "corpus")
    with (corpus / "train" / "all.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"text": "The ferry leaves at noon.", "stances": []}) + "\n")
    set_config(checkpoint, "data", "corpus", str(corpus))

    with pytest.raises(StancewireError, match="has changed since the model was trained on it"):
        export(checkpoint, tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_a_corpus_that_is_not_at_hand_is_named(checkpoint, tmp_path):
    set_config(checkpoint, "data", "corpus", str(tmp_path / "nowhere"))

    with pytest.raises(StancewireError, match="nowhere"):
        export(checkpoint, tmp_path / "model")


@pytest.mark.parametrize("missing", ["training.json", "config.yaml", "config.json"])
def test_a_folder_that_no_training_finished_is_refused(checkpoint, tmp_path, missing):
    (checkpoint / missing).unlink()

    with pytest.raises(StancewireError, match=missing):
        export(checkpoint, tmp_path / "model")


def test_damaged_weights_are_refused(checkpoint, tmp_path):
    (checkpoint / "model.safetensors").write_bytes(b"damaged")

    with pytest.raises(StancewireError, match="not a folder that transformers can load"):
        export(checkpoint, tmp_path / "model")


def test_a_model_folder_does_not_say_where_a_local_encoder_lay(tiny_encoder, tmp_path, monkeypatch):
    splits = {"train": seed_rows("train", 60), "validation": seed_rows("validation", 30)}
    labels = ["threat", "reassurance", "accusation", "denial"]
    write_corpus(tmp_path / "corpus", splits, labels)
    values = config_values(tiny_encoder, Path("corpus"), epochs=1)
    values["encoder"]["name"] = "someone/encoder"
    monkeypatch.chdir(tmp_path)

    run = train(parse_config(values, "test"), Path("run"), encoder=tiny_encoder).folder
    folder = export(run, Path("model")).folder

    for file in ("stance.json", "README.md"):
        text = (folder / file).read_text(encoding="utf-8")
        assert str(tiny_encoder) not in text
        assert str(tmp_path) not in text
        assert tiny_encoder.name not in text

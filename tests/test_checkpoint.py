"""From a shipped model folder back to a checkpoint: every weight, the same tokens, training on from it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, config_values, seed_rows, write_corpus
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import onnx  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from stancewire import StanceClassifier, StancewireError  # noqa: E402
from stancewire.runtime import sigmoid  # noqa: E402
from stancewire_training.checkpoint import from_shipped, write_transformers  # noqa: E402
from stancewire_training.config import parse_config  # noqa: E402
from stancewire_training.model import build_model, compute_logits, load_checkpoint  # noqa: E402
from stancewire_training.record import read_record  # noqa: E402
from stancewire_training.trainer import train  # noqa: E402

SHIPPED = ROOT / "models" / "stance-small"


@pytest.fixture(scope="module")
def rebuilt(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transformers(tiny_model, tmp_path_factory.mktemp("rebuilt") / "tiny")


@pytest.fixture
def model_folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may damage."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def half_steps(path: Path) -> dict[str, np.ndarray]:
    """Half a quantization step of each quantized parameter, as the graph's own scales say."""
    graph = onnx.load(path).graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    factors = {}
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            levelled = makers[makers[node.input[0]].input[0]]
            if levelled.op_type == "Mul" and levelled.input[1].endswith("_smoothing"):
                factors[node.input[1].removesuffix("_quantized")] = tensors[levelled.input[1]]
    return {
        name.removesuffix("_scale").removesuffix("_Transposed"): scale.reshape(-1, 1)
        / 2
        * factors.get(name.removesuffix("_scale"), np.ones(1, np.float32))[None, :]
        for name, scale in tensors.items()
        if name.endswith("_scale")
    }


def set_provenance(folder: Path, key: str, value: object) -> None:
    values = json.loads((folder / "stance.json").read_text(encoding="utf-8"))
    if value is None:
        del values["provenance"][key]
    else:
        values["provenance"][key] = value
    (folder / "stance.json").write_text(json.dumps(values), encoding="utf-8")


def test_every_parameter_is_restored_to_within_half_a_quantization_step(tiny_checkpoint, tiny_model):
    original, _ = load_checkpoint(tiny_checkpoint)
    steps = half_steps(tiny_model / "model.onnx")

    rebuilt, _ = from_shipped(tiny_model)

    wanted = {name: values.detach().numpy() for name, values in original.named_parameters()}
    found = {name: values.detach().numpy() for name, values in rebuilt.named_parameters()}
    assert list(found) == list(wanted)
    assert len(steps) == 13
    for name, values in wanted.items():
        assert found[name].shape == values.shape
        assert found[name].dtype == np.float32
        assert (np.abs(found[name] - values) <= steps.get(name, 0.0) * 1.001 + 1e-7).all(), name


def test_the_rebuilt_model_gives_nearly_the_same_probabilities(tiny_checkpoint, tiny_model):
    original, tokenizer = load_checkpoint(tiny_checkpoint)
    texts = [row["text"] for row in seed_rows("test", 40)]

    rebuilt, own_tokenizer = from_shipped(tiny_model)

    change = np.abs(
        sigmoid(compute_logits(rebuilt, own_tokenizer, texts))
        - sigmoid(compute_logits(original, tokenizer, texts))
    )
    assert change.max() <= 0.1
    # The tiny model's weights are random and round worse than trained ones: all but a few keep the bound.
    assert (change <= 0.05).mean() >= 0.95


def test_the_shipped_model_rebuilt_gives_nearly_the_probabilities_of_the_shipped_one():
    texts = [row["text"] for row in seed_rows("test", 100)]
    shipped = StanceClassifier.load(SHIPPED)
    rebuilt, tokenizer = from_shipped("stance-small")

    change = np.abs(sigmoid(compute_logits(rebuilt, tokenizer, texts)) - shipped.probabilities(texts))

    # The weights are the same: what is left is the rounding of int8's activations, which the export limits.
    assert (change <= 0.05).mean() >= 0.95
    assert change.max() <= shipped.manifest.provenance["config"]["export"]["max_probability_change"]


@given(text=st.text(max_size=200))
def test_the_rebuilt_tokenizer_gives_the_same_tokens(tiny_model, rebuilt, text):
    text = text.encode("utf-8", "replace").decode("utf-8")
    _, tokenizer = load_checkpoint(rebuilt)

    ids = tokenizer(text, truncation=False)["input_ids"]

    assert ids == Tokenizer.from_file(str(tiny_model / "tokenizer.json")).encode(text).ids


def test_the_rebuilt_tokenizer_has_the_models_token_budget(rebuilt, tiny_model):
    _, tokenizer = load_checkpoint(rebuilt)

    ids = tokenizer("word " * 200, truncation=True)["input_ids"]

    assert len(ids) == StanceClassifier.load(tiny_model).manifest.max_length


def test_a_rebuilt_checkpoint_carries_no_code_and_no_pickle(rebuilt):
    config = json.loads((rebuilt / "config.json").read_text(encoding="utf-8"))

    assert config["model_type"] == "stancewire"
    assert "auto_map" not in config
    assert {path.suffix for path in rebuilt.iterdir()} == {".json", ".safetensors"}


def test_an_existing_folder_is_not_overwritten(tiny_model, rebuilt):
    before = (rebuilt / "model.safetensors").read_bytes()

    with pytest.raises(StancewireError, match="exists: name another folder"):
        write_transformers(tiny_model, rebuilt)

    assert (rebuilt / "model.safetensors").read_bytes() == before


def test_an_interrupted_rebuilding_leaves_no_litter(tiny_model, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("stancewire_training.checkpoint.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_transformers(tiny_model, tmp_path / "checkpoint")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "README.md"])
def test_a_damaged_folder_is_refused(model_folder, name):
    with (model_folder / name).open("ab") as stream:
        stream.write(b" ")

    with pytest.raises(StancewireError, match=f"{name} is damaged"):
        from_shipped(model_folder)


@pytest.mark.parametrize("key", ["architecture", "tokenizer"])
def test_a_manifest_without_what_rebuilding_needs_is_refused(model_folder, key):
    set_provenance(model_folder, key, None)

    with pytest.raises(StancewireError, match=f"does not give its '{key}'"):
        from_shipped(model_folder)


@pytest.mark.parametrize(
    "architecture",
    [{}, [], {"model_type": "bert"}, {"model_type": "no-such-type"}, {"model_type": "stancewire"}],
)
def test_an_architecture_that_is_none_is_refused(model_folder, architecture):
    set_provenance(model_folder, "architecture", architecture)

    with pytest.raises(StancewireError, match=str(model_folder)):
        from_shipped(model_folder)


def test_a_graph_that_was_not_exported_by_us_is_refused_with_what_it_lacks(model_folder):
    graph = onnx.load(model_folder / "model.onnx")
    for tensor in graph.graph.initializer:
        if tensor.name == "classifier.bias":
            tensor.name = "something.else"
    onnx.save(graph, model_folder / "model.onnx")
    values = json.loads((model_folder / "stance.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((model_folder / "model.onnx").read_bytes()).hexdigest()
    values["files"]["model.onnx"] = digest
    (model_folder / "stance.json").write_text(json.dumps(values), encoding="utf-8")

    with pytest.raises(StancewireError, match=r"lacks the parameters classifier\.bias"):
        from_shipped(model_folder)


def with_graph(folder: Path, content: bytes) -> Path:
    """Put a graph into a folder, its hash made right."""
    (folder / "model.onnx").write_bytes(content)
    return with_hashes(folder)


def with_hashes(folder: Path) -> Path:
    values = json.loads((folder / "stance.json").read_text(encoding="utf-8"))
    for name in values["files"]:
        values["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "stance.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_a_graph_that_stancewire_would_not_run_is_not_read_either(model_folder, tmp_path):
    secret = tmp_path / "secret.bin"
    os.mkfifo(secret)  # whoever opens it waits for good
    graph = onnx.load(model_folder / "model.onnx")
    tensor = next(t for t in graph.graph.initializer if t.name == "classifier.bias")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    with_graph(model_folder, graph.SerializeToString())

    with pytest.raises(StancewireError, match=r"model\.onnx has .*external data"):
        from_shipped(model_folder)


def test_a_graph_with_an_operator_of_another_vendor_is_not_read(model_folder):
    graph = onnx.load(model_folder / "model.onnx")
    graph.graph.node.append(onnx.helper.make_node("Shell", ["logits"], ["x"], domain="com.evil"))
    with_graph(model_folder, graph.SerializeToString())

    with pytest.raises(StancewireError, match=r"model\.onnx has .*(Shell|com\.evil)"):
        from_shipped(model_folder)


def test_a_tokenizer_that_stancewire_would_not_run_is_not_loaded(model_folder):
    values = json.loads((model_folder / "tokenizer.json").read_text(encoding="utf-8"))
    pattern = {"type": "Split", "pattern": {"Regex": "(a|a)*$"}, "behavior": "Isolated", "invert": False}
    (model_folder / "tokenizer.json").write_text(json.dumps(values | {"pre_tokenizer": pattern}), "utf-8")
    with_hashes(model_folder)

    with pytest.raises(StancewireError, match=r"tokenizer\.json .* of type 'Split'"):
        from_shipped(model_folder)


@pytest.mark.parametrize("key", ["architecture", "tokenizer"])
@pytest.mark.parametrize(
    "values",
    [
        {"auto_map": {"AutoConfig": "evil.Config", "AutoTokenizer": ["evil.Slow", "evil.Fast"]}},
        {"auto_map": {"AutoConfig": "somebody/evil--evil.Config"}},
        {"encoder": {"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}},
        {"attn_implementation": "somebody/evil-kernel"},
        {"encoder": {"model_type": "bert", "_attn_implementation": "somebody/evil-kernel"}},
        {"quantization_config": {"quant_method": "evil"}},
    ],
    ids=lambda values: "-".join(map(str, values)),
)
def test_whatever_names_code_in_a_manifest_is_refused_before_anything_is_loaded(
    model_folder, tmp_path, monkeypatch, key, values
):
    mark = tmp_path / "mark"
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, model_folder):
        (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')", encoding="utf-8")
    # A terminal on which transformers would ask whether it may run what it found, and be answered yes.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    provenance = json.loads((model_folder / "stance.json").read_text(encoding="utf-8"))["provenance"]
    set_provenance(model_folder, key, provenance[key] | values)

    with pytest.raises(StancewireError, match=r"stance\.json .* which can name code: it is not loaded"):
        from_shipped(model_folder)

    assert not mark.exists()


def test_no_loading_by_transformers_trusts_code_that_comes_with_it():
    calls = [
        (path.name, call)
        for path in (ROOT / "training").rglob("*.py")
        for call in re.findall(r"from_pretrained\((?:[^()]|\([^()]*\))*\)", path.read_text(encoding="utf-8"))
        if "embeddings" not in call  # torch's class has a method of that name, and loads nothing
    ]

    assert len(calls) >= 8
    assert [call for call in calls if "trust_remote_code=False" not in call[1]] == []


def test_a_folder_is_rebuilt_only_with_the_digest_that_was_asked_for(tiny_model, model_folder):
    with pytest.raises(StancewireError, match="was asked for"):
        from_shipped(model_folder, sha256="0" * 64)


def test_a_shipped_model_that_was_changed_is_not_rebuilt(monkeypatch):
    monkeypatch.setattr("stancewire.manifest.DIGESTS", {"stance-small": "0" * 64})

    with pytest.raises(StancewireError, match="is not the one that came with this stancewire"):
        from_shipped("stance-small")


def test_training_on_keeps_the_head_where_the_labels_are_the_same(rebuilt, tiny_corpus):
    config = parse_config(config_values(rebuilt, tiny_corpus), "test")
    source, _ = load_checkpoint(rebuilt)

    model = build_model(config, rebuilt, read_labels(rebuilt), spans=True)

    for name, values in source.named_parameters():
        assert torch.equal(dict(model.named_parameters())[name], values), name


def test_training_on_draws_a_new_head_for_other_labels(rebuilt, tiny_corpus):
    config = parse_config(config_values(rebuilt, tiny_corpus), "test")
    source, _ = load_checkpoint(rebuilt)

    model = build_model(config, rebuilt, ["praise", "blame"])

    assert model.config.id2label == {0: "praise", 1: "blame"}
    assert float(model.classifier.weight.detach().abs().max()) < 0.2
    for name, values in source.encoder.named_parameters():
        assert torch.equal(dict(model.encoder.named_parameters())[name], values), name


def test_training_on_keeps_of_the_heads_what_is_for_labels_of_the_same_name(rebuilt, tiny_corpus):
    config = parse_config(config_values(rebuilt, tiny_corpus), "test")
    source, _ = load_checkpoint(rebuilt)
    row = read_labels(rebuilt).index("denial")

    model = build_model(config, rebuilt, ["praise", "denial"], spans=True)

    assert torch.equal(model.classifier.weight[1], source.classifier.weight[row])
    assert torch.equal(model.classifier.bias[1], source.classifier.bias[row])
    assert torch.equal(model.span_classifier.weight[4:], source.span_classifier.weight[4 * row : 4 * row + 4])
    assert not torch.isin(model.classifier.weight[0], source.classifier.weight).any()


def test_one_trains_on_from_a_rebuilt_checkpoint(rebuilt, tmp_path):
    splits = {"train": seed_rows("train", 60), "validation": seed_rows("validation", 30)}
    corpus = write_corpus(tmp_path / "corpus", splits, read_labels(rebuilt))
    config = parse_config(config_values(rebuilt, corpus, epochs=1), "test")

    folder = train(config, tmp_path / "run").folder

    assert read_record(folder).labels == tuple(read_labels(rebuilt))
    assert not torch.equal(
        load_checkpoint(folder)[0].classifier.weight, load_checkpoint(rebuilt)[0].classifier.weight
    )


@pytest.mark.slow
def test_a_rebuilt_checkpoint_loads_in_plain_transformers_once_stancewire_training_is_imported(rebuilt):
    code = (
        "import sys, json, stancewire_training\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline\n"
        "model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "classify = pipeline('text-classification', model=sys.argv[1], top_k=None)\n"
        "scores = {row['label']: row['score'] for row in classify(['The airline denied it.'])[0]}\n"
        "print(json.dumps([model.config.id2label, scores]))\n"
    )

    done = subprocess.run([sys.executable, "-c", code, rebuilt], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    names, scores = json.loads(done.stdout.splitlines()[-1])
    model, tokenizer = load_checkpoint(rebuilt)
    expected = sigmoid(compute_logits(model, tokenizer, ["The airline denied it."]))[0]
    assert list(names.values()) == read_labels(rebuilt)
    assert [scores[label] for label in names.values()] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.slow
def test_plain_transformers_without_stancewire_training_refuses_rather_than_misreads(rebuilt):
    code = (
        "import sys\n"
        "from transformers import AutoModelForSequenceClassification\n"
        "AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
    )

    done = subprocess.run([sys.executable, "-c", code, rebuilt], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "stancewire" in done.stderr


def read_labels(folder: Path) -> list[str]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return list(config["id2label"].values())

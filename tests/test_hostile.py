"""Hostile model folders and hostile words on the command line, each thing by its name."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from handmade import LABELS, make_graph, make_tokenizer, onnx, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from rich.console import Console
from typer.testing import CliRunner

from stancewire import StanceClassifier, StancewireError
from stancewire.cli import app
from stancewire.manifest import sha256_of
from stancewire.summary import printable

TEXTS = ["The minister denies it.", "", "\ud800\0\u202e", "deny " * 200]
ANY_FOLDER = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Colours, the title of the window, the clipboard, the screen cleared, a hyperlink; the same in one byte; text
# turned around; lines of one's own.
ESCAPES = (
    "\x1b[31;5mred",
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1bc",
    "\x1b]8;;http://x\x1b\\link",
    "\x9b31mred",
    "\x9d0;title\x9c",
    "\u202edesrever",
    "\u2066inside\u2069",
    "a\rb\x08c\x7fd",
    "\u2028new\u2029line\x85",
)


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "300")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_folder_made_by_hand_is_a_model(folder: Path):
    stances = StanceClassifier.load(folder).predict(TEXTS[0]).probabilities

    assert list(stances) == LABELS


def test_a_pickle_that_lies_in_the_folder_is_not_opened(folder: Path, tmp_path: Path):
    mark = tmp_path / "mark"
    names = ("model.pkl", "pytorch_model.bin", "training_args.bin", "custom.py")
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    hashes = {name: sha256_of(folder / name) for name in (*names, "model.onnx", "tokenizer.json")}
    write_folder(folder, files=hashes)

    StanceClassifier.load(folder).predict(TEXTS)

    assert not mark.exists()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "stance.json"])
def test_a_pickle_in_the_place_of_a_file_is_refused_and_not_run(folder: Path, tmp_path: Path, name: str):
    mark = tmp_path / "mark"
    bomb = pickle.dumps(Bomb(mark))
    given_for = {"model.onnx": {"graph": bomb}, "tokenizer.json": {"tokenizer": bomb}}
    write_folder(folder, **given_for.get(name, {}))
    (folder / name).write_bytes(bomb)

    with pytest.raises(StancewireError, match=name.replace(".", r"\.")):
        StanceClassifier.load(folder)

    assert not mark.exists()


def test_external_data_is_refused_and_the_file_that_it_names_not_read(folder: Path, tmp_path: Path):
    secret = tmp_path / "secret.bin"
    os.mkfifo(secret)  # whoever opens it waits for good
    model = make_graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    write_folder(folder, model)

    with pytest.raises(StancewireError, match=r"model\.onnx has .*external data"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Shell", ["mean"], ["x"], domain="com.evil"), "com.evil|Shell"),
        (
            helper.make_node(
                "Loop",
                ["", ""],
                ["x"],
                body=helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "forever", [], []),
            ),
            "Loop|subgraph",
        ),
    ],
    ids=["a custom operator", "a loop"],
)
def test_an_operator_that_no_model_needs_is_refused(folder: Path, node: Any, said: str):
    write_folder(folder, make_graph(node))

    with pytest.raises(StancewireError, match=rf"model\.onnx has .*({said})"):
        StanceClassifier.load(folder)


def test_a_graph_that_calls_itself_onnxruntimes_own_format_is_read_as_what_was_checked(folder: Path):
    write_folder(folder, make_graph(producer_name="ORTM"))
    content = (folder / "model.onnx").read_bytes()

    probabilities = StanceClassifier.load(folder).probabilities(TEXTS)

    assert content[4:8] == b"ORTM"  # where onnxruntime looks for its mark
    assert probabilities.shape == (4, 2)


def test_a_model_in_onnxruntimes_own_format_is_refused(folder: Path, tmp_path: Path):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    write_folder(folder, (tmp_path / "model.ort").read_bytes())

    with pytest.raises(StancewireError, match="is not an ONNX file"):
        StanceClassifier.load(folder)


def test_a_catastrophic_regex_in_the_tokenizer_is_refused(folder: Path):
    split = {"type": "Split", "pattern": {"Regex": "(a|a)*$"}, "behavior": "Isolated", "invert": False}
    write_folder(folder, tokenizer=make_tokenizer() | {"pre_tokenizer": split})

    with pytest.raises(StancewireError, match=r"tokenizer\.json .* of type 'Split'"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((10, 2), np.nan, np.float32), "figures that are no numbers"),
        (np.full((10, 2), np.inf, np.float32), "figures that are no numbers"),
        (np.zeros((2, 2), np.float32), "indices element out of data bounds"),
    ],
    ids=["no numbers", "infinity", "a vocabulary cut short"],
)
def test_a_graph_that_cannot_read_a_sentence_is_told_in_a_sentence(folder: Path, values: Any, said: str):
    model = make_graph()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "table"))
    write_folder(folder, model)

    with pytest.raises(StancewireError, match=rf"model in .* cannot read a sentence: .*{said}"):
        StanceClassifier.load(folder).predict(TEXTS[0])


def test_a_graph_that_gives_another_shape_than_it_declares_is_told_in_a_sentence(folder: Path):
    shape = numpy_helper.from_array(np.array([2, -1]), "shape")
    model = make_graph(
        helper.make_node("Concat", ["mean", "mean"], ["two"], axis=0),
        helper.make_node("Identity", ["two"], ["last"]),
    )
    model.graph.initializer.append(shape)
    model.graph.node[-1].input[0] = "last"
    write_folder(folder, model)

    with pytest.raises(StancewireError, match=r"gives figures of shape \(2, 2\), not \(1, 2\)"):
        StanceClassifier.load(folder).predict(TEXTS[0])


def test_a_graph_prints_nothing_of_its_own(folder: Path, capfd: pytest.CaptureFixture[str]):
    model = make_graph(helper.make_node("Neg", ["gone"], ["x"], name="\x1b]0;owned\x07"))
    model.graph.node[0].name = "\x1b]0;owned\x07"
    write_folder(folder, model)

    with pytest.raises(StancewireError) as caught:
        StanceClassifier.load(folder)

    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "stance.json"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)

    with pytest.raises(StancewireError, match=rf"'{name}', which leads out of the folder"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "stance.json"])
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "..", "nowhere", "{name}"])
def test_a_link_to_anything_else_is_refused(folder: Path, name: str, target: str):
    (folder / name).unlink()
    (folder / name).symlink_to(target.format(name=name))

    with pytest.raises(StancewireError, match=name.replace(".", r"\.")):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "stance.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(folder: Path, name: str):
    (folder / name).unlink()
    os.mkfifo(folder / name)

    with pytest.raises(StancewireError, match=name.replace(".", r"\.")):
        StanceClassifier.load(folder)


def test_a_link_within_the_folder_and_one_to_the_folder_are_followed(folder: Path, tmp_path: Path):
    (folder / "model.onnx").rename(folder / "weights")
    (folder / "model.onnx").symlink_to("weights")
    (tmp_path / "link").symlink_to(folder)

    assert StanceClassifier.load(tmp_path / "link").probabilities(TEXTS).shape == (4, 2)


@pytest.mark.parametrize(
    "name", ["a\0b", "\ud800", "x" * 5_000, "\x1b[31m", "../../x", "/etc/passwd", ".", "..", "a/../b"]
)
def test_an_odd_name_in_the_manifest_is_refused_and_quoted(folder: Path, name: str):
    files = json.loads((folder / "stance.json").read_text(encoding="utf-8"))["files"]
    write_folder(folder, files=files | {name: "0" * 64})

    with pytest.raises(StancewireError, match=r"leads out of the folder|lacks|cannot be read") as caught:
        StanceClassifier.load(folder)

    assert str(caught.value).isprintable()


def test_a_file_without_an_end_is_refused_by_its_size(folder: Path):
    with (folder / "model.onnx").open("r+b") as stream:
        stream.truncate(3_000_000_000)  # holes, which take no space

    with pytest.raises(StancewireError, match=r"model\.onnx has more than 2 GB"):
        StanceClassifier.load(folder)


@ANY_FOLDER
@given(name=st.sampled_from(["model.onnx", "tokenizer.json", "stance.json"]), data=st.data())
def test_any_changed_byte_is_refused_by_the_pinned_digest(folder: Path, name: str, data: st.DataObject):
    digest, content = sha256_of(folder / "stance.json"), (folder / name).read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != content[position]))

    (folder / name).write_bytes(content[:position] + bytes([value]) + content[position + 1 :])

    try:
        with pytest.raises(StancewireError, match=name.replace(".", r"\.")):
            StanceClassifier.load(folder, sha256=digest)
    finally:
        (folder / name).write_bytes(content)


@ANY_FOLDER
@given(name=st.sampled_from(["graph", "tokenizer", "manifest"]), data=st.data())
def test_any_changed_byte_with_its_hash_made_right_is_read_or_refused(
    tmp_path: Path, name: str, data: st.DataObject
):
    folder = write_folder(tmp_path / "changed")
    path = folder / {"graph": "model.onnx", "tokenizer": "tokenizer.json", "manifest": "stance.json"}[name]
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    if name == "manifest":
        path.write_bytes(content)
    else:
        write_folder(folder, **{name: bytes(content)})

    try:
        rows = StanceClassifier.load(folder, threads=1).probabilities(TEXTS)
    except StancewireError as error:
        assert str(error).isprintable()
    else:
        assert np.isfinite(rows).all()


@pytest.mark.parametrize("escape", ESCAPES)
def test_terminal_escapes_in_a_label_or_a_models_name_are_refused(folder: Path, escape: str):
    labels = ["warm", f"cold {escape}"]

    for values in ({"name": escape}, {"labels": labels, "thresholds": dict.fromkeys(labels, 0.5)}):
        with pytest.raises(StancewireError, match=r"should be .* without control characters") as caught:
            StanceClassifier.load(write_folder(folder, **values))
        assert obeyed(str(caught.value)) == set()


def test_terminal_escapes_in_file_names_and_text_are_not_passed_on_by_score(
    run: Any, folder: Path, tmp_path: Path
):
    write_folder(folder, thresholds=dict.fromkeys(LABELS, 0.0))
    articles = tmp_path / "articles"
    articles.mkdir()
    for number, escape in enumerate(ESCAPES):
        name = f"{number} {escape}".replace("/", "_")
        (articles / f"{name}.txt").write_text(f"He said it {escape} and left.\n", encoding="utf-8")
        (articles / f"empty {name}.txt").touch()

    result = run("score", articles, "--out", tmp_path / "out.jsonl", "--model", folder, "--any-language")

    assert result.exit_code == 1, result.output
    assert "Skipped" in result.output
    assert obeyed(result.output) == set()


def test_terminal_escapes_in_a_sentence_are_not_passed_on_by_predict(run: Any, folder: Path):
    result = run("predict", *ESCAPES, "--model", folder)

    assert result.exit_code == 0, result.output
    assert obeyed(result.output) == set()


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_gives_a_terminal_anything_to_obey(text: str):
    console = Console(width=200, force_terminal=False)

    with console.capture() as captured:
        console.print(printable(text), markup=False)

    assert obeyed(captured.get()) == set()


def obeyed(output: str) -> set[str]:
    """What a terminal would act on, or read backwards, but for the line's end."""
    return {
        character
        for character in output
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != "\n"
    }


CONFIG = (ROOT / "configs" / "stance-small.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:subprocess.Popen [['touch', '{mark}']]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!include /etc/passwd",
    ],
)
def test_a_tag_in_a_configuration_is_refused_and_not_obeyed(tmp_path: Path, tag: str):
    pytest.importorskip("torch")
    from stancewire_training.config import read_config

    mark, path = tmp_path / "mark", tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("name: stance-small", f"name: {tag.format(mark=mark)}", 1), "utf-8")

    with pytest.raises(StancewireError, match=r"config\.yaml is not YAML: could not determine a constructor"):
        read_config(path)

    assert not mark.exists()


def test_anchors_that_multiply_a_list_are_refused_at_once(tmp_path: Path):
    pytest.importorskip("torch")
    from stancewire_training.config import read_config

    path = tmp_path / "config.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    path.write_text("\n".join(lines) + "\n" + CONFIG, "utf-8")

    with pytest.raises(StancewireError, match="there is no key a0"):
        read_config(path)


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path):
    pytest.importorskip("torch")
    from stancewire_training.config import read_config

    path = tmp_path / "config.yaml"
    path.write_text("training: &t\n  epochs: *t\n", "utf-8")

    with pytest.raises(StancewireError, match=r"config\.yaml"):
        read_config(path)


def test_a_copy_of_a_folder_is_as_good_as_the_folder(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "copy")

    assert StanceClassifier.load(tmp_path / "copy").digest == StanceClassifier.load(folder).digest

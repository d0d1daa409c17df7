from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire import StanceClassifier, StancewireError
from stancewire.manifest import (
    DEFAULT_MODEL,
    Manifest,
    parse_manifest,
    read_manifest,
    resolve_folder,
    sha256_of,
    shipped_digest,
    shipped_models,
)
from stancewire.shipped import DIGESTS

SHOWN = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]) | st.sampled_from("\u200c\u200d\xad")
LABELS = st.lists(st.text(SHOWN, min_size=1), min_size=1, max_size=5, unique=True)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def change_manifest(folder: Path, **values: object) -> None:
    path = folder / "stance.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


@given(labels=LABELS, length=st.integers(8, 512), data=st.data())
def test_a_manifest_reads_back_as_it_was_written(labels, length, data):
    thresholds = data.draw(st.lists(st.floats(0, 1), min_size=len(labels), max_size=len(labels)))
    files = {"model.onnx": "0" * 64, "tokenizer.json": "1" * 64}
    manifest = Manifest("m", tuple(labels), tuple(thresholds), length, files, {"seed": 1})

    assert parse_manifest(manifest.to_json(), "here") == manifest


def test_the_digest_is_the_hash_of_the_manifest(folder):
    _, digest = read_manifest(folder)

    assert digest == sha256_of(folder / "stance.json")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "README.md"])
def test_a_changed_byte_in_any_file_is_refused_and_the_file_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(StancewireError, match=rf"{name} is damaged or of another version"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "README.md"])
def test_a_missing_file_is_refused_and_named(folder, name):
    (folder / name).unlink()

    with pytest.raises(StancewireError, match=f"lacks {name}"):
        StanceClassifier.load(folder)


def test_a_newer_format_is_refused_with_what_to_do(folder):
    change_manifest(folder, format=99)

    with pytest.raises(StancewireError, match=r"has format 99.*upgrade"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..\\secret", "C:\\secret", ""])
def test_a_file_outside_the_folder_is_refused(folder, name):
    files = json.loads((folder / "stance.json").read_text(encoding="utf-8"))["files"]
    change_manifest(folder, files=files | {name: "0" * 64})

    with pytest.raises(StancewireError, match="leads out of the folder"):
        StanceClassifier.load(folder)


def test_a_link_that_leads_out_of_the_folder_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.json"
    (folder / "tokenizer.json").rename(outside)
    (folder / "tokenizer.json").symlink_to(outside)

    with pytest.raises(StancewireError, match="leads out of the folder"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": "abc"}, "labels"),
        ({"labels": ["\x1b[31mred"]}, "labels"),
        ({"labels": ["\x9b31mred"]}, "labels"),
        ({"labels": ["\u202edesrever"]}, "labels"),
        ({"labels": ["two\nlines"]}, "labels"),
        ({"labels": ["\ud800"]}, "labels"),
        ({"name": "\x1b]0;title\x07"}, "name"),
        ({"thresholds": {"other": 0.5}}, "thresholds"),
        ({"thresholds": {}}, "thresholds"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": True}, "max_length"),
        ({"max_length": 8193}, "max_length"),
        ({"name": 5}, "name"),
        ({"files": []}, "files"),
        ({"files": {}}, "model.onnx"),
        ({"files": {"model.onnx": "\x1b[31m"}}, "files"),
        ({"provenance": None}, "provenance"),
        ({"format": "1"}, "format"),
    ],
)
def test_a_wrong_value_is_refused_and_its_key_named(folder, values, named):
    change_manifest(folder, **values)

    with pytest.raises(StancewireError, match=named):
        StanceClassifier.load(folder)


@given(st.text())
def test_any_text_for_a_manifest_is_read_or_refused_with_a_sentence(text):
    try:
        parse_manifest(text, "here")
    except StancewireError as error:
        assert str(error).startswith("here")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_a_broken_manifest_is_refused(folder, content):
    (folder / "stance.json").write_bytes(content)

    with pytest.raises(StancewireError, match=r"stance\.json"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_whose_hash_is_right_and_content_wrong_is_refused(folder, name):
    (folder / name).write_bytes(b"nonsense")
    files = json.loads((folder / "stance.json").read_text(encoding="utf-8"))["files"]
    change_manifest(folder, files=files | {name: sha256_of(folder / name)})

    with pytest.raises(StancewireError, match=f"{name} is not a"):
        StanceClassifier.load(folder)


def test_labels_that_the_graph_does_not_have_are_refused(folder):
    change_manifest(folder, labels=["one"], thresholds={"one": 0.5}, calibration=None)

    with pytest.raises(StancewireError, match=r"gives 4 figures as logits, its manifest names 1 label"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["no-such-model", "no/such/folder", "", "\0", "\ud800", "x" * 5_000])
def test_an_unknown_model_is_refused_with_the_names_of_those_there_are(name):
    with pytest.raises(StancewireError, match="stance-small"):
        resolve_folder(name)


def test_the_shipped_models_are_whole():
    names = shipped_models()

    assert "stance-small" in names
    assert [read_manifest(resolve_folder(name))[0].name for name in names] == names


def test_the_digests_in_the_code_are_those_of_the_shipped_models():
    found = {name: sha256_of(resolve_folder(name) / "stance.json") for name in shipped_models()}

    assert found == DIGESTS, (
        "a shipped model was replaced: put its figure into inference/stancewire/shipped.py"
    )


def test_a_shipped_model_with_another_digest_is_refused_with_the_line_to_change(monkeypatch):
    folder = resolve_folder()
    monkeypatch.setitem(DIGESTS, DEFAULT_MODEL, "0" * 64)

    with pytest.raises(
        StancewireError, match=rf"shipped\.py: '{DEFAULT_MODEL}': '{sha256_of(folder / 'stance.json')}'"
    ):
        StanceClassifier.load()


def test_a_folder_that_is_not_shipped_has_no_digest_in_the_code(folder, monkeypatch):
    monkeypatch.setitem(DIGESTS, folder.name, "0" * 64)

    assert shipped_digest(folder) is None


def test_a_folder_is_loaded_only_with_the_digest_that_was_asked_for(folder):
    digest = sha256_of(folder / "stance.json")

    classifier = StanceClassifier.load(folder, sha256=digest.upper())

    assert classifier.digest == digest
    with pytest.raises(StancewireError, match=rf"has the SHA-256 {digest}, and 0000"):
        StanceClassifier.load(folder, sha256="0" * 64)


@pytest.mark.parametrize("digest", ["", "12", "g" * 64, "0" * 65, "0" * 64 + "\n"])
def test_what_is_no_digest_is_refused(folder, digest):
    with pytest.raises(StancewireError, match="should be 64 hexadecimal digits"):
        StanceClassifier.load(folder, sha256=digest)


def test_a_folder_here_never_stands_in_for_a_shipped_model(folder, tmp_path, monkeypatch):
    planted = folder.rename(tmp_path / DEFAULT_MODEL)
    monkeypatch.chdir(tmp_path)

    assert resolve_folder() == resolve_folder(None) != planted
    assert resolve_folder(f"./{DEFAULT_MODEL}").samefile(planted)
    with pytest.raises(StancewireError, match=rf"write \./{DEFAULT_MODEL} for the one"):
        resolve_folder(DEFAULT_MODEL)

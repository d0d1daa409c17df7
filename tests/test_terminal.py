"""What the commands print, whoever wrote it: nothing that a terminal would obey."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from handmade import LABELS, write_folder
from hypothesis import given
from hypothesis import strategies as st
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from test_hostile import ESCAPES, obeyed
from typer.testing import CliRunner

from stancewire.annotations import read_annotated
from stancewire.baselines import SystemOutput, predict_none, store_baselines
from stancewire.cli import app
from stancewire.manifest import sha256_of
from stancewire.terminal import PlainConsole, json_for_terminal

ANY_TEXT = st.text(st.characters(exclude_categories=()))
HOSTILE = " ".join(ESCAPES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", thresholds=dict.fromkeys(LABELS, 0.0))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "300")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def hostile_data(tmp_path: Path) -> Path:
    """Annotated sentences whose texts, extra keys, document and file name hold every escape."""
    path = tmp_path / f"data {ESCAPES[0]}.jsonl".replace("/", "_")
    rows = [
        {"text": f"The minister denies it {escape}.", "stances": [{"label": LABELS[number % 2]}]}
        | {"doc": escape, "i": 0, "outlet": escape, f"key {escape}": 1}
        for number, escape in enumerate(ESCAPES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def store_hostile_baseline(folder: Path, data: Path) -> None:
    sentences = read_annotated(data)
    none = predict_none(len(sentences), len(LABELS))
    hostile = SystemOutput(HOSTILE, none.decisions)
    store_baselines(folder, LABELS, sentences, [none, hostile])


@given(text=ANY_TEXT)
def test_a_console_passes_on_nothing_to_obey_wherever_a_text_stands(text: str):
    stream = io.StringIO()
    console = PlainConsole(file=stream, width=80, force_terminal=False)
    table = Table(title=Text(text), caption=Text(text))
    table.add_column(Text(text))
    table.add_row(Text(text))

    for shown in (Text(text), table, Panel(Text(text), title=Text(text))):
        console.print(shown)
    console.print(text, markup=False)

    assert obeyed(stream.getvalue()) == set()


@given(text=st.text(st.characters(exclude_categories=("C", "Z"))))
def test_a_console_shows_a_harmless_text_as_it_is(text: str):
    stream = io.StringIO()

    PlainConsole(file=stream, width=80, force_terminal=False).print(text, markup=False, soft_wrap=True)

    assert stream.getvalue() == text + "\n"


def test_a_console_keeps_its_own_colours_on_a_terminal():
    stream = io.StringIO()

    PlainConsole(file=stream, force_terminal=True, color_system="standard").print(Text("a", style="red"))

    assert stream.getvalue() == "\x1b[31ma\x1b[0m\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)


@given(values=VALUES, indent=st.sampled_from([None, 2]), in_ascii=st.booleans())
def test_json_for_a_terminal_means_the_same_and_gives_it_nothing_to_obey(
    values: Any, indent: int | None, in_ascii: bool
):
    text = json_for_terminal(values, indent=indent, in_ascii=in_ascii)

    assert json.loads(text) == json.loads(json.dumps(values))
    assert obeyed(text) == set()
    assert not in_ascii or text.isascii()


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_evaluate_passes_no_escapes_on_from_data_groups_and_baselines(
    run: Any, folder: Path, hostile_data: Path, form: list[str]
):
    store_hostile_baseline(folder, hostile_data)

    result = run("evaluate", hostile_data, "--model", folder, "--by", "outlet", *form)

    assert result.exit_code == 0, result.output
    assert "red" in result.output
    assert obeyed(result.output) == set()


def test_evaluate_passes_no_escapes_on_in_what_it_refuses(run: Any, folder: Path, hostile_data: Path):
    asked = run("evaluate", hostile_data, "--model", folder, "--by", f"outlet {HOSTILE}")
    missing = run("evaluate", f"{hostile_data}{HOSTILE.replace('/', '')}", "--model", folder)

    assert (asked.exit_code, missing.exit_code) == (2, 2)
    assert obeyed(asked.output + missing.output) == set()


def test_check_passes_no_escapes_on_from_labels_texts_and_file_names(run: Any, tmp_path: Path):
    pytest.importorskip("torch")
    corpus = tmp_path / f"corpus {ESCAPES[1]}".replace("/", "_")
    corpus.mkdir()
    for number, escape in enumerate(ESCAPES):
        stances = [{"label": f"cold {escape}", "source": escape, "target": f"nobody {escape}"}]
        rows = [{"text": f"They left {escape}.", "stances": stances, "doc": escape, "i": 5}] * 2
        path = corpus / f"train-{number} {escape}.jsonl".replace("/", "_")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    whole, single = run("check", corpus), run("check", sorted(corpus.iterdir())[0])

    assert (whole.exit_code, single.exit_code) == (1, 1), whole.output
    assert "cold" in whole.output
    assert obeyed(whole.output + single.output) == set()


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["shown", "json"])
def test_info_passes_no_escapes_on_from_a_model_folder(run: Any, folder: Path, form: list[str]):
    write_folder(folder, provenance={"made by": list(ESCAPES), HOSTILE: HOSTILE, "lone": "\ud800"})

    result = run("info", folder, *form)

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["provenance"][HOSTILE] == HOSTILE
    assert obeyed(result.output) == set()


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["shown", "json"])
def test_info_passes_no_escapes_on_from_an_output(run: Any, folder: Path, tmp_path: Path, form: list[str]):
    (tmp_path / "a.txt").write_text("The minister denies it.", encoding="utf-8")
    out = tmp_path / "out.jsonl"
    run("score", tmp_path / "a.txt", "--out", out, "--model", folder, "--any-language")
    meta = tmp_path / "out.jsonl.meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text("utf-8")) | {"model": HOSTILE}), encoding="utf-8")

    result = run("info", out, *form)

    assert json.loads(result.stdout)["model"] == HOSTILE
    assert obeyed(result.output) == set()


def test_predict_passes_no_escapes_on_as_json(run: Any, folder: Path):
    result = run("predict", *ESCAPES, "--model", folder, "--json")

    texts = [json.loads(line)["text"] for line in result.stdout.splitlines()]
    assert texts == list(ESCAPES)
    assert obeyed(result.output) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", HOSTILE, "--out", HOSTILE),
        ("info", HOSTILE),
        ("report", HOSTILE, "--out", "page.html"),
        ("events", HOSTILE, "--out", "events.csv"),
        ("train", HOSTILE),
        ("export", HOSTILE, "--out", HOSTILE),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_command_passes_escapes_on_in_what_it_refuses(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
):
    monkeypatch.chdir(tmp_path)

    result = run(*arguments)

    assert result.exit_code == 2, result.output
    assert obeyed(result.output) == set()


def commands_with(option: str) -> list[str]:
    group = typer.main.get_command(app)
    return [
        name
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        if any(option in parameter.opts for parameter in command.params)
    ]


def test_whatever_loads_a_model_takes_the_digest_that_it_must_have():
    # These two take the model that made the scores, and no other: its digest stands in them.
    by_the_scores = {"report", "validate"}
    asked = set(commands_with("--model")) - by_the_scores

    assert sorted(asked - set(commands_with("--sha256"))) == []


@pytest.mark.parametrize("command", ["score", "predict", "evaluate", "info"])
def test_a_folder_with_another_digest_than_was_asked_for_is_refused(
    run: Any, folder: Path, hostile_data: Path, tmp_path: Path, command: str
):
    (tmp_path / "a.txt").write_text("The minister denies it.", encoding="utf-8")
    arguments = {
        "score": [tmp_path / "a.txt", "--out", tmp_path / "out.jsonl", "--any-language", "--model", folder],
        "predict": ["The minister denies it.", "--model", folder],
        "evaluate": [hostile_data, "--model", folder],
        "info": [folder],
    }[command]

    refused = run(command, *arguments, "--sha256", "0" * 64)
    odd = run(command, *arguments, "--sha256", "none")
    loaded = run(command, *arguments, "--sha256", sha256_of(folder / "stance.json"))

    assert (refused.exit_code, odd.exit_code, loaded.exit_code) == (2, 2, 0), loaded.output
    assert "was asked for" in refused.stderr
    assert "64 hexadecimal digits" in odd.stderr


def test_a_digest_is_asked_of_model_folders_and_not_of_outputs(run: Any, tmp_path: Path):
    (tmp_path / "out.jsonl").touch()

    result = run("info", tmp_path / "out.jsonl", "--sha256", "0" * 64)

    assert result.exit_code == 2
    assert "--sha256 is of a model folder" in result.stderr


@pytest.mark.parametrize(
    "provenance", [{}, {"config": None}, {"config": 5}, {"config": [["a", 1]]}, {"config": {"name": 5}}]
)
def test_baselines_of_a_model_that_does_not_say_its_configuration_are_refused_with_a_sentence(
    run: Any, folder: Path, hostile_data: Path, tiny_corpus: Path, provenance: dict[str, Any]
):
    pytest.importorskip("torch")
    write_folder(folder, provenance=provenance)

    result = run("evaluate", hostile_data, "--model", folder, "--baselines", "--corpus", tiny_corpus)

    assert result.exit_code == 2, result.output
    assert "configuration" in result.stderr


@pytest.mark.parametrize("entry", ["labels", "systems", "name", "decisions", "probabilities"])
@pytest.mark.parametrize("value", [None, 5, "words", [], {}, [5], [None], {"a": 1}, "\ud800"])
def test_stored_baselines_with_any_value_are_read_or_refused_with_a_sentence(
    run: Any, folder: Path, hostile_data: Path, entry: str, value: Any
):
    store_hostile_baseline(folder, hostile_data)
    path = folder / "baselines.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    places = stored["data"][0] if entry in ("labels", "systems") else stored["data"][0]["systems"][1]
    places[entry] = value
    path.write_text(json.dumps(stored), encoding="utf-8")
    write_folder(folder)

    result = run("evaluate", hostile_data, "--model", folder)

    assert result.exit_code in (0, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert obeyed(result.output) == set()

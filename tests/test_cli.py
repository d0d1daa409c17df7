from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SEEDS
from typer.testing import CliRunner

from stancewire.cli import app

SENTENCE = "If they cross, we will respond."


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(app, [str(a) for a in arguments], **options)


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    folder.mkdir()
    text = "The harbour master denied that the pilots had been threatened. It rained on Tuesday."
    (folder / "one.txt").write_text(text, encoding="utf-8")
    return folder


def test_score_writes_the_file_and_prints_the_counts(run, articles, tiny_model, tmp_path):
    out = tmp_path / "scores.jsonl"

    result = run("score", articles, "--out", out, "--model", tiny_model)

    assert result.exit_code == 0, result.output
    assert len(json.loads(out.read_text(encoding="utf-8"))["sentences"]) == 2
    assert "1 document, 2 sentences" in result.output
    assert f"Written to {out};" in result.output


def test_a_skipped_document_makes_exit_code_1_and_is_named(run, articles, tiny_model, tmp_path):
    (articles / "broken.txt").write_bytes(bytes(range(256)) * 4)

    result = run("score", articles, "--out", tmp_path / "scores.csv", "--model", tiny_model)

    assert result.exit_code == 1
    assert "broken.txt" in result.output


def test_a_finished_output_is_refused_with_exit_code_2_and_kept(run, articles, tiny_model, tmp_path):
    out = tmp_path / "scores.jsonl"
    run("score", articles, "--out", out, "--model", tiny_model)
    before = out.read_bytes()

    result = run("score", articles, "--out", out, "--model", tiny_model)

    assert result.exit_code == 2
    assert "--resume adds what is new or has changed, --overwrite starts anew" in result.stderr
    assert out.read_bytes() == before


def test_overwrite_replaces_a_finished_output(run, articles, tiny_model, tmp_path):
    out = tmp_path / "scores.jsonl"
    out.write_text("old", encoding="utf-8")

    result = run("score", articles, "--out", out, "--model", tiny_model, "--overwrite")

    assert result.exit_code == 0
    assert json.loads(out.read_text(encoding="utf-8"))


def test_resume_scores_only_what_is_new_and_overwrite_cannot_stand_beside_it(
    run, articles, tiny_model, tmp_path
):
    out = tmp_path / "scores.csv"
    run("score", articles, "--out", out, "--model", tiny_model)
    (articles / "two.txt").write_text("They denied it again.", encoding="utf-8")

    both = run("score", articles, "--out", out, "--model", tiny_model, "--resume", "--overwrite")
    result = run("score", articles, "--out", out, "--model", tiny_model, "--resume")

    assert both.exit_code == 2
    assert "--resume keeps what is there and --overwrite does not" in both.stderr
    assert result.exit_code == 0, result.output
    assert "2 documents, 3 sentences" in result.output


def test_quiet_prints_one_line(run, articles, tiny_model, tmp_path):
    out = tmp_path / "scores.jsonl"

    result = run("score", articles, "--out", out, "--model", tiny_model, "--quiet", "--max-document", "0.5")

    assert result.output == f"Written to {out}: 1 document, 2 sentences, 0 skipped.\n"
    assert result.exit_code == 0


def test_a_table_comes_on_standard_input_and_its_columns_can_be_named(run, tiny_model, tmp_path):
    out = tmp_path / "scores.jsonl"
    columns = ("--text-column", "body", "--id-column", "url", "--date-column", "day")
    table = "url,body,day,outlet\na/1,They denied it again.,2022-01-31,Post\n"

    result = run("score", "-", "--out", out, "--model", tiny_model, *columns, input=table)

    assert result.exit_code == 0, result.output
    values = json.loads(out.read_text(encoding="utf-8"))
    assert (values["document"], values["date"], values["columns"]) == (
        "a/1",
        "2022-01-31",
        {"outlet": "Post"},
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "no-such-folder", "--out", "scores.jsonl"),
        ("score", ".", "--out", "scores.xls"),
        ("score", ".", "--out", "scores.jsonl", "--model", "no-such-model"),
        ("info", "no-such-file.jsonl"),
        ("evaluate", "no-such-file.jsonl"),
        ("check", "no-such-folder"),
        ("train", "no-such-config.yaml"),
        ("export", "no-such-run", "--out", "model"),
        ("export", "no-such-run", "--out", "model", "--to", "nonsense"),
        ("export", "no-such-run", "--out", "model", "--evaluate", "nonsense"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_fault_of_the_users_is_one_sentence_and_exit_code_2(
    run, arguments, tiny_model, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    model = (
        () if "--model" in arguments or arguments[0] not in ("score", "evaluate") else ("--model", tiny_model)
    )

    result = run(*arguments, *model)

    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("stancewire: ")
    assert "Traceback" not in result.output


def test_predict_prints_each_label_with_its_probability(run, tiny_model):
    result = run("predict", SENTENCE, "--model", tiny_model)

    assert result.exit_code == 0
    assert "accusation" in result.output
    assert SENTENCE in result.output


def test_predict_reads_sentences_from_standard_input_one_a_line(run, tiny_model):
    result = run("predict", "--json", "--model", tiny_model, input=f"{SENTENCE}\n\nIt rained.\n")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == [SENTENCE, "It rained."]
    assert set(rows[0]["probabilities"]) == {"threat", "reassurance", "accusation", "denial"}


def test_predict_without_a_sentence_says_how_to_call_it(run, tiny_model):
    result = run("predict", "--model", tiny_model, input="")

    assert result.exit_code == 2
    assert "there is no sentence" in result.stderr


@pytest.mark.parametrize("sentences", [[""], ["They met.", " \n"]])
def test_predict_refuses_a_sentence_without_words(run, sentences):
    result = run("predict", *sentences)

    assert result.exit_code == 2
    assert result.stderr == "stancewire: the sentence is empty\n"


def test_info_says_what_made_an_output(run, articles, tiny_model, tmp_path):
    out = tmp_path / "scores.parquet"
    run("score", articles, "--out", out, "--model", tiny_model)

    result = run("info", out, "--json")

    values = json.loads(result.stdout)
    assert values["model"] == "tiny"
    assert values["documents"] == 1


def test_info_says_what_a_model_folder_holds(run, tiny_model):
    result = run("info", tiny_model, "--json")

    values = json.loads(result.stdout)
    assert values["name"] == "tiny"
    assert len(values["digest"]) == 64


def test_evaluate_prints_figures_with_intervals(run, tiny_model):
    result = run("evaluate", SEEDS / "test" / "border-denial.jsonl", "--model", tiny_model, "--json")

    values = json.loads(result.stdout)
    assert set(values["macro_f1"]) == {"value", "low", "high"}
    assert "none" in values["baselines"]


def test_evaluate_reads_all_files_of_a_folder(run, tiny_corpus, tiny_model):
    result = run("evaluate", tiny_corpus / "test", "--model", tiny_model, "--json")

    assert json.loads(result.stdout)["data"]["sentences"] == 40


def test_evaluate_measures_and_keeps_the_baselines(run, tiny_corpus, tiny_encoder, tiny_model, tmp_path):
    import shutil

    model = shutil.copytree(tiny_model, tmp_path / "model")
    asked = ("evaluate", tiny_corpus / "test", "--model", model, "--json")

    measured = run(*asked, "--baselines", "--store", "--corpus", tiny_corpus, "--encoder", tiny_encoder)
    stored = run(*asked)

    assert measured.exit_code == 0, measured.output
    names = set(json.loads(stored.stdout)["baselines"])
    assert names == set(json.loads(measured.stdout)["baselines"])
    assert len(names) == 4


def test_check_passes_a_good_corpus_and_fails_a_bad_one(run, tiny_corpus, tmp_path):
    pytest.importorskip("torch")
    bad = tmp_path / "bad.jsonl"
    bad.write_text(
        '{"text": "They left.", "stances": [{"label": "denial", "source": "he"}]}\n', encoding="utf-8"
    )

    good = run("check", tiny_corpus)
    faulty = run("check", bad)

    assert good.exit_code == 0, good.output
    assert faulty.exit_code == 1
    assert "bad.jsonl, line 1" in faulty.output


@pytest.mark.slow
def test_train_and_export_make_a_model_that_scores(run, tiny_corpus, tiny_encoder, tmp_path):
    import yaml
    from conftest import config_values

    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(config_values(tiny_encoder, tiny_corpus)), encoding="utf-8")
    checkpoint, model, back = (tmp_path / name for name in ("run", "model", "back"))
    data = tiny_corpus / "test" / "all.jsonl"

    trained = run("train", config, "--set", "training.epochs=1", "--out", checkpoint)
    exported = run("export", checkpoint, "--out", model, "--evaluate", f"Real news={data}")
    rebuilt = run("export", model, "--to", "transformers", "--out", back)
    predicted = run("predict", SENTENCE, "--model", model)

    assert [r.exit_code for r in (trained, exported, rebuilt, predicted)] == [0, 0, 0, 0], exported.output
    assert "## Real news" in (model / "README.md").read_text(encoding="utf-8")
    assert (back / "config.json").is_file()


def test_a_missing_extra_is_named_with_how_to_install_it(run, monkeypatch, tiny_corpus):
    monkeypatch.setattr("stancewire.commands.common.find_spec", lambda name: None)

    result = run("check", tiny_corpus)

    assert result.exit_code == 2
    assert "pip install 'stancewire[train]'" in result.stderr


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from stancewire.cli import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "print([m for m in ('numpy', 'onnxruntime', 'pyarrow', 'torch') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )

    assert done.stdout.strip() == "[]"

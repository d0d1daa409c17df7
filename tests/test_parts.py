"""A folder of Parquet parts is one output: whole or not there, resumed like any, read by all sorts."""

from __future__ import annotations

import inspect
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from arithmetic import LABELS, ArithmeticRuntime, corpus, make_classifier
from typer.testing import CliRunner

import stancewire.outputs
import stancewire.reading
from stancewire.cli import app
from stancewire.commands.scoring import score
from stancewire.comparison import compare_dates, compare_files
from stancewire.errors import StancewireError
from stancewire.events import count_events
from stancewire.outputs import parse_out, store_path
from stancewire.parts import part_paths
from stancewire.provenance import errors_path, read_provenance
from stancewire.report import write_report
from stancewire.scores import read_scores
from stancewire.scoring import Progress, score_paths

DOCUMENTS = 20


def article(number: int) -> str:
    """Five sentences that no other article has."""
    return (
        f"The envoy said on day {number} that the convoy would cross the river. The ministry answered on day "
        f"{number} that it would not.\n\nDockers will strike on day {number} unless the firm gives way! "
        f"Nobody knows what the harbour will do on day {number}. So it was said on day {number}."
    )


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(stancewire.outputs, "SENTENCES_A_PART", 12)
    monkeypatch.setattr(stancewire.reading, "GROUP_SENTENCES", 8)
    monkeypatch.setattr(stancewire.reading, "_GROUP_DOCUMENTS", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    articles = {f"2024-01-{number + 1:02}": article(number) for number in range(DOCUMENTS)}
    return corpus(tmp_path / "in", **articles, empty="")


class Stop:
    """Interrupts a run once it has told a number of times how far it is."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def stop_at(function, call: int):
    left = iter(range(call))

    def stopped(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*arguments)

    return stopped


def contents(out: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    return files | {"errors": errors_path(out).read_bytes()}


@pytest.fixture
def whole(tmp_path: Path, folder: Path) -> dict[str, bytes]:
    out = tmp_path / "fresh"
    score_paths(make_classifier(), [folder], out)
    return contents(out)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_no_document_is_in_two_parts_and_each_part_says_what_made_all(tmp_path, folder):
    out = tmp_path / "scores"

    result = score_paths(make_classifier(), [folder], out)

    parts = part_paths(out)
    assert [path.name for path in out.iterdir() if path not in parts] == []
    assert [part.name for part in parts] == [f"part-{number:05}.parquet" for number in range(7)]
    assert [pq.read_metadata(part).num_rows for part in parts] == [15] * 6 + [10]
    assert len({pq.read_schema(part).serialize().to_pybytes() for part in parts}) == 1
    assert len({pq.read_metadata(part).metadata[b"stancewire"] for part in parts}) == 1
    assert read_provenance(out) == result.provenance
    assert result.documents == DOCUMENTS


def test_the_parts_hold_what_one_file_holds(tmp_path, folder):
    score_paths(make_classifier(), [folder], tmp_path / "scores")
    score_paths(make_classifier(), [folder], tmp_path / "scores.parquet")

    together = ds.dataset(tmp_path / "scores").to_table()

    assert together.equals(pq.read_table(tmp_path / "scores.parquet"))


def test_polars_duckdb_and_pandas_read_the_folder_as_one_table(tmp_path, folder):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    pandas = pytest.importorskip("pandas")
    out = tmp_path / "scores"
    score_paths(make_classifier(), [folder], out)

    rows = DOCUMENTS * 5
    assert polars.scan_parquet(out).select(polars.len()).collect().item() == rows
    assert duckdb.sql(f"SELECT count(*) FROM '{out}/*.parquet'").fetchall() == [(rows,)]
    assert len(pandas.read_parquet(out)) == rows


def test_a_folder_without_a_sentence_has_one_empty_part(tmp_path):
    out = tmp_path / "scores"

    score_paths(make_classifier(), [corpus(tmp_path / "in", empty="")], out)

    assert ds.dataset(out).count_rows() == 0
    assert read_provenance(out).skipped_count == 1


@pytest.mark.parametrize("stops", [[0, 3, 7], [12, 13], [9, 2, 14, 15, 16]])
def test_an_interrupted_run_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path, folder, whole, stops):
    out = tmp_path / "scores"
    for stop in stops:
        try:
            score_paths(make_classifier(), [folder], out, resume=True, on_progress=Stop(stop))
        except KeyboardInterrupt:
            assert not out.exists()

    score_paths(make_classifier(), [folder], out, resume=True)

    assert contents(out) == whole
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("renames", range(10))
def test_a_run_stopped_at_any_renaming_goes_on(tmp_path, folder, whole, monkeypatch, renames, flags):
    out = tmp_path / "scores"
    if flags:
        score_paths(make_classifier(), [folder], out)
    monkeypatch.setattr(os, "replace", stop_at(os.replace, renames))
    try:
        score_paths(make_classifier(), [folder], out, **flags)
    except KeyboardInterrupt:
        monkeypatch.undo()
        monkeypatch.setattr(stancewire.outputs, "SENTENCES_A_PART", 12)
        score_paths(make_classifier(), [folder], out, **flags)

    assert contents(out) == whole
    assert hidden(tmp_path) == []


def test_parts_that_are_whole_are_not_written_again(tmp_path, folder, whole, monkeypatch):
    out = tmp_path / "scores"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", stop_at(os.replace, 3))
        score_paths(make_classifier(), [folder], out)
    under_way = tmp_path / ".scores.new"
    before = {path.name: path.stat().st_ino for path in part_paths(under_way)}

    score_paths(make_classifier(), [folder], out)

    after = {path.name: path.stat().st_ino for path in part_paths(out)}
    assert len(before) == 3
    assert before.items() <= after.items()
    assert contents(out) == whole


@pytest.mark.parametrize(("name", "text"), [("2024-01-01.txt", article(99)), ("ignored.pdf", "%PDF")])
def test_parts_of_what_has_changed_since_are_written_again(tmp_path, folder, monkeypatch, name, text):
    out = tmp_path / "scores"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", stop_at(os.replace, 3))
        score_paths(make_classifier(), [folder], out)
    (folder / name).write_text(text)

    score_paths(make_classifier(), [folder], out)
    score_paths(make_classifier(), [folder], tmp_path / "fresh")

    assert contents(out) == contents(tmp_path / "fresh")
    assert read_provenance(out).documents == DOCUMENTS


def test_an_old_folder_that_was_moved_away_is_put_back(tmp_path, folder, monkeypatch):
    out = tmp_path / "scores"
    score_paths(make_classifier(), [folder], out)
    before = contents(out)
    os.replace(out, tmp_path / ".scores.old")

    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, overwrite=True, on_progress=Stop(5))

    assert contents(out) == before
    assert ".scores.old" not in hidden(tmp_path)


def test_resuming_a_finished_folder_scores_what_is_new(tmp_path, folder):
    out = tmp_path / "scores"
    score_paths(make_classifier(), [folder], out)
    corpus(folder, **{"2024-02-01": article(50)})
    runtime = ArithmeticRuntime()

    score_paths(make_classifier(runtime), [folder], out, resume=True)
    score_paths(make_classifier(), [folder], tmp_path / "fresh")

    assert sum(runtime.calls) == 5
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_folder_that_is_there_is_refused_unless_asked_for(tmp_path, folder):
    out = tmp_path / "scores"
    score_paths(make_classifier(), [folder], out)

    with pytest.raises(StancewireError, match=r"scores is already there: --resume .*--overwrite"):
        score_paths(make_classifier(), [folder], out)


def test_a_folder_with_other_files_or_a_file_is_no_place_for_parts(tmp_path, folder):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear all.")
    (tmp_path / "file").write_text("Dear all.")

    for name in ("mine", "file"):
        with pytest.raises(StancewireError, match=f"{name} is there and is no folder of scores"):
            score_paths(make_classifier(), [folder], tmp_path / name, overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "Dear all."


def test_the_folder_is_not_read_as_articles_where_it_lies_among_them(tmp_path, folder):
    out = folder / "scores"
    score_paths(make_classifier(), [folder], out)

    result = score_paths(make_classifier(), [folder], out, resume=True)

    assert result.documents == DOCUMENTS
    assert [skipped.document for skipped in result.skipped] == ["empty.txt"]


def test_a_name_that_ends_in_a_slash_has_no_suffix():
    assert parse_out("scores/") == Path("scores")
    with pytest.raises(StancewireError, match=r"scores\.parquet/ should have no suffix"):
        parse_out("scores.parquet/")


def test_a_folder_that_lacks_a_part_or_has_another_outputs_is_refused(tmp_path, folder):
    out = tmp_path / "scores"
    score_paths(make_classifier(), [folder], out)
    shutil.copytree(out, tmp_path / "first")
    shutil.copytree(out, tmp_path / "last")
    (tmp_path / "first" / "part-00000.parquet").unlink()
    (tmp_path / "last" / "part-00006.parquet").unlink()
    score_paths(make_classifier(name="other"), [folder], tmp_path / "other")
    shutil.copy(tmp_path / "other" / "part-00002.parquet", out)

    with pytest.raises(StancewireError, match=r"first holds part-00001\.parquet of another output, or lacks"):
        read_provenance(tmp_path / "first")
    with pytest.raises(StancewireError, match=r"last lacks parts: it holds 90 of 100 sentences"):
        read_provenance(tmp_path / "last")
    with pytest.raises(StancewireError, match=r"scores holds part-00002\.parquet of another output"):
        read_provenance(out)


def test_report_events_compare_and_info_read_a_folder_as_they_read_a_file(tmp_path, folder):
    out, file = tmp_path / "scores", tmp_path / "scores.parquet"
    for place in (out, file):
        score_paths(make_classifier(), [folder], place)
        count_events(place, tmp_path / f"{place.stem}{len(place.name)}.csv", by="day")

    written = write_report(out, tmp_path / "report.html")
    compared = compare_files(out, file)
    split = compare_dates(out, date(2024, 1, 10))
    told = CliRunner().invoke(app, ["info", str(out), "--json"])

    assert list(read_scores(out, LABELS)) == list(read_scores(file, LABELS))
    assert (tmp_path / "scores6.csv").read_bytes() == (tmp_path / "scores14.csv").read_bytes()
    assert written.documents == DOCUMENTS
    assert (compared.shared, compared.changed) == (DOCUMENTS * 5, 0)
    assert split.first.documents == 9
    assert '"model": "arithmetic"' in told.output


def test_the_python_api_takes_what_the_command_takes(tmp_path, folder):
    theirs = {
        "paths",
        "engine",
        "ray_address",
        "model",
        "sha256",
        "quiet",
        "threads",
        "precision",
        "recall",
        "prior",
        "abstain",
    }
    told: list[Progress] = []
    classifier = make_classifier()

    result = classifier.score_folder(
        [str(folder)], f"{tmp_path}/scores/", max_document=0.001, any_language=True, on_progress=told.append
    )

    command = set(inspect.signature(inspect.unwrap(score)).parameters) - theirs
    assert command <= set(inspect.signature(classifier.score_folder).parameters)
    assert result.out == tmp_path / "scores"
    assert told[-1].is_writing
    assert classifier.score_folder(
        folder, tmp_path / "scores", max_document=0.001, any_language=True, resume=True
    )


def wait_for(process: subprocess.Popen, path: Path) -> None:
    while not path.exists():
        try:
            process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            continue
        break


RUN = """
import sys
from pathlib import Path
import stancewire.outputs, stancewire.reading
from arithmetic import make_classifier
from stancewire.scoring import score_paths
stancewire.outputs.SENTENCES_A_PART = 12
stancewire.reading.GROUP_SENTENCES = 8
stancewire.reading._GROUP_DOCUMENTS = 3
score_paths(make_classifier(), [Path(sys.argv[1])], Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tmp_path, folder, whole):
    out = tmp_path / "scores"
    arguments = [sys.executable, "-c", RUN, str(folder), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    chance = random.Random(3)
    killed = 0
    for _ in range(8):
        process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)
        wait_for(process, store_path(out))
        try:
            process.communicate(timeout=chance.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if out.exists():
            assert contents(out) == whole
            shutil.rmtree(out)
            errors_path(out).unlink()

    subprocess.run(arguments, env=environment, check=True, timeout=600)

    assert killed > 0
    assert contents(out) == whole
    assert hidden(tmp_path) == []


PAGE = (Path(__file__).parents[1] / "docs" / "output.md").read_text(encoding="utf-8")


def test_the_queries_of_the_page_run_as_they_stand(tmp_path, folder, monkeypatch):
    pytest.importorskip("polars")
    pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    score_paths(make_classifier(labels=("threat", "denial")), [folder], Path("scores"))
    section = PAGE[PAGE.index("## A folder of Parquet files") :]
    queries = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:2]
    found: list[dict] = [{}, {}]

    for query, names in zip(queries, found, strict=True):
        exec(query, names)

    by_polars, by_duckdb = found[0]["by_month"].rows(), found[1]["by_month"].fetchall()
    assert by_polars == by_duckdb
    assert [row[:2] for row in by_polars] == [(date(2024, 1, 1), DOCUMENTS * 5)]

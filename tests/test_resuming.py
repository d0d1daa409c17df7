"""A run that is cut short goes on where it stood, and ends with the bytes of one that was not."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from arithmetic import LABELS, ArithmeticRuntime, corpus, make_classifier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stancewire.reading
import stancewire.scoring
from stancewire import StanceClassifier
from stancewire.errors import StancewireError
from stancewire.outputs import store_path
from stancewire.provenance import errors_path, meta_path
from stancewire.rereading import reread
from stancewire.scores import read_scores
from stancewire.scoring import Progress, score_paths

SUFFIXES = (".jsonl", ".csv", ".parquet")
ARTICLE = (
    "The envoy said that the convoy would cross the river. The ministry answered that it would not.\n\n"
    "Dockers will strike on Monday unless the firm gives way! Nobody knows what the harbour will do."
)


def article(number: int) -> str:
    """Five sentences that no other article has."""
    return (
        f"The envoy said on day {number} that the convoy would cross the river. The ministry answered on day "
        f"{number} that it would not.\n\nDockers will strike on day {number} unless the firm gives way! "
        f"Nobody knows what the harbour will do on day {number}. So it was said on day {number}."
    )


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(stancewire.reading, "GROUP_SENTENCES", 8)
    monkeypatch.setattr(stancewire.reading, "_GROUP_DOCUMENTS", 3)


@pytest.fixture
def runtime() -> ArithmeticRuntime:
    return ArithmeticRuntime()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    articles = {f"n{number:02}": article(number) for number in range(20)}
    return corpus(
        tmp_path / "in",
        **articles,
        n03b="",
        n11b=b"\0\1\2",
        n15b="Le porte-parole a démenti les accusations et promis de poursuivre les pourparlers.",
    )


class Stop:
    """Interrupts a run once it has told a number of times how far it is."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def interrupt(folder: Path, out: Path, after: int, runtime: ArithmeticRuntime | None = None) -> None:
    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(runtime), [folder], out, on_progress=Stop(after))


def contents(out: Path) -> list[bytes | None]:
    return [name.read_bytes() if name.exists() else None for name in (out, meta_path(out), errors_path(out))]


def fresh(folder: Path, suffix: str) -> list[bytes | None]:
    out = folder.with_name(f"fresh{suffix}")
    score_paths(make_classifier(), [folder], out, overwrite=True)
    return contents(out)


def names(out: Path) -> list[str]:
    return [scored.document.id for scored in reread(out, ("warm", "cold"))]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_run_goes_on_and_scores_nothing_twice(tmp_path, folder, runtime, suffix):
    out = tmp_path / f"o{suffix}"
    interrupt(folder, out, 5, runtime)
    done = sum(runtime.calls)

    result = score_paths(make_classifier(runtime), [folder], out)

    assert 0 < done < sum(runtime.calls) <= result.sentences + 16
    assert contents(out) == fresh(folder, suffix)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(0, 20), max_size=5))
def test_any_interrupted_run_equals_the_uninterrupted_one(tmp_path, folder, suffix, stops):
    out = tmp_path / f"o{suffix}"
    shutil.rmtree(store_path(out), ignore_errors=True)
    for stop in stops:
        try:
            score_paths(make_classifier(), [folder], out, resume=True, on_progress=Stop(stop))
        except KeyboardInterrupt:
            continue

    score_paths(make_classifier(), [folder], out, resume=True)

    assert contents(out) == fresh(folder, suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_over_tables_and_archives_goes_on_too(tmp_path, folder, runtime, suffix):
    rows = [{"id": f"row {n}", "text": article(100 + n), "outlet": "Post", "page": n} for n in range(12)]
    lines = "\n".join(map(json.dumps, rows))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    with zipfile.ZipFile(folder / "b.zip", "w") as packed:
        packed.writestr("c.jsonl", lines)
    out = tmp_path / f"o{suffix}"
    for stop in (7, 9):
        interrupt(folder, out, stop, runtime)

    result = score_paths(make_classifier(runtime), [folder], out)

    assert sum(runtime.calls) <= result.sentences + 2 * 16
    assert result.documents == 20 + 2 * 12
    assert contents(out) == fresh(folder, suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_changed_while_a_run_stood_still_is_read_as_it_is_now(tmp_path, folder, suffix):
    out = tmp_path / f"o{suffix}"
    interrupt(folder, out, 10)
    corpus(folder, a_new_one=ARTICLE, n01="This one is quite another text now.", n19=ARTICLE)
    (folder / "n02.txt").unlink()

    score_paths(make_classifier(), [folder], out)

    assert contents(out) == fresh(folder, suffix)


def test_control_c_keeps_the_old_output_and_what_was_done(tmp_path, folder):
    out = tmp_path / "o.csv"
    score_paths(make_classifier(), [folder], out)
    before = contents(out)

    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, overwrite=True, on_progress=Stop(5))

    assert contents(out) == before
    assert store_path(out).exists()


def test_a_run_that_is_stopped_before_it_did_anything_leaves_nothing(tmp_path, folder):
    interrupt(folder, tmp_path / "o.csv", 0)

    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("classifier", "options", "message"),
    [
        ({"name": "b", "digest": "ef" * 32}, {}, r"the model was arithmetic \(cdcdcdcd\), is b \(efefefef\)"),
        ({"thresholds": (0.5, 0.25)}, {}, r"threshold cold was 0\.75, is 0\.25"),
        ({}, {"any_language": True}, r"setting any_language was False, is True"),
    ],
)
@pytest.mark.parametrize("flags", [{}, {"resume": True}])
@pytest.mark.parametrize("state", ["unfinished", "finished"])
def test_another_model_or_other_settings_are_refused_and_named(
    tmp_path, folder, classifier, options, message, flags, state
):
    out = tmp_path / "o.jsonl"
    if state == "unfinished":
        interrupt(folder, out, 5)
    else:
        score_paths(make_classifier(), [folder], out)
        flags = {"resume": True}

    with pytest.raises(StancewireError, match=rf"o\.jsonl is {state}, .*{message}\. .*--overwrite"):
        score_paths(make_classifier(**classifier), [folder], out, **options, **flags)

    assert score_paths(make_classifier(), [folder], out, resume=True).documents == 20


def test_an_unfinished_run_of_other_paths_is_refused_and_named(tmp_path, folder):
    out = tmp_path / "o.jsonl"
    other = corpus(tmp_path / "other", a=ARTICLE)
    interrupt(folder, out, 5)

    with pytest.raises(StancewireError, match=r"paths were .*/in, are .*/other\."):
        score_paths(make_classifier(), [other], out)


def test_a_library_of_another_version_is_named(tmp_path, folder, monkeypatch):
    out = tmp_path / "o.jsonl"
    interrupt(folder, out, 5)
    monkeypatch.setattr(stancewire.scoring, "version", lambda library: "99.0")

    with pytest.raises(StancewireError, match=r"tokenizers was [\d.]+, is 99\.0"):
        score_paths(make_classifier(), [folder], out)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_resuming_a_finished_output_scores_what_is_new_or_changed(tmp_path, folder, runtime, suffix):
    out = tmp_path / f"o{suffix}"
    score_paths(make_classifier(), [folder], out)
    corpus(folder, a_new_one=ARTICLE, n01="This one is quite another text now.", n03b="No longer empty.")

    result = score_paths(make_classifier(runtime), [folder], out, resume=True)

    assert sum(runtime.calls) == 4 + 1 + 1
    assert result.documents == 22
    assert contents(out) == fresh(folder, suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_resuming_keeps_the_documents_that_are_not_among_the_inputs_any_more(tmp_path, runtime, suffix):
    out = tmp_path / f"o{suffix}"
    monday = corpus(tmp_path / "in", monday1=ARTICLE, monday2=ARTICLE)
    tuesday = corpus(tmp_path / "more", tuesday=ARTICLE)
    score_paths(make_classifier(), [monday], out)

    result = score_paths(make_classifier(runtime), [tuesday], out, resume=True)

    assert sum(runtime.calls) == 4
    assert names(out) == ["monday1.txt", "monday2.txt", "tuesday.txt"]
    assert (result.documents, result.sentences) == (3, 12)


def test_resuming_an_output_that_an_older_version_wrote_says_so(tmp_path, folder):
    out = tmp_path / "o.jsonl"
    score_paths(make_classifier(), [folder], out)
    out.write_text(out.read_text("utf-8").replace('"fingerprint"', '"print"'), "utf-8")
    before = contents(out)

    with pytest.raises(StancewireError, match=r"not what this version writes \(no 'fingerprint'\)"):
        score_paths(make_classifier(), [folder], out, resume=True)

    assert contents(out) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_resumed_finished_output_that_is_interrupted_goes_on_too(tmp_path, folder, suffix, monkeypatch):
    out = tmp_path / f"o{suffix}"
    score_paths(make_classifier(), [folder], out)
    corpus(folder, **{f"m{number}": f"{ARTICLE} {number}." for number in range(9)})
    monkeypatch.setattr(stancewire.scoring, "_COMMIT_EVERY", 1)
    monkeypatch.setattr(stancewire.scoring, "to_line", stop_at(stancewire.scoring.to_line, 7))
    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, resume=True)
    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, resume=True, on_progress=Stop(1))

    score_paths(make_classifier(), [folder], out, resume=True)

    assert contents(out) == fresh(folder, suffix)


def stop_at(function, call: int):
    left = iter(range(call))

    def stopped(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*arguments)

    return stopped


def test_csv_for_spreadsheets_is_added_to_as_well(tmp_path, runtime):
    out = tmp_path / "o.csv"
    folder = corpus(
        tmp_path / "in", one="=1+1 is what he said on Monday to them.", two="'=1 she answered him then."
    )
    score_paths(make_classifier(), [folder], out, spreadsheet=True)
    corpus(folder, three=ARTICLE)

    score_paths(make_classifier(runtime), [folder], out, spreadsheet=True, resume=True)
    score_paths(make_classifier(), [folder], tmp_path / "fresh.csv", spreadsheet=True)

    assert sum(runtime.calls) == 4
    assert contents(out) == contents(tmp_path / "fresh.csv")
    with pytest.raises(StancewireError, match="setting spreadsheet was True, is False"):
        score_paths(make_classifier(), [folder], out, resume=True)
    with pytest.raises(StancewireError, match=r"o\.jsonl is no CSV"):
        score_paths(make_classifier(), [folder], tmp_path / "o.jsonl", spreadsheet=True)


def test_csv_for_spreadsheets_is_read_as_any_other_form(tmp_path):
    folder = corpus(
        tmp_path / "in", one="=1+1 is what he said on Monday to them.", two="'=1 she answered him."
    )
    guarded, lines = tmp_path / "o.csv", tmp_path / "o.jsonl"
    score_paths(make_classifier(), [folder], guarded, spreadsheet=True)
    score_paths(make_classifier(), [folder], lines)

    read = [[text.sentences for text in read_scores(out, LABELS)] for out in (guarded, lines)]

    assert read[0] == read[1]


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_articles_are_never_written_over_by_their_scores(tmp_path, flags):
    table = tmp_path / "articles.csv"
    table.write_text("id,text\na,The minister warned them on Monday.\n")

    with pytest.raises(StancewireError, match=r"articles\.csv is what is read"):
        score_paths(make_classifier(), [table], table, **flags)

    assert table.read_text() == "id,text\na,The minister warned them on Monday.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["articles.csv"]


def test_resume_starts_where_nothing_is(tmp_path, folder):
    result = score_paths(make_classifier(), [folder], tmp_path / "o.csv", resume=True)

    assert result.documents == 20


def test_an_unfinished_run_that_was_to_replace_an_output_does_not_do_so_unasked(tmp_path, folder):
    out = tmp_path / "o.csv"
    score_paths(make_classifier(), [folder], out)
    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, overwrite=True, on_progress=Stop(5))

    with pytest.raises(StancewireError, match=r"already there: --resume .*--overwrite"):
        score_paths(make_classifier(), [folder], out)

    assert score_paths(make_classifier(), [folder], out, resume=True).documents == 20


def test_overwrite_starts_an_unfinished_run_anew(tmp_path, folder, runtime):
    out = tmp_path / "o.csv"
    interrupt(folder, out, 5)

    result = score_paths(
        make_classifier(runtime, name="other"), [folder], out, overwrite=True, any_language=True
    )

    assert sum(runtime.calls) == result.sentences
    assert result.documents == 21


def test_overwrite_goes_on_with_what_it_began_itself(tmp_path, folder, runtime):
    out = tmp_path / "o.csv"
    score_paths(make_classifier(), [folder], out)
    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, overwrite=True, on_progress=Stop(10))

    result = score_paths(make_classifier(runtime), [folder], out, overwrite=True)

    assert 0 < sum(runtime.calls) < result.sentences
    assert contents(out) == fresh(folder, ".csv")


def test_what_is_done_and_damaged_is_named_and_overwrite_starts_anew(tmp_path, folder):
    out = tmp_path / "o.jsonl"
    store_path(out).write_bytes(b"This is no database." * 100)

    with pytest.raises(StancewireError, match=r"\.o\.jsonl\.part, .* is damaged .*--overwrite"):
        score_paths(make_classifier(), [folder], out)

    score_paths(make_classifier(), [folder], out, overwrite=True)
    assert contents(out) == fresh(folder, ".jsonl")


def test_a_second_run_into_the_same_output_is_refused(tmp_path, folder):
    out = tmp_path / "o.jsonl"

    def meanwhile(progress: Progress) -> None:
        for flags in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(StancewireError, match=r"another run is writing .*o\.jsonl: wait for it"):
                score_paths(make_classifier(), [folder], out, **flags)

    score_paths(make_classifier(), [folder], out, on_progress=meanwhile)

    assert contents(out) == fresh(folder, ".jsonl")


@pytest.mark.parametrize("renames", [0, 1, 2])
@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_a_run_stopped_while_its_files_get_their_names_goes_on(tmp_path, folder, monkeypatch, renames, flags):
    out = tmp_path / "o.csv"
    if flags:
        score_paths(make_classifier(), [folder], out)
    monkeypatch.setattr(os, "replace", stop_at(os.replace, renames))
    with pytest.raises(KeyboardInterrupt):
        score_paths(make_classifier(), [folder], out, **flags)
    monkeypatch.undo()

    score_paths(make_classifier(), [folder], out, **flags)

    assert contents(out) == fresh(folder, ".csv")


def test_a_disk_that_is_full_at_the_end_gets_a_sentence_and_what_is_done_is_kept(
    tmp_path, folder, runtime, monkeypatch
):
    out = tmp_path / "o.jsonl"

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        StancewireError, match=r"o\.jsonl cannot be written: No space left on device; what is"
    ):
        score_paths(make_classifier(), [folder], out)
    monkeypatch.undo()

    score_paths(make_classifier(runtime), [folder], out)
    assert runtime.calls == []
    assert contents(out) == fresh(folder, ".jsonl")


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "in"
    chance = random.Random(6)
    words = ["they", "denied", "it", "rained", "the", "envoy", "will", "answer", "if", "ships", "again"]
    articles = {
        f"{number % 7}__{number:03}": " ".join(
            " ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(20)
        )
        for number in range(300)
    }
    return corpus(folder, **articles, broken="")


def command(model: Path, folder: Path, out: Path, *flags: str) -> list[str]:
    score = [sys.executable, "-m", "stancewire.cli", "score", str(folder), "--out", str(out)]
    return [*score, "--model", str(model), *flags]


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen, path: Path) -> None:
    while not path.exists():
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        break


@dataclass
class Whole:
    """What uninterrupted runs wrote, by suffix, and how many seconds one took once it had begun."""

    model: Path
    contents: dict[str, list[bytes | None]]
    seconds: float


@pytest.fixture(scope="session")
def whole(tiny_model, many, tmp_path_factory) -> Whole:
    out = tmp_path_factory.mktemp("whole") / "o"
    classifier = StanceClassifier.load(tiny_model)
    for suffix in SUFFIXES:
        score_paths(classifier, [many], out.with_suffix(suffix))
    timed = out.with_name("timed.jsonl")
    process = start(command(tiny_model, many, timed))
    wait_for(process, store_path(timed))
    begun = time.monotonic()
    process.communicate()
    seconds = time.monotonic() - begun
    return Whole(tiny_model, {suffix: contents(out.with_suffix(suffix)) for suffix in SUFFIXES}, seconds)


def kill_at_random(arguments: list[str], out: Path, delay: float) -> bool:
    process = start(arguments)
    wait_for(process, store_path(out))
    try:
        process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def check_kills(whole: Whole, folder: Path, out: Path, kills: int) -> None:
    chance = random.Random(kills)
    while kills:
        if kill_at_random(command(whole.model, folder, out), out, chance.uniform(0, whole.seconds)):
            kills -= 1
        else:
            assert contents(out) == whole.contents[out.suffix]
            for path in out.parent.iterdir():
                path.unlink()

    subprocess.run(command(whole.model, folder, out), check=False, capture_output=True)

    assert contents(out) == whole.contents[out.suffix]
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("suffix", "kills"), [(".jsonl", 4), (".csv", 3), (".parquet", 3)])
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(whole, many, tmp_path, suffix, kills):
    check_kills(whole, many, tmp_path / f"o{suffix}", kills)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "kills"), [(".jsonl", 20), (".csv", 15), (".parquet", 15)])
def test_fifty_kills_end_with_the_same_bytes(whole, many, tmp_path, suffix, kills):
    check_kills(whole, many, tmp_path / f"o{suffix}", kills)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_run_that_is_told_to_end_does_so_and_goes_on(whole, many, tmp_path, sent, code):
    out = tmp_path / "o.jsonl"
    process = start(command(whole.model, many, out))
    wait_for(process, store_path(out))

    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == code
    assert "Traceback" not in stderr
    assert not out.exists()
    assert subprocess.run(command(whole.model, many, out), check=False, capture_output=True).returncode == 1
    assert contents(out) == whole.contents[".jsonl"]


def test_a_second_process_is_refused_and_does_the_first_no_harm(whole, many, tmp_path):
    out = tmp_path / "o.jsonl"
    first = start(command(whole.model, many, out))
    wait_for(first, store_path(out))
    os.kill(first.pid, signal.SIGSTOP)

    second = subprocess.run(
        command(whole.model, many, out, "--overwrite"), check=False, capture_output=True, text=True
    )
    os.kill(first.pid, signal.SIGCONT)
    first.communicate()

    assert second.returncode == 2
    assert second.stderr.startswith("stancewire: another run is writing")
    assert first.returncode == 1
    assert contents(out) == whole.contents[".jsonl"]


FULL_DISK = """
mount -t tmpfs -o size=$1 none disk || exit 77
shift
"$@"
echo "code $?"
mount -o remount,size=100m disk
"$@"
echo "code $?"
cp -a disk/. kept
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has tmpfs and unshare")
@pytest.mark.parametrize(
    ("suffix", "size"),
    [
        (".jsonl", "4m"),
        (".csv", "1m"),
        *[
            pytest.param(suffix, size, marks=pytest.mark.slow)
            for suffix in SUFFIXES
            for size in ("32k", "100k", "300k", "1m", "2m")
        ],
    ],
)
def test_a_disk_that_fills_up_ends_a_run_that_goes_on_when_there_is_room(whole, many, tmp_path, suffix, size):
    for name in ("disk", "kept"):
        (tmp_path / name).mkdir()
    arguments = command(whole.model, many, Path("disk") / f"o{suffix}")

    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", FULL_DISK, "sh", size, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    if done.returncode != 0 and "code" not in done.stdout:
        pytest.skip("this user may not mount a small disk")
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == ["code 2", "code 1"]
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr and "the same command goes on" in done.stderr
    assert contents(tmp_path / "kept" / f"o{suffix}") == whole.contents[suffix]

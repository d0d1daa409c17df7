"""On a cluster the output is that of one machine to the byte, wherever the files lie, and whoever dies."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from arithmetic import corpus
from handmade import write_folder
from typer.testing import CliRunner

import stancewire.engines.ray as engine
from stancewire import StanceClassifier
from stancewire.cli import app
from stancewire.engines.listing import list_files
from stancewire.errors import StancewireError
from stancewire.provenance import errors_path
from stancewire.scoring import Progress, ScoringResult, score_paths

TEXT = "The minister warns the minister. The minister denies the warning!"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("handmade") / "model")


@pytest.fixture(scope="module")
def classifier(model) -> StanceClassifier:
    return StanceClassifier.load(model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    articles = {f"b__{number:02}": f"{TEXT} {number}." for number in range(20)}
    folder = corpus(tmp_path / "in", **articles, a="", c="\0\1", d=TEXT)
    rows = [{"id": f"row {n % 3}", "text": f"{TEXT} {n}.", "outlet": "Post", "page": n} for n in range(5)]
    (folder / "b" / "e.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (folder / "f.pdf").write_bytes(b"%PDF")
    (folder / ".hidden.txt").write_text(TEXT)
    return folder


@pytest.fixture
def in_process(monkeypatch) -> list[int]:
    """Does a worker's work in this process, three files at a time; counts the documents that came back."""
    came: list[int] = []

    def run(files: list[dict], task: object, address: str | None) -> Iterator[pa.Table]:
        worker = engine._Worker(task, engine._roots(files))
        for start in range(0, len(files), 3):
            table = worker(pa.Table.from_pylist(files[start : start + 3]))
            came.append(len(table))
            yield table

    monkeypatch.setattr(engine, "_run", run)
    return came


def contents(out: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in (out.iterdir() if out.is_dir() else [out])}
    return files | {"errors": errors_path(out).read_bytes()}


def score(classifier: StanceClassifier, model: Path, paths: list[str], out: str, **more) -> ScoringResult:
    more.setdefault("any_language", True)
    return engine.score_with_ray(classifier, paths, out, {"model": str(model)}, **more)


@pytest.fixture
def whole(classifier, folder, tmp_path) -> dict[str, bytes]:
    score_paths(classifier, [folder], tmp_path / "fresh", any_language=True)
    return contents(tmp_path / "fresh")


def test_files_on_this_machine_give_the_bytes_of_the_local_engine(
    classifier, model, folder, tmp_path, whole, in_process
):
    result = score(classifier, model, [str(folder)], f"{tmp_path}/scores/")

    assert result.documents == 26
    assert contents(tmp_path / "scores") == whole


def test_addresses_give_them_too_and_nothing_is_left_here(
    classifier, model, folder, tmp_path, whole, in_process, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    score(classifier, model, [folder.as_uri()], (tmp_path / "far" / "scores").as_uri())

    assert contents(tmp_path / "far" / "scores") == whole
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_output_elsewhere_is_replaced_only_when_asked_for(
    classifier, model, folder, tmp_path, whole, in_process, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = (tmp_path / "far").as_uri()
    score(classifier, model, [folder.as_uri()], out)

    with pytest.raises(StancewireError, match="far is already there: --overwrite"):
        score(classifier, model, [folder.as_uri()], out)
    with pytest.raises(StancewireError, match="--resume adds to an output on this machine"):
        score(classifier, model, [folder.as_uri()], out, resume=True)
    score(classifier, model, [folder.as_uri()], out, overwrite=True)

    assert contents(tmp_path / "far") == whole


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("mine", "mine is there and is no folder of scores"),
        ("mine/thesis.docx", "thesis.docx cannot be written"),
        ("scores.csv", "scores.csv should have no suffix"),
    ],
)
def test_what_lies_elsewhere_and_is_no_scores_is_never_deleted(
    classifier, model, folder, tmp_path, in_process, monkeypatch, out, message, overwrite
):
    monkeypatch.chdir(tmp_path)
    thesis = tmp_path / "mine" / "thesis.docx"
    thesis.parent.mkdir()
    thesis.write_text("years of work")

    with pytest.raises(StancewireError, match=message):
        score(classifier, model, [folder.as_uri()], (tmp_path / out).as_uri(), overwrite=overwrite)

    assert thesis.read_text() == "years of work"
    assert in_process == []


def test_a_run_that_was_cut_short_goes_on_and_scores_no_file_twice(
    classifier, model, folder, tmp_path, whole, in_process, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = (tmp_path / "far").as_uri()

    def stop(progress: Progress) -> None:
        if progress.documents >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(classifier, model, [folder.as_uri()], out, on_progress=stop)
    asked: list[str] = []
    fresh = engine.SentenceCache.score
    monkeypatch.setattr(
        engine.SentenceCache,
        "score",
        lambda cache, sentences, *rest: asked.extend(sentences) or fresh(cache, sentences, *rest),
    )

    score(classifier, model, [folder.as_uri()], out)

    assert contents(tmp_path / "far") == whole
    assert 0 < len(asked) < 26 * 3 - 9 * 2


def test_a_copy_that_was_cut_short_is_copied_by_the_same_command(
    classifier, model, folder, tmp_path, whole, in_process, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = (tmp_path / "far").as_uri()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(engine, "_copy_out", interrupt)
        score(classifier, model, [folder.as_uri()], out)
    in_process.clear()

    score(classifier, model, [folder.as_uri()], out)

    assert in_process == []
    assert contents(tmp_path / "far") == whole


def test_another_command_does_not_copy_what_an_earlier_one_scored(
    classifier, model, folder, tmp_path, in_process, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = (tmp_path / "far").as_uri()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(engine, "_copy_out", interrupt)
        score(classifier, model, [folder.as_uri()], out)
    other = corpus(tmp_path / "other", z=TEXT)

    with pytest.raises(StancewireError, match="not copied yet, and was made otherwise: setting any_language"):
        score(classifier, model, [folder.as_uri()], out, any_language=False)
    result = score(classifier, model, [other.as_uri()], out)

    assert result.documents == 1


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_file_that_is_gone_costs_only_itself(classifier, model, folder, tmp_path, in_process, monkeypatch):
    listed = list_files([str(folder)], str(tmp_path / "scores"))
    (folder / "d.txt").unlink()
    monkeypatch.setattr(engine, "list_files", lambda paths, without: listed)

    result = score(classifier, model, [str(folder)], str(tmp_path / "scores"))

    assert result.documents == 25
    assert [skipped.document for skipped in result.skipped] == ["a.txt", "c.txt", "d.txt"]


def test_a_worker_with_another_model_or_other_libraries_refuses(classifier, model, tmp_path):
    task = engine._Task({"model": str(model)}, {}, engine.RowOptions(), True)
    settings = {"prior": {}, "abstain": None}
    made = engine.describe_making(classifier, settings) | {"digest": "00" * 32}

    with pytest.raises(StancewireError, match=r"a worker is not what the head is: the model was"):
        engine._Worker(engine.replace(task, making=made), [""])


def test_addresses_are_listed_as_folders_are(folder, tmp_path):
    own = folder / "scores"
    own.mkdir()
    (own / "part-00000.parquet").write_bytes(b"PAR1")
    (folder / "old.csv").write_text("a")
    (folder / "old.csv.meta.json").write_text("{}")
    (folder / "scores.errors.jsonl").write_text("{}")
    (folder / "scores.txt").write_text(TEXT)

    near = list_files([str(folder)], str(own))
    far = list_files([folder.as_uri()], own.as_uri())

    assert [entry.name for entry in far.entries] == [entry.name for entry in near.entries]
    assert [entry.size for entry in far.entries] == [entry.size for entry in near.entries]
    assert far.ignored == near.ignored


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["file:///none-such"], "there is no file or folder file:///none-such"),
        (["nowhere://bucket/a"], "nowhere://bucket/a cannot be opened"),
        (["-"], "standard input is read by one process"),
        ([".", "file:///tmp"], "all be on this machine, or all addresses"),
    ],
)
def test_what_cannot_be_listed_gets_a_sentence(paths, message):
    with pytest.raises(StancewireError, match=message):
        list_files(paths, "scores")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--engine", "spark"], "should be local or ray"),
        (["--engine", "ray", "--threads", "2"], "each worker of Ray has one thread"),
        (["--ray-address", "auto"], "is of --engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, flags, message):
    result = CliRunner().invoke(app, ["score", str(tmp_path), "--out", "scores", *flags])

    assert result.exit_code == 2
    assert message in result.stderr


def test_an_address_wants_the_engine(tmp_path):
    result = CliRunner().invoke(app, ["score", "s3://bucket/a", "--out", "scores"])

    assert result.exit_code == 2
    assert "s3://bucket/a is on another machine: add --engine ray" in result.stderr


def test_without_ray_the_extra_is_named(classifier, model, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(StancewireError, match=r"--engine ray needs ray: pip install 'stancewire\[ray\]'"):
        score(classifier, model, [str(folder)], str(tmp_path / "scores"))


# A machine at work may take minutes to start what Ray gives seconds.
PATIENT = {
    "RAY_raylet_start_wait_time_s": "900",
    "RAY_agent_register_timeout_ms": "900000",
    "RAY_worker_register_timeout_seconds": "900",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_health_check_timeout_ms": "600000",
    "RAY_health_check_period_ms": "60000",
}
CLUSTER = """
import os, socket, sys, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import psutil
import ray._private.services as services
from ray.cluster_utils import Cluster
from stancewire import StanceClassifier
from stancewire.engines.ray import score_with_ray

find = services.get_node
def find_patiently(*arguments):
    for _ in range(900):
        try:
            return find(*arguments)
        except RuntimeError:
            time.sleep(1)
    return find(*arguments)
services.get_node = find_patiently

model, folder, out, kill = sys.argv[1:]
AGENTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port",
          "runtime_env_agent_port")
def node():
    # With ports that are given a node does not wait for its agents, thirty seconds and no longer.
    sockets = [socket.socket() for _ in AGENTS]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return {"num_cpus": 1, "object_store_memory": 80_000_000, **dict(zip(AGENTS, ports))}

cluster = Cluster(initialize_head=True, head_node_args={**node(), "include_dashboard": False})
cluster.add_node(**node())
killed = []
def on_progress(progress):
    if kill == "kill" and not killed and not progress.is_writing:
        workers = [one for one in psutil.process_iter(["cmdline"])
                   if " ".join(one.info["cmdline"] or []).startswith("ray::MapWorker")]
        for worker in workers[:1]:
            worker.kill()
            killed.append(worker.pid)
score_with_ray(StanceClassifier.load(model), [folder], out, {"model": model}, address=cluster.address,
               any_language=True, on_progress=on_progress)
print("nodes", len(cluster.list_all_nodes()), "killed", len(killed))
cluster.shutdown()
"""


def run_on_two_nodes(model: Path, folder: str, out: str, home: Path, kill: str = "", **more: str) -> str:
    environment = {**os.environ, **PATIENT, "HOME": str(home), **more}
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(model), folder, out, kill],
        env=environment, cwd=home, capture_output=True, text=True, timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout


@pytest.mark.slow
def test_a_cluster_of_two_nodes_gives_the_bytes_of_one_machine(model, folder, tmp_path, whole):
    pytest.importorskip("ray")

    told = run_on_two_nodes(model, str(folder), str(tmp_path / "scores"), tmp_path)

    assert "nodes 2" in told
    assert contents(tmp_path / "scores") == whole


@pytest.mark.slow
def test_a_worker_that_dies_is_survived(model, folder, tmp_path, classifier):
    pytest.importorskip("ray")
    corpus(folder, **{f"g__{number:03}": f"{TEXT} {number}." for number in range(400)})
    score_paths(classifier, [folder], tmp_path / "fresh", any_language=True)

    told = run_on_two_nodes(model, str(folder), str(tmp_path / "scores"), tmp_path, "kill")

    assert "killed 1" in told
    assert contents(tmp_path / "scores") == contents(tmp_path / "fresh")


@pytest.mark.slow
def test_a_bucket_is_read_and_written(model, folder, tmp_path, whole):
    pytest.importorskip("ray")
    # Beside this Python, or where the variable says: others on the path may be too old for pyarrow's uploads.
    server = shutil.which(os.environ.get("STANCEWIRE_MOTO", Path(sys.executable).with_name("moto_server")))
    if server is None:
        pytest.skip("moto_server, which stands in for S3, is not installed")
    script = Path(__file__).with_name("s3_server.py")
    done = subprocess.run(
        [sys.executable, str(script), server, sys.executable, str(model), str(folder), str(tmp_path)],
        env={**os.environ, **PATIENT, "HOME": str(tmp_path), "SCRIPT": CLUSTER},
        cwd=tmp_path, capture_output=True, text=True, timeout=3000, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-5000:]
    assert contents(tmp_path / "back" / "scores") == whole

"""The command `stancewire serve` as a process: how it begins, bears what is sent to it, and stops."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from handmade import write_folder
from served import Served, parse, receive, request
from typer.testing import CliRunner

from stancewire.cli import app

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BODY = b'{"sentences": ["The minister denies it."]}'


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], Served]]:
    """Run the command on a free port, with a model made by hand."""
    command = [
        sys.executable,
        "-m",
        "stancewire.cli",
        "serve",
        "--model",
        str(folder),
        "--port",
        "0",
        *options,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        yield process, Served(None, int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1]))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("models") / "handmade")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_when_what_is_under_way_is_answered(folder, number):
    head = request("/predict", BODY)
    with running(folder) as (process, served), served.connect() as connection:
        connection.sendall(head[:-10])
        assert served.get("/health")[0] == 200

        process.send_signal(number)
        assert process.stderr.readline() == "stancewire: stopping\n"
        connection.sendall(head[-10:])
        answer = parse(receive(connection))
        code = process.wait(60)
        said = process.stderr.read()

    assert answer[0] == 200
    assert len(json.loads(answer[2])["predictions"]) == 1
    assert (code, said) == (0, "")


def resident(process: subprocess.Popen[str]) -> int:
    """Megabytes of memory of a process."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) // 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_hostile_requests_cost_no_memory_and_leave_no_trace(folder):
    posted = request("/predict", None, content_type="application/json", content_length="900000")
    slow = posted.replace(b"GET", b"POST", 1) + b'{"sentences": ["'
    deep = request("/predict", b'{"sentences":' + b"[" * 900_000)
    many = request("/predict", b'{"sentences":[' + b"1," * 450_000 + b"1]}")
    large = request("/predict", b" " * 3_000_000)
    odd = request("/score", b'{"documents":[{"text":"' + b"a" * 900_000 + b'"}]}')
    with running(folder) as (process, served), ThreadPoolExecutor(8) as clients:
        for hostile in (deep, many, large, odd):
            list(clients.map(served.send, [hostile] * 8))
        before = resident(process)

        waiting = [served.connect() for _ in range(1_000)]
        for connection in waiting[:500]:
            connection.sendall(slow)
        statuses = {parse(answer)[0] for answer in clients.map(served.send, [deep, many, large, odd] * 50)}
        for connection in waiting:
            connection.close()
        served.get("/health")
        after = resident(process)
        answered = served.send(request("/predict", BODY))
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]

    assert statuses <= {400, 413, 422, 503}
    assert parse(answered)[0] == 200
    assert after - before < 100
    assert said == "stancewire: stopping\n"


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(folder):
    with running(folder) as (_, served):
        result = CliRunner().invoke(app, ["serve", "--model", str(folder), "--port", str(served.port)])

    assert result.exit_code == 2
    assert f"cannot serve on 127.0.0.1, port {served.port}: Address already in use" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--allow-origin", "example.org"], "'example.org' is no origin"),
        (["--allow-host", "a:80"], "'a:80' is no host"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_what_it_cannot_be_asked_for_is_told(folder, options, told):
    result = CliRunner().invoke(app, ["serve", "--model", str(folder), "--port", "0", *options])

    assert result.exit_code == 2
    assert told in result.stderr


def test_what_has_to_be_installed_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    result = CliRunner().invoke(app, ["serve"])

    assert result.exit_code == 2
    assert "stancewire serve needs fastapi, uvicorn: pip install 'stancewire[serve]'" in result.stderr

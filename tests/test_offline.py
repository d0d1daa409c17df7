"""Scoring reaches for no network, starts no program, unpickles nothing and writes only its output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import skip_or_fail

from stancewire.manifest import resolve_folder

# Python tells an audit hook what it does (https://docs.python.org/3/library/audit_events.html).
WATCHED = """
import json, os, sys

sys.dont_write_bytecode = True
model, seen = sys.argv[1], []
told = "socket. subprocess. pickle. urllib. http. ftplib. smtplib. webbrowser. os.system os.exec os.fork"

def watch(event, arguments):
    if event.startswith(tuple(told.split())):
        seen.append([event, repr(arguments)[:200]])
    elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append(["write", str(arguments[0])])
    elif event == "exec" and model in str(getattr(arguments[0], "co_filename", "")):
        seen.append(["exec", arguments[0].co_filename])
    elif event == "import" and model in str(arguments[1]):
        seen.append(["import", str(arguments[1])])

from stancewire.cli import app
sys.addaudithook(watch)
try:
    app(sys.argv[2:])
except SystemExit as end:
    print(json.dumps([end.code, seen]))
"""


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    folder.mkdir()
    (folder / "a.txt").write_text("The minister denied it. See http://example.org/x.\n", encoding="utf-8")
    (folder / "b.txt").write_bytes("The café owner warned them.".encode("cp1252"))
    return folder


def test_scoring_does_nothing_but_read_and_write_its_output(articles: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"

    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(resolve_folder()), "score", str(articles), "--out", str(out)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    code, seen = json.loads(done.stdout.splitlines()[-1])
    elsewhere = [(what, which) for what, which in seen if what != "write" or str(tmp_path) not in which]
    assert code == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2
    assert elsewhere == []


def test_the_watch_sees_what_it_should(tmp_path: Path):
    code = WATCHED[: WATCHED.index("from stancewire")] + (
        "sys.addaudithook(watch)\n"
        "import pickle, socket\n"
        "open(os.devnull, 'w'); pickle.loads(pickle.dumps(Exception)); socket.socket()\n"
        "print(json.dumps([entry[0] for entry in seen]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "x"], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert set(json.loads(done.stdout)) >= {"write", "pickle.find_class", "socket.__new__"}


def test_scoring_without_a_network_gives_the_same_bytes(articles: Path, tmp_path: Path):
    unshare = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        skip_or_fail("unshare", "this machine gives no network namespace of one's own")
    command = [sys.executable, "-m", "stancewire.cli", "score", str(articles), "--out"]

    subprocess.run([*command, str(tmp_path / "with.jsonl")], check=True, capture_output=True)
    subprocess.run([*unshare, *command, str(tmp_path / "without.jsonl")], check=True, capture_output=True)

    assert (tmp_path / "without.jsonl").read_bytes() == (tmp_path / "with.jsonl").read_bytes()

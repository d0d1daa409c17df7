"""A classifier that needs no model, and a server before it, for the tests of `stancewire serve`."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from stancewire.classifier import Prediction, ScoredSentence, Stance
from stancewire.segmentation import Sentence
from stancewire.server.app import create_app
from stancewire.server.protocol import timed
from stancewire.server.run import _Server, listen
from stancewire.server.settings import Access, Limits
from stancewire.spans import Span


class WordClassifier:
    """Finds a stance where its word stands; the first word is who, the last towards whom.

    `gate` holds it up until it is set, and `readings` counts the sentences that it read.
    """

    labels = ("threat", "denial")
    thresholds = {"threat": 0.5, "denial": 0.25}  # noqa: RUF012
    words = {"threat": "warned", "denial": "denied"}  # noqa: RUF012
    manifest = SimpleNamespace(name="words")
    digest = "ab" * 32
    prior: dict[str, float] = {}  # noqa: RUF012
    abstain = None

    def __init__(self, seconds: float = 0.0) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.seconds = seconds
        self.readings = 0

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [Prediction(text, *self._judge(text, 0)) for text in texts]

    def score_sentences(self, sentences: Sequence[Sentence]) -> list[ScoredSentence]:
        return [
            ScoredSentence(
                sentence.text, *self._judge(sentence.text, sentence.start), sentence.start, sentence.end
            )
            for sentence in sentences
        ]

    def _judge(self, text: str, start: int) -> tuple:
        self.gate.wait()
        self.readings += 1
        if self.seconds:
            time.sleep(self.seconds)
        if "explode" in text:
            raise RuntimeError("a secret of the server")
        said = {label: 0.875 if word in text else 0.125 for label, word in self.words.items()}
        names = [
            Span(name.group(), start + name.start(), start + name.end(), 0.5)
            for name in re.finditer(r"\w+", text)
        ]
        stances = tuple(
            Stance(label, value, "span", names[0], names[-1])
            for label, value in said.items()
            if value >= self.thresholds[label]
        )
        return said, stances, 0.25, False


class Served:
    """A server in a thread of this process."""

    def __init__(self, server: _Server, port: int) -> None:
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def send(self, *parts: bytes) -> bytes:
        """Send bytes on a connection of their own, and give what comes back until it is closed."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return receive(connection)

    def post(self, path: str, values: object, **headers: str) -> tuple[int, dict]:
        status, _, body = parse(self.send(request(path, json.dumps(values).encode(), **headers)))
        return status, json.loads(body)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return parse(self.send(request(path, None, **headers)))


def request(path: str, body: bytes | None, **headers: str) -> bytes:
    """Write a request that asks to close the connection after the answer."""
    sent = {"host": "127.0.0.1", "connection": "close"}
    if body is not None:
        sent |= {"content-type": "application/json", "content-length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in sent.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def receive(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Take an answer apart: status, headers in lower case, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


@contextmanager
def serving(
    classifier: object | None = None, limits: Limits | None = None, access: Access | None = None
) -> Iterator[Served]:
    """Serve a classifier on a free port of loopback, in a thread."""
    import uvicorn

    limits = limits or Limits(workers=2)
    sock = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(classifier or WordClassifier(), limits, access),
        http=timed(limits.request_seconds),
        ws="none",
        log_config=None,
        log_level="error",
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield Served(server, sock.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        sock.close()

"""Drive `stancewire serve` with one client, with 32, and at twice the load that it can bear.

    python benchmarks/load.py [--seconds 60] [--model FOLDER] [--task score]

It starts a server of its own on a free port of loopback. First one client asks, one request after the other,
and then 32: the server's throughput, and how long requests waited in its queue. Then requests come at twice
the rate that the 32 got, whatever becomes of them, from 128 clients at most, for as many seconds as are asked
for: how many were answered, how many refused with 503, how many lost without an answer, and the memory of the
server before and after. One second later a request has to be answered as if nothing had been. The machine
should be idle: clients and server share its processors, and the load found is printed and stands in the last
line, one JSON document. Exit code 1 says that something was lost, or that the server did not recover.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil

from stancewire.segmentation import split_sentences

ARTICLES = Path(__file__).parents[1] / "examples" / "articles"
SENTENCES = 20
MANY = 32
MOST = 128
PATIENCE = 120.0
QUEUED = re.compile(rb"queue;dur=([\d.]+)")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Outcome:
    """What became of requests: answers by status, those without one, and the milliseconds of each kind."""

    statuses: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second that were answered with what they asked for."""
        return self.statuses[200] / self.seconds


class Client:
    """One connection that asks the same again and again, and is opened again where it was closed."""

    def __init__(self, port: int, request: bytes, outcome: Outcome) -> None:
        self._port = port
        self._request = request
        self._outcome = outcome
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """Send the request, and note what becomes of it."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                status, head = await self._exchange()
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._outcome.lost[type(error).__name__] += 1
            self.close()
            return
        took = 1000 * (time.perf_counter() - began)
        self._outcome.statuses[status] += 1
        if status == 200:
            self._outcome.milliseconds.append(took)
            if queued := QUEUED.search(head):
                self._outcome.queued.append(float(queued[1]))
        elif status == 503:
            self._outcome.refused.append(took)

    async def _exchange(self) -> tuple[int, bytes]:
        if self._streams is not None:
            try:
                return await self._send(*self._streams)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                # A server may close a connection that was not used for a while; then nothing comes back.
                if getattr(error, "partial", b""):
                    raise
                self.close()
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return await self._send(*self._streams)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bytes]:
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        return int(head.split(b" ", 2)[1]), head

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def drive(
    port: int, request: bytes, clients: int, seconds: float, rate: float | None = None
) -> Outcome:
    """Let clients ask as fast as they are answered, or together at `rate` requests a second."""
    outcome, began, numbers = Outcome(), time.perf_counter(), count()

    async def ask(client: Client) -> None:
        while True:
            due = time.perf_counter() if rate is None else began + next(numbers) / rate
            if max(due, time.perf_counter()) >= began + seconds:
                return
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            await client.ask()

    connections = [Client(port, request, outcome) for _ in range(clients)]
    await asyncio.gather(*map(ask, connections))
    for client in connections:
        client.close()
    outcome.seconds = time.perf_counter() - began
    return outcome


def make_request(task: str) -> bytes:
    """Ask for an article of 20 sentences, or for its first sentence alone."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(ARTICLES.glob("*.txt")))
    sentences = [sentence.text for text in texts for sentence in split_sentences(text)][:SENTENCES]
    values = (
        {"sentences": sentences[1:2]}
        if task == "predict"
        else {"documents": [{"text": "\n\n".join(sentences)}]}
    )
    body = json.dumps(values).encode()
    head = (
        f"POST /{task} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def start_server(model: str | None) -> tuple[subprocess.Popen[str], int]:
    """Start a server on a free port, and wait until it serves."""
    command = [sys.executable, "-m", "stancewire.cli", "serve", "--port", "0"]
    command += ["--model", model] if model else []
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline()
    found = re.search(r":(\d+)/", line)
    if found is None:
        sys.exit(f"the server did not start: {line}{server.stderr.read()}")
    return server, int(found[1])


def megabytes(server: subprocess.Popen[str]) -> float:
    return psutil.Process(server.pid).memory_info().rss / 1e6


def describe(name: str, outcome: Outcome) -> str:
    answered = outcome.milliseconds or [float("nan")]
    queued = outcome.queued or [float("nan")]
    refused = f"{statistics.median(outcome.refused):8.1f}" if outcome.refused else " " * 8
    return (
        f"{name:24}{outcome.rate:9.1f}{statistics.median(answered):9.1f}"
        f"{sorted(answered)[int(0.95 * len(answered))]:9.1f}{statistics.median(queued):9.2f}"
        f"{outcome.statuses[200]:9,}{outcome.statuses[503]:9,}{refused}{outcome.lost.total():6,}"
    )


async def measure(port: int, server: subprocess.Popen[str], task: str, seconds: float) -> dict[str, object]:
    request = make_request(task)
    warm = min(seconds, 10.0)
    await drive(port, request, 2, 2)
    widths = {"a second": 9, "ms": 9, "ms, 95%": 9, "queue ms": 9, "200": 9, "503": 9, "503 ms": 8, "lost": 6}
    print(" " * 24 + "".join(f"{name:>{width}}" for name, width in widths.items()))
    one = await drive(port, request, 1, warm)
    print(describe("1 client", one))
    many = await drive(port, request, MANY, warm)
    print(describe(f"{MANY} clients", many))
    before = megabytes(server)
    over = await drive(port, request, MOST, seconds, 2 * many.rate)
    after = megabytes(server)
    print(describe(f"{2 * many.rate:.0f} a second asked for", over))
    await asyncio.sleep(1)
    later = await drive(port, request, 1, 2)
    print(describe("one second after", later))
    print(f"memory of the server: {before:.0f} MB before, {after:.0f} MB after")
    print(f"{MANY} clients get {many.rate / one.rate:.2f} times what one gets")
    others = {status: number for status, number in over.statuses.items() if status not in (200, 503)}
    return {
        "task": task,
        "one": one.rate,
        "many": many.rate,
        "ratio": many.rate / one.rate,
        "queue_ms_one": statistics.median(one.queued),
        "ms_one": statistics.median(one.milliseconds),
        "asked": 2 * many.rate,
        "sent": (over.statuses.total() + over.lost.total()) / over.seconds,
        "seconds": over.seconds,
        "answered": over.statuses[200],
        "refused": over.statuses[503],
        "refused_ms": statistics.median(over.refused) if over.refused else None,
        "others": others,
        "lost": dict(over.lost),
        "megabytes": [before, after],
        "recovered": set(later.statuses) == {200} and not later.lost,
        "ms_after": statistics.median(later.milliseconds) if later.milliseconds else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=None, help="a model folder; by default the one that comes along")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load is too much")
    parser.add_argument("--task", choices=("score", "predict"), default="score")
    arguments = parser.parse_args()

    load = os.getloadavg()[0]
    print(f"{arguments.task}, {os.cpu_count()} processors, load before the run {load:.2f}")
    server, port = start_server(arguments.model)
    try:
        result = asyncio.run(measure(port, server, arguments.task, arguments.seconds))
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(PATIENCE)
    result |= {"load": load, "exit_code": code}
    print(json.dumps(result))
    sys.exit(0 if result["recovered"] and not result["lost"] and not result["others"] and code == 0 else 1)


if __name__ == "__main__":
    main()

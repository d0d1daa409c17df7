"""Run the server until it is told to stop, and let it answer what is under way."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from stancewire.classifier import StanceClassifier
from stancewire.errors import StancewireError
from stancewire.server.app import create_app
from stancewire.server.protocol import timed
from stancewire.server.settings import Access, Limits

_SPARE_FILES = 64
# Threads of Python take turns; with its 5 ms an answer would wait that long for each turn of a busy model.
_SWITCH_SECONDS = 0.0005
_KEEP_ALIVE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to serve on; port 0 takes a free one. Raises StancewireError where that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.create_server((host, port), family=family, backlog=1024)
        # Connections take it over. asyncio sets it only on sockets that name their protocol, which these do
        # not; without it each answer after a connection's first waits some 40 ms for the client to confirm.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StancewireError(f"cannot serve on {host}, port {port}: {reason}") from None


def serve(
    classifier: StanceClassifier,
    sock: socket.socket,
    limits: Limits | None = None,
    access: Access | None = None,
    on_stop: Callable[[], object] | None = None,
) -> None:
    """Serve a classifier, loaded with `threads=1`, until SIGTERM or ctrl-C.

    What is under way then is answered first, which takes `limits.seconds` at most; a second ctrl-C does not
    wait. `on_stop` is called when it begins to stop.
    """
    limits = limits or Limits()
    logging.getLogger("uvicorn.access").disabled = True
    config = uvicorn.Config(
        create_app(classifier, limits, access),
        http=timed(limits.request_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_room_for_connections(limits.connections),
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(limits.seconds + limits.body_seconds) + 1,
    )
    server = _Server(config, on_stop)
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with _quiet_signals():
            server.run(sockets=[sock])
    finally:
        sys.setswitchinterval(before)
        sock.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], object] | None) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_stop is not None:
            self._on_stop()
        await super().shutdown(sockets)


@contextmanager
def _quiet_signals() -> Iterator[None]:
    # uvicorn sends itself the signal that it stopped for once more; by then all is done.
    before = {}
    with suppress(ValueError):  # in another thread than the main one uvicorn takes no signals
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _room_for_connections(wanted: int) -> int:
    """Ask the system for as many open files as that takes, and say how many connections there is room for."""
    try:
        import resource
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + _SPARE_FILES:
        soft = wanted + _SPARE_FILES if hard == resource.RLIM_INFINITY else min(hard, wanted + _SPARE_FILES)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(min(wanted, soft - _SPARE_FILES), 1)

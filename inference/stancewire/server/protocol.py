"""uvicorn's HTTP/1.1 connection with time limits on what uvicorn waits for without end.

The head of a request, the rest of a body that was refused, and the reading of an answer may not take longer
than a few seconds each, or slow clients would hold connections and memory for good.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 46\r\n"
    b'Connection: close\r\n\r\n{"detail":"the request took too long to come"}'
)


class TimedProtocol(H11Protocol):
    """A connection that is closed where `seconds` pass between one answer and the next whole request head."""

    def __init__(self, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self.lingers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self)))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a request whose head is whole is no longer waited for."""
        if self.lingers:
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the answer to be read."""
        self._unsent = self.transport.get_write_buffer_size()
        self._wait()
        super().on_response_complete()

    @property
    def is_sent_a_body(self) -> bool:
        """Whether the client is still sending the body of a request."""
        return self.conn.their_state is h11.SEND_BODY

    def _wait(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self._seconds, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # A request that came behind another, before that was answered.
            return
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            # The answer is being read, if slowly.
            self._unsent = unsent
            self._wait()
            return
        has_begun = self.conn.our_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if unsent == 0 and has_begun and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()
        else:
            self.transport.abort()


class _Transport:
    """A transport that is closed only when the client has sent all it wanted to, or the time is up.

    Closed with bytes on their way, a connection is reset, and the client may never see the answer.
    """

    def __init__(self, transport: asyncio.Transport, protocol: TimedProtocol) -> None:
        self._transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._protocol.lingers or self._transport.is_closing()

    def close(self) -> None:
        if self._protocol.is_sent_a_body and not self.is_closing():
            self._protocol.lingers = True
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()


def timed(seconds: float) -> Any:
    """Make what uvicorn takes for its `http`: a protocol with that time limit."""
    return partial(TimedProtocol, seconds=seconds)

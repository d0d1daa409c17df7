"""The bodies of requests: read under limits of kind, size and time, and of memory together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request

from stancewire.server.settings import Limits

_JSON = "application/json"


class Bodies:
    """Reads the bodies of requests, and knows how many bytes those take that were not answered yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read the body of a request of JSON; its bytes count as held until the context ends.

        Raises HTTPException: 415 for what is no JSON, 413 for too much, 408 where it takes too long, 503
        where the bodies under way leave no room. Raises starlette's ClientDisconnect where the client leaves.
        """
        self._check(request)
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    self.held += len(chunk)
                    chunks.append(chunk)
                    if size > self._limits.body_bytes:
                        raise self._too_large()
                    if self.held > self._limits.held_bytes:
                        raise busy("the requests under way leave no room for the body of this one")
            yield b"".join(chunks)
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not arrive within {self._limits.body_seconds:g} seconds"
            ) from None
        finally:
            self.held -= size

    def _check(self, request: Request) -> None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _JSON:
            raise HTTPException(415, f"the body should be JSON, with the header Content-Type: {_JSON}")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "the body should not be compressed")
        # The server has looked at it: it is a number.
        if int(request.headers.get("content-length", "0")) > self._limits.body_bytes:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the body has more than {self._limits.body_bytes:,} bytes")


def busy(reason: str) -> HTTPException:
    """Make the answer of a server that has too much to do."""
    return HTTPException(503, reason, {"Retry-After": "1"})

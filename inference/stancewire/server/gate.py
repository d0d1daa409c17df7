"""What every request passes first: who may ask, and what a browser may do with the answer.

A page of another site can have its own name point to 127.0.0.1 (DNS rebinding), and then asks with that name
as Host; or it can post to 127.0.0.1 outright, and then the browser says so in Origin. Both are refused.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stancewire.server.settings import Access

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The content security policy: the page's own files, no inline script, and nothing from elsewhere."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")


class Gate:
    """ASGI middleware: refuses other hosts and origins, sets the headers, and answers HEAD as GET."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["scheme"])
        if refusal is not None:
            await refusal(scope, receive, send_safely)
            return
        if scope["method"] == "HEAD":
            # The server leaves the body out.
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send_safely)

    def _refusal(self, headers: Headers, scheme: str) -> JSONResponse | None:
        hosts = [host.lower() for host in headers.getlist("host")]
        parts = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if parts is None:
            return _problem(400, "the request should name one host")
        if parts[1] not in self._access.hosts:
            return _problem(421, "this server has another name: --allow-host adds one")
        origin = headers.get("origin")
        own = f"{scheme}://{hosts[0]}"
        if origin is None or origin == own or self._access.origins & {origin, "*"}:
            return None
        return _problem(403, "a page of another origin may not ask: --allow-origin lets it")


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)

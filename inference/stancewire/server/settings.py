"""What a server allows: how much, how long, and to whom."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Final

from stancewire.errors import StancewireError
from stancewire.runtime import available_processors

LONGEST_SENTENCE: Final = 10_000
"""Characters of one sentence: reading it cannot be broken off, and takes about a second at most."""

LONGEST_NAME: Final = 500
"""Characters of a document's name."""

_ANY_ADDRESS = ("0.0.0.0", "::")
_HOST = re.compile(r"[a-z0-9._-]+")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?|\*")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one server takes on.

    `waiting` requests stand in the queue beside those that `workers` threads are at; `body_bytes` is the
    largest body of a request, `held_bytes` what the bodies under way take together; `sentences` is how many
    one request may hold. `seconds` is how long a request may wait and be worked at, `body_seconds` how long
    its body may take to arrive, `request_seconds` its head, or the reading of its answer. `connections` is
    how many may be open; a request on more of them is refused.
    """

    workers: int = field(default_factory=available_processors)
    waiting: int = 64
    body_bytes: int = 1_000_000
    held_bytes: int = 64_000_000
    sentences: int = 2_000
    seconds: float = 30.0
    body_seconds: float = 10.0
    request_seconds: float = 10.0
    connections: int = 2_000

    def with_workers(self, workers: int | None) -> Limits:
        """Give the limits with another number of threads, where there is one."""
        return self if workers is None else replace(self, workers=workers)

    def with_room(self) -> Limits:
        """Give the limits with room for at least the bodies of a few of the largest requests."""
        return replace(self, held_bytes=max(self.held_bytes, 8 * self.body_bytes))


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: the names a request may call this server by, and the other origins that may use it.

    Hosts are names or addresses in lower case without a port, IPv6 in square brackets. Origins are as a
    browser sends them, `https://example.org`, or `*` for any.
    """

    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: str, hosts: Iterable[str], origins: Iterable[str]) -> Access:
        """Let in who calls the address that is served on, or one of `hosts`, by its name.

        Raises StancewireError for what is no host or no origin.
        """
        named = {_host(name) for name in (*hosts, *([] if host in _ANY_ADDRESS else [host]))}
        wanted = {origin.lower() for origin in origins}
        for origin in wanted:
            if not _ORIGIN.fullmatch(origin):
                raise StancewireError(f"{origin!a} is no origin: https://example.org, or * for any")
        return cls(cls().hosts | named, frozenset(wanted))


def _host(name: str) -> str:
    # As browsers write it in the header Host: lower case, IPv6 in its shortest form.
    lower = name.lower()
    try:
        if ":" in lower:
            return f"[{IPv6Address(lower.strip('[]')).compressed}]"
    except ValueError:
        pass
    if not _HOST.fullmatch(lower):
        raise StancewireError(f"{name!a} is no host: a name or an address, without a port")
    return lower

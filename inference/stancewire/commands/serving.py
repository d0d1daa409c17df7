"""The command that serves: a page and a JSON API on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from stancewire.commands.common import (
    Abstain,
    Model,
    Precision,
    Prior,
    Recall,
    Sha256,
    load_classifier,
    make_console,
    parse_shares,
    polite,
)
from stancewire.errors import StancewireError, install_hint


@polite
def serve(
    model: Model = None,
    sha256: Sha256 = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name that this server may be called by; any number.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="An origin, such as https://example.org, whose pages may ask; any number."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Requests worked at at once; one a processor.")
    ] = None,
    waiting: Annotated[
        int, typer.Option(min=0, help="Requests that may wait; further ones are refused.")
    ] = 64,
    max_body: Annotated[
        float, typer.Option(min=0.001, max=200, help="Megabytes that a request may have.")
    ] = 1,
    max_sentences: Annotated[int, typer.Option(min=1, help="Sentences that a request may have.")] = 2_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long a request may take.")] = 30,
    precision: Precision = None,
    recall: Recall = None,
    prior: Prior = None,
    abstain: Abstain = None,
) -> None:
    """Serve a page to paste articles into, and a JSON API, until ctrl-C."""
    _need_extra()
    from stancewire.server.run import listen
    from stancewire.server.run import serve as run
    from stancewire.server.settings import Access, Limits

    console = make_console(stderr=True)
    classifier = load_classifier(
        model,
        1,
        sha256=sha256,
        precision=precision,
        recall=recall,
        prior=parse_shares(prior),
        abstain=abstain,
    )
    size = round(max_body * 1e6)
    limits = Limits(waiting=waiting, body_bytes=size, sentences=max_sentences, seconds=seconds)
    limits = limits.with_workers(threads).with_room()
    access = Access.of(host, allow_host or (), allow_origin or ())
    sock = listen(host, port)
    name = f"[{host}]" if ":" in host else host
    console.print(
        f"stancewire: serving on http://{name}:{sock.getsockname()[1]}/ until ctrl-C",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    run(classifier, sock, limits, access, lambda: console.print("stancewire: stopping", markup=False))


def _need_extra() -> None:
    from importlib.util import find_spec

    missing = [module for module in ("fastapi", "uvicorn") if find_spec(module) is None]
    if missing:
        raise StancewireError(f"stancewire serve needs {', '.join(missing)}: {install_hint('serve')}")

"""The application: the routes of the page and of the API, and their OpenAPI description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from stancewire import __version__
from stancewire.classifier import StanceClassifier
from stancewire.server.bodies import Bodies, busy
from stancewire.server.gate import Gate
from stancewire.server.page import render_page
from stancewire.server.schemas import (
    HealthAnswer,
    ModelAnswer,
    PredictAnswer,
    PredictRequest,
    Problem,
    ScoreAnswer,
    ScoreRequest,
)
from stancewire.server.settings import LONGEST_SENTENCE, Access, Limits
from stancewire.server.tasks import Task, predict, score
from stancewire.server.work_queue import AbandonedError, FullError, Job, WorkQueue

_ASSETS: Final = {
    "page.css": ("stancewire.server", "text/css"),
    "page.js": ("stancewire.server", "text/javascript"),
    "icon.svg": ("stancewire.server", "image/svg+xml"),
    "report.css": ("stancewire.report", "text/css"),
    "report.js": ("stancewire.report", "text/javascript"),
}
# Newer FastAPI would tell of requests where the environment says so; nothing leaves the machine.
_NO_TELEMETRY: Final = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_EVERYWHERE: Final = {
    400: "The request is malformed: no host, or no JSON.",
    403: "A page of another origin asks.",
    421: "The request names a host that this server is not.",
}
_WARMING: Final = json.dumps(
    {"documents": [{"text": "They denied it, the minister said on Tuesday, and nobody had asked."}]}
).encode()
_POSTED: Final = {
    408: "The body took too long.",
    413: "There is more than one request may hold.",
    415: "The body is no JSON.",
    422: "The JSON is not what is expected.",
    500: "The model could not read it.",
    503: "The queue is full, or time is up: ask again later.",
}


def create_app(
    classifier: StanceClassifier, limits: Limits | None = None, access: Access | None = None
) -> ASGIApp:
    """Make the application that serves a classifier; that runs on one thread a request (`threads=1`)."""
    return Gate(_with_origins(_routes(classifier, limits or Limits()), access := access or Access()), access)


def _with_origins(app: ASGIApp, access: Access) -> ASGIApp:
    if not access.origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=sorted(access.origins),
        allow_methods=["GET", "POST"],
        allow_headers=["content-type"],
    )


def _routes(classifier: StanceClassifier, limits: Limits) -> FastAPI:
    queue, bodies = WorkQueue(limits.workers, limits.waiting), Bodies(limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # So that the first who asks does not wait for threads to begin and libraries to be loaded.
        jobs = [queue.submit(partial(score, classifier, limits, _WARMING)) for _ in range(queue.workers)]
        await asyncio.gather(*(job.result for job in jobs))
        yield
        queue.close()

    app = FastAPI(
        title="stancewire",
        version=__version__,
        description="Reads the stances that actors take in the news, sentence by sentence.",
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,  # type: ignore[arg-type]
        lifespan=lifespan,
        exception_handlers={HTTPException: _tell, ClientDisconnect: _tell_nobody, Exception: _tell_fault},
    )

    @app.get("/health", responses=_answers(HealthAnswer))
    async def health() -> Response:
        """Say whether the server is there, and how busy."""
        state = "full" if queue.is_full else "ok"
        return JSONResponse({"status": state, "requests": queue.jobs, "room": queue.room})

    about = _about(classifier, limits)

    @app.get("/model", responses=_answers(ModelAnswer))
    async def model() -> Response:
        """Say which model answers, and how much it may be asked at once."""
        return JSONResponse(about)

    async def answer(task: Task, request: Request) -> Response:
        # Before the body is read: what there is no room for costs nothing.
        if queue.is_full:
            raise busy("the queue is full")
        async with bodies.read(request) as body:
            return await _wait(_submit(queue, partial(task, classifier, limits, body)), request, limits)

    @app.post("/predict", responses=_answers(PredictAnswer, _POSTED), openapi_extra=_body(PredictRequest))
    async def post_predict(request: Request) -> Response:
        """Read sentences one by one."""
        return await answer(predict, request)

    @app.post("/score", responses=_answers(ScoreAnswer, _POSTED), openapi_extra=_body(ScoreRequest))
    async def post_score(request: Request) -> Response:
        """Cut documents into sentences, and read each."""
        return await answer(score, request)

    _add_page(app, classifier, about)
    _describe_bodies(app)
    return app


def _submit(queue: WorkQueue, work: Callable[[Callable[[], None]], bytes]) -> Job[bytes]:
    try:
        return queue.submit(work)
    except FullError:
        raise busy("the queue is full") from None


async def _wait(job: Job[bytes], request: Request, limits: Limits) -> Response:
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((job.result, gone), timeout=limits.seconds, return_when=asyncio.FIRST_COMPLETED)
        if job.result.done():
            with suppress(AbandonedError):
                timing = f"queue;dur={1000 * job.waited:.3f}, work;dur={1000 * job.took:.3f}"
                return Response(
                    job.result.result(), media_type="application/json", headers={"Server-Timing": timing}
                )
        if gone.done():
            raise ClientDisconnect
        raise busy(f"it took longer than {limits.seconds:g} seconds")
    finally:
        job.abandon()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _about(classifier: StanceClassifier, limits: Limits) -> dict[str, Any]:
    return {
        "model": classifier.manifest.name,
        "digest": classifier.digest,
        "stancewire": __version__,
        "labels": list(classifier.labels),
        "thresholds": classifier.thresholds,
        "prior": classifier.prior,
        "abstain": classifier.abstain,
        "limits": {
            "body_bytes": limits.body_bytes,
            "sentences": limits.sentences,
            "sentence_characters": LONGEST_SENTENCE,
            "seconds": limits.seconds,
        },
    }


def _add_page(app: FastAPI, classifier: StanceClassifier, about: dict[str, Any]) -> None:
    # Read once: no request names a file.
    contents = {"": (render_page(classifier, about).encode(), "text/html")}
    for name, (package, kind) in _ASSETS.items():
        source = files(package).joinpath(name.replace("report.", "page."))
        contents[name] = source.read_bytes(), kind
    for name, (content, kind) in contents.items():
        response = partial(Response, content, media_type=f"{kind}; charset=utf-8")
        app.add_api_route(f"/{name}", _give(response), include_in_schema=False)


def _give(make: Callable[[], Response]) -> Callable[[], Any]:
    async def give() -> Response:
        return make()

    return give


async def _tell(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def _tell_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _tell_fault(request: Request, error: Exception) -> Response:
    # What went wrong stands in the server's log; it is nothing for a client.
    return JSONResponse({"detail": "the server failed over this request, and has logged why"}, 500)


def _answers(kind: type[BaseModel], more: dict[int, str] | None = None) -> dict[int | str, dict[str, Any]]:
    refusals = {**_EVERYWHERE, **(more or {})}
    return {
        200: {"model": kind},
        **{status: {"model": Problem, "description": text} for status, text in refusals.items()},
    }


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    # Bodies are read and parsed here, under limits; FastAPI only has to describe them.
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _describe_bodies(app: FastAPI) -> None:
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = describe()
            _, schemas = models_json_schema(
                [(PredictRequest, "validation"), (ScoreRequest, "validation")],
                ref_template="#/components/schemas/{model}",
            )
            description["components"]["schemas"] |= schemas["$defs"]
            app.openapi_schema = description
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

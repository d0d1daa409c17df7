"""A bounded queue before a few threads: what there is no room for is refused at once, and nothing is batched.

A request waits for a free thread and for nothing else: each thread runs the model for one request at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

T = TypeVar("T")

Check = Callable[[], None]
"""Called now and then by work that takes long; raises AbandonedError where nobody waits for it any more."""


class FullError(Exception):
    """There is no room in the queue."""


class AbandonedError(Exception):
    """Nobody waits for the result any more: the client is gone, or its time is up."""


class Job(Generic[T]):
    """Work in the queue; `result` is awaited. It knows at its end how many seconds it waited and took."""

    def __init__(self, work: Callable[[Check], T]) -> None:
        self.result: asyncio.Future[T]
        self.waited = self.took = 0.0
        self._work = work
        self._is_abandoned = False
        self._submitted = perf_counter()

    def abandon(self) -> None:
        """Say that nobody waits for the result: the work ends at its next check, or never begins."""
        self._is_abandoned = True

    def run(self) -> T:
        """Do the work, in a thread of the queue."""
        started = perf_counter()
        self.waited = started - self._submitted
        try:
            self._check()
            return self._work(self._check)
        finally:
            self.took = perf_counter() - started

    def _check(self) -> None:
        if self._is_abandoned:
            raise AbandonedError


class WorkQueue:
    """`workers` threads, and room for `waiting` more jobs than they are at. Used from one event loop."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.workers = workers
        self.room = workers + waiting
        self.jobs = 0
        self._make_threads = partial(ThreadPoolExecutor, workers, thread_name_prefix="stancewire-serve")
        self._threads = self._make_threads()

    @property
    def is_full(self) -> bool:
        """Whether the next job would be refused."""
        return self.jobs >= self.room

    def submit(self, work: Callable[[Check], T]) -> Job[T]:
        """Queue work; raises FullError where there is no room. To be called in the event loop."""
        if self.is_full:
            raise FullError
        job = Job(work)
        self.jobs += 1
        # Never cancelled, so that a job takes up its place until a thread has come to it.
        job.result = asyncio.get_running_loop().run_in_executor(self._threads, job.run)
        job.result.add_done_callback(self._end)
        return job

    def close(self) -> None:
        """Wait for the jobs that are under way, and let the threads go; new ones come with a new job."""
        self._threads.shutdown()
        self._threads = self._make_threads()

    def _end(self, result: asyncio.Future[T]) -> None:
        self.jobs -= 1
        # Read, or what an abandoned job raised would be logged as never looked at.
        if not result.cancelled():
            result.exception()

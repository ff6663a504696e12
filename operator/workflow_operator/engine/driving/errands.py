"""What is done outside for one run while its script goes on: a bounded number of things at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from workflow_operator.engine.calls import Request, Run

K = TypeVar("K", bound=Hashable)

MOST_AT_ONCE = 64


class Errands(Generic[K]):
    """Runs requests, each under a key of its own; ``news`` is called when one has ended.

    One holds its place until its end was taken: so does the memory that it takes.
    """

    def __init__(self, run: Run, news: Callable[[], None]) -> None:
        self._run = run
        self._news = news
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._tasks: dict[K, asyncio.Task[dict[str, Any]]] = {}
        self._ended: deque[K] = deque()

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, at: K, kind: Request, arguments: dict[str, Any], key: str) -> None:
        async def send() -> dict[str, Any]:
            await self._places.acquire()
            begun = self._run.now()
            try:
                return await kind.send(self._run, arguments, key) | {"started_at": begun}
            except BaseException:
                self._places.release()
                raise

        def ended(_: object) -> None:
            self._ended.append(at)
            self._news()

        self._tasks[at] = task = asyncio.create_task(send())
        task.add_done_callback(ended)

    def drop(self, at: K) -> None:
        """Nobody waits for it any longer. It need not be there."""
        if (task := self._tasks.pop(at, None)) is None:
            return
        if not task.done():
            task.cancel()
        elif not task.cancelled() and task.exception() is None:
            self._places.release()

    def take(self) -> tuple[K, dict[str, Any]] | None:
        """What came of one that has ended, in the order of their ends. Raises what it raised."""
        while self._ended:
            at = self._ended.popleft()
            if (task := self._tasks.get(at)) is None or not task.done():
                continue
            del self._tasks[at]
            fields = task.result()
            self._places.release()
            return at, fields
        return None

    async def wait(self) -> None:
        """Until one of them has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            # The callbacks come behind.
            await asyncio.sleep(0)

    async def close(self) -> None:
        await cancelled(self._tasks.values())
        self._tasks.clear()


async def cancelled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel them all, and wait for their ends."""
    for task in (found := list(tasks)):
        task.cancel()
    for task in found:
        with suppress(asyncio.CancelledError, Exception):
            await task

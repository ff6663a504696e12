"""The sandbox processes of an executor."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from workflow_operator.history.errors import EngineCrash
from workflow_operator.javascript.host.guard import LoopGuard
from workflow_operator.javascript.host.messages import Forms, Limits
from workflow_operator.javascript.host.process import SandboxProcess, Zygote
from workflow_operator.javascript.host.session import Session
from workflow_operator.javascript.worker.vm.bridge import Fresh


class SandboxPool:
    """At most ``size`` processes, each of one namespace for all its life; ``idle`` blank ones are kept ready.

    A job may have at most ``memory_bytes`` as heap. ``fresh``: what it gets that none before it had. ``forms``: what it
    may ask for.
    """

    def __init__(
        self,
        forms: Forms,
        *,
        size: int,
        idle: int = 2,
        memory_bytes: int = Limits.memory_bytes,
        fresh: Fresh = "realm",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if size < 1 or idle < 0:
            raise ValueError(f"expected size >= 1 and idle >= 0, got {size} and {idle}")
        self._forms = forms
        self._size = size
        self._blanks_wanted = min(idle, size)
        self._clock = clock
        self._zygote = Zygote(memory_bytes, fresh)
        self._guard = LoopGuard(self._zygote.kill_from_a_thread)
        self._idle: deque[SandboxProcess] = deque()  # least recently used first
        self._blank: deque[SandboxProcess] = deque()
        self._busy: set[SandboxProcess] = set()
        self._forking = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._refill: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the zygote and the blank processes. Raises EngineCrash when a sandbox does not come up here."""
        process = await self._fork()
        try:
            await process.wait_ready()
        except BaseException:
            self._end(process)
            raise
        self._blank.append(process)
        await self._fill()

    async def close(self) -> None:
        """End every process; sessions that still run get EngineCrash."""
        self._closed = True
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.wait([self._refill])
        self._guard.close()
        await self._zygote.close()
        for process in (*self._idle, *self._blank):
            process.release()
        self._idle.clear()
        self._blank.clear()
        while self._waiters:
            self._wake_one()

    def session(self, namespace: str) -> AbstractAsyncContextManager[Session]:
        """A session in a process of this namespace; waits for a free one."""
        return self._session(namespace)

    @asynccontextmanager
    async def _session(self, namespace: str) -> AsyncIterator[Session]:
        process = await self._take(namespace)
        self._busy.add(process)
        session = Session(process, self._guard, self._forms, self._clock)
        try:
            yield session
        finally:
            self._busy.discard(process)
            if session.clean and not self._closed:
                self._idle.append(process)
            else:
                self._end(process)
            self._wake_one()
            # Taking a blank one is not the only way to have too few: while all slots were used, none could be made.
            self._refill_soon()

    async def _take(self, namespace: str) -> SandboxProcess:
        while True:
            if self._closed:
                raise RuntimeError("the sandbox pool is closed")
            process = self._reuse(namespace)
            if process is not None:
                return process
            if self._count() >= self._size and self._idle:
                self._end(self._idle.popleft())
            if self._count() < self._size:
                process = await self._fork()
                process.namespace = namespace
                return process
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _reuse(self, namespace: str) -> SandboxProcess | None:
        for process in [process for process in (*self._idle, *self._blank) if not process.alive]:
            (self._idle if process in self._idle else self._blank).remove(process)
            process.release()
        for process in reversed(self._idle):
            if process.namespace == namespace:
                self._idle.remove(process)
                return process
        if not self._blank:
            return None
        process = self._blank.popleft()
        process.namespace = namespace
        self._refill_soon()
        return process

    async def _fork(self) -> SandboxProcess:
        self._forking += 1
        try:
            return await self._zygote.fork()
        except BaseException:
            self._wake_one()
            raise
        finally:
            self._forking -= 1

    def _refill_soon(self) -> None:
        if not self._room_for_blanks():
            return
        if self._refill is None or self._refill.done():
            self._refill = asyncio.get_running_loop().create_task(self._fill())

    async def _fill(self) -> None:
        # Where it fails, the next session tries again and says so.
        with suppress(EngineCrash):
            await self._fill_up()

    async def _fill_up(self) -> None:
        while self._room_for_blanks():
            self._blank.append(await self._fork())
            self._wake_one()

    def _room_for_blanks(self) -> bool:
        return len(self._blank) < self._blanks_wanted and self._count() < self._size and not self._closed

    def _count(self) -> int:
        return len(self._idle) + len(self._blank) + len(self._busy) + self._forking

    def _end(self, process: SandboxProcess) -> None:
        self._zygote.kill(process)
        process.release()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

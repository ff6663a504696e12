"""Keeps what one run costs the event loop within bounds, so that it costs the other runs no more than a moment.

Two things are watched. A run whose messages take more of the loop's time than its budget ends with HostLimit. And a
thread beside the loop looks whether the loop stands still over one run: then it ends that run's sandbox, and breaks off
what can be broken off, so that the loop turns again and the run ends with HostLimit.
"""

from __future__ import annotations

import signal
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, TypeVar

from workflow_operator.javascript.host.process import SandboxProcess

T = TypeVar("T")
P = ParamSpec("P")

# Of the loop's processor time. What an ordinary message costs is free, several times over: a replay has many, and the
# largest of legal values take about 0.05 s.
FREE_SECONDS = 0.01
FREE_SECONDS_PER_BYTE = 0.5e-6
BUDGET_SECONDS = 1.0
BUDGET_SPAN_SECONDS = 10.0
STILL_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class LoopBudget:
    """A bucket of seconds: BUDGET_SECONDS at once, and as much again in each BUDGET_SPAN_SECONDS. Pure."""

    def __init__(self, now: float) -> None:
        self._left = BUDGET_SECONDS
        self._filled = now

    def charge(self, seconds: float, received_bytes: int, now: float) -> bool:
        """Take the time of one step, as far as it is not free; False when nothing is left.

        ``received_bytes`` is the size of the messages that were handled in it.
        """
        free = FREE_SECONDS + received_bytes * FREE_SECONDS_PER_BYTE
        self._left = min(
            BUDGET_SECONDS, self._left + (now - self._filled) * BUDGET_SECONDS / BUDGET_SPAN_SECONDS
        ) - max(0.0, seconds - free)
        self._filled = now
        return self._left >= 0


class Interrupted(BaseException):
    """The watchdog breaks off what a message of a sandbox makes the loop do."""


class _Step:
    """A time in which the loop does something for one run, and for nobody else."""

    def __init__(self, process: SandboxProcess) -> None:
        self.process = process
        self.started = time.thread_time()
        self.killed = False


class LoopGuard:
    """Watches the loop of the thread in which the first run is handled. ``kill`` is called from another thread."""

    def __init__(self, kill: Callable[[SandboxProcess], None]) -> None:
        self._kill = kill
        self._step: _Step | None = None
        self._can_break_off = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._handler: Any = None

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
            if self._handler is not None:
                signal.signal(signal.SIGUSR2, self._handler)
            self._thread = None

    async def watch(self, work: Coroutine[Any, Any, T], process: SandboxProcess, spent: Callable[[float], None]) -> T:
        """Await what is done for one run, and tell ``spent`` the processor seconds of each turn of the loop."""
        self._start()
        return await self._stepped(work, process, spent)

    @types.coroutine
    def _stepped(
        self, work: Coroutine[Any, Any, T], process: SandboxProcess, spent: Callable[[float], None]
    ) -> Generator[Any, Any, T]:
        go_on: Callable[[Any], Any] = work.send
        given: Any = None
        while True:
            self._step = step = _Step(process)
            try:
                awaited = go_on(given)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                self._step = None
                spent(time.thread_time() - step.started)
            try:
                go_on, given = work.send, (yield awaited)
            except BaseException as error:
                go_on, given = work.throw, error

    def breaking_off(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what may be broken off at any point, because it changes nothing. Raises Interrupted when it is."""
        self._can_break_off = True
        try:
            return work(*args, **kwargs)
        finally:
            self._can_break_off = False

    def _start(self) -> None:
        if self._thread is not None or self._closed.is_set():
            return
        if threading.current_thread() is threading.main_thread():
            # Only there signals are handled; elsewhere the loop goes on when it has done what it does.
            self._handler = signal.signal(signal.SIGUSR2, self._break_off)
        arguments = (threading.get_ident(), self._handler is not None)
        self._thread = threading.Thread(target=self._look, args=arguments, name="loop-guard", daemon=True)
        self._thread.start()

    def _break_off(self, number: int, frame: object) -> None:
        if self._can_break_off:
            self._can_break_off = False
            raise Interrupted

    def _look(self, loop_thread: int, can_signal: bool) -> None:
        clock = time.pthread_getcpuclockid(loop_thread)
        while not self._closed.wait(_LOOK_SECONDS):
            step = self._step
            if step is None or time.clock_gettime(clock) - step.started < STILL_SECONDS:
                continue
            if not step.killed:
                step.killed = True
                self._kill(step.process)
            if can_signal:
                signal.pthread_kill(loop_thread, signal.SIGUSR2)

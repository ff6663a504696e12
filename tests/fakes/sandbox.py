"""A sandbox without a process: the script is a Python generator function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

from pydantic import JsonValue

from workflow_operator.engine.script import Session
from workflow_operator.history.errors import ScriptError
from workflow_operator.javascript.host import HostCall, Job, LogLine, Returned

T = TypeVar("T")

ScriptBody: TypeAlias = Generator[HostCall | LogLine, int, Any]
"""Yields what the script asks for, is sent the time of each answer (ms since 1970), returns the output, or Returned."""
Script: TypeAlias = Callable[[JsonValue], ScriptBody]


def transition(function: str, payload: JsonValue = None) -> HostCall:
    return HostCall("transition", {"function": function, "payload": payload}, line=1)


def sleep(seconds: float) -> HostCall:
    return HostCall("sleep", {"seconds": seconds}, line=1)


def finish(output: JsonValue) -> HostCall:
    return HostCall("finish", {"output": output}, line=1)


def log(text: str) -> LogLine:
    return LogLine("info", text)


def returns(given: Any) -> ScriptBody:
    return given
    yield


def raises(error: ScriptError, *before: Any) -> Callable[[Any], ScriptBody]:
    def script(_: Any) -> ScriptBody:
        for each in before:  # noqa: UP028 (a tuple has no send)
            yield each
        raise error

    return script


def does(*calls: Any) -> Callable[[Any], ScriptBody]:
    def script(_: Any) -> ScriptBody:
        for each in calls:  # noqa: UP028
            yield each
        return "returned"

    return script


class FakeSession:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._answer: int | None = None
        self.job: Job | None = None

    async def guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await work()

    async def begin(self, job: Job) -> None:
        self.job = job
        self._body = self._script(None if job.input_json is None else job.input_json)

    async def next(self) -> HostCall | LogLine | Returned:
        await _pause()
        try:
            message = next(self._body) if self._answer is None else self._body.send(self._answer)
        except StopIteration as stop:
            return stop.value if isinstance(stop.value, Returned) else Returned(stop.value)
        self._answer = None
        return message

    async def answer(self, value: JsonValue, time_ms: int, *, recorded: bool = True) -> None:
        assert value is None
        await _pause()
        self._answer = time_ms


class FakeSandboxes:
    """Runs ``script`` in every session; ``open`` counts the sessions that are in use."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.open = 0
        self.namespaces: list[str] = []
        self.sessions: list[FakeSession] = []

    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Session]:
        self.open += 1
        self.namespaces.append(namespace)
        session = FakeSession(self.script)
        self.sessions.append(session)
        try:
            yield session
        finally:
            self.open -= 1


async def _pause() -> None:
    """A real session waits for a process, so others get their turn."""
    await asyncio.sleep(0)

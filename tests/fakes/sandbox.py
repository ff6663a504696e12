"""A sandbox without a process: the script is a Python generator function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from pydantic import JsonValue

from workflow_operator.engine.calls import FORMS
from workflow_operator.engine.driving.script import Session
from workflow_operator.history import Json
from workflow_operator.history.errors import ScriptError, Thrown
from workflow_operator.javascript.host import ASKED, HostCall, Job, LogLine, Returned

T = TypeVar("T")


@dataclass(frozen=True)
class Computing:
    """The script asks for nothing for so long."""

    seconds: float


ScriptBody: TypeAlias = Generator[HostCall | LogLine | Computing, Any, Any]
"""Yields what the script does, is sent the result of its call, or the time that Date shows then (ms since 1970) where
there is none, returns the output, or Returned."""
Script: TypeAlias = Callable[[JsonValue], ScriptBody]


def transition(function: str, payload: JsonValue = None) -> HostCall:
    return HostCall("transition", {"function": function, "payload": payload}, line=1)


def sleep(seconds: float) -> HostCall:
    return HostCall("sleep", {"seconds": seconds}, line=1)


def fetch(method: str = "GET", url: str = "http://a.example/", **given: Any) -> HostCall:
    asked = {"method": method, "url": url, "params": [], "headers": [], "timeout": 30, "skipTls": False}
    return HostCall("fetchSync", {"request": Json.of(asked | given)}, line=1)


def finish(output: JsonValue) -> HostCall:
    return HostCall("finish", {"output": output}, line=1)


def compute(seconds: float = 1.0) -> Computing:
    return Computing(seconds)


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
    """Stamps what wants no answer with the recorded time, or that at which it began or was last answered."""

    def __init__(self, script: Script, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._script = script
        self._sleep = sleep
        self._answer: int | Json | None = None
        self._thrown: Thrown | None = None
        self._finished = False
        self.job: Job | None = None

    async def guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await work()

    async def begin(self, job: Job) -> None:
        self.job = job
        self._recorded = iter(job.answered_ms)
        self._shown_ms = job.time_ms
        self._now_ms = max(job.time_ms, job.now_ms)
        self._body = self._script(None if job.input_json is None else job.input_json)

    async def next(self) -> HostCall | LogLine | Returned:
        await _pause()
        message = await self._made()
        while isinstance(message, HostCall) and message.name == "finish" and self._finished:
            # Nobody is told of it.
            self._answer = self._shown_ms
            message = await self._made()
        if not isinstance(message, HostCall):
            return message
        self._finished |= message.name == "finish"
        told = (message.time_ms or self._now_ms) if message.name in FORMS.markers else None
        shown = next(self._recorded, told)
        self._answer = shown = None if shown == ASKED else shown
        self._shown_ms = shown or self._shown_ms
        return replace(message, time_ms=shown)

    async def _made(self) -> HostCall | LogLine | Returned:
        try:
            while isinstance(message := self._go_on(), Computing):
                await self._sleep(message.seconds)
                self._now_ms += round(message.seconds * 1000)
        except StopIteration as stop:
            return stop.value if isinstance(stop.value, Returned) else Returned(stop.value)
        return message

    def _go_on(self) -> HostCall | LogLine | Computing:
        thrown, self._thrown = self._thrown, None
        if thrown is not None:
            return self._body.throw(thrown)
        given, self._answer = self._answer, None
        return next(self._body) if given is None else self._body.send(given)

    async def throw(self, name: str, message: str, time_ms: int) -> None:
        await _pause()
        self._shown_ms = time_ms
        self._thrown = Thrown(name, message)
        self._now_ms = max(self._now_ms, time_ms)

    async def answer(self, value: Json | None, time_ms: int) -> None:
        await _pause()
        self._shown_ms = time_ms
        self._answer = time_ms if value is None else value
        self._now_ms = max(self._now_ms, time_ms)


class FakeSandboxes:
    """Runs ``script`` in every session; ``open`` counts the sessions that are in use."""

    def __init__(self, script: Script, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.script = script
        self._sleep = sleep
        self.open = 0
        self.namespaces: list[str] = []
        self.sessions: list[FakeSession] = []

    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Session]:
        self.open += 1
        self.namespaces.append(namespace)
        session = FakeSession(self.script, self._sleep)
        self.sessions.append(session)
        try:
            yield session
        finally:
            self.open -= 1


async def _pause() -> None:
    """A real session waits for a process, so others get their turn."""
    await asyncio.sleep(0)

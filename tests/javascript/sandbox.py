"""Drives a session to its end and keeps what it said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue

from workflow_operator.history import Json
from workflow_operator.history.errors import ScriptError
from workflow_operator.javascript.host import AsyncCall, HostCall, Idle, Job, Limits, LogLine, Returned, Session, Turn

START_MS = 1_700_000_000_123
STEP_MS = 1_000


@dataclass
class Transcript:
    """Calls that want an answer are given None, one second of script time later for each call. What gives a promise is
    never settled."""

    calls: list[HostCall] = field(default_factory=list)
    promised: list[AsyncCall] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    output: JsonValue = None  # parsed
    error: ScriptError | None = None

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    def failure(self) -> tuple[str, str, int | None, int | None]:
        assert self.error is not None, f"expected a failure, the script returned {self.output!r}"
        return self.error.name, self.error.message, self.error.line, self.error.column

    def returned(self) -> JsonValue:
        if self.error is not None:
            raise self.error
        return self.output


def job(
    script: str, *, entrypoint: str | None = None, input_json: str | None = None, limits: Limits | None = None
) -> Job:
    return Job(script, entrypoint, input_json, "instance-1", 42, START_MS, limits or Limits())


async def run(
    session: Session, what: Job | str, answering: Callable[[HostCall, int], Json | None] = lambda call, number: None
) -> Transcript:
    transcript = Transcript()
    await session.begin(job(what) if isinstance(what, str) else what)
    try:
        while not isinstance(message := await session.next(), Returned):
            if isinstance(message, LogLine):
                transcript.lines.append(message)
                continue
            if isinstance(message, AsyncCall):
                transcript.promised.append(message)
                continue
            if isinstance(message, Idle):
                await session.turn(Turn("end", START_MS, START_MS))
                continue
            if not isinstance(message, HostCall):
                continue
            transcript.calls.append(plain(message))
            if message.wants_answer:
                number = len(transcript.calls)
                await session.answer(answering(message, number), START_MS + STEP_MS * number)
    except ScriptError as error:
        transcript.error = error
    else:
        transcript.output = message.output.load()
    return transcript


def returned(value: JsonValue) -> Returned:
    return Returned(Json.of(value))


def plain(call: HostCall) -> HostCall:
    """The call with its values parsed, and without its time, which is that of the machine."""
    arguments: dict[str, Any] = {
        name: value.load() if isinstance(value, Json) else value for name, value in call.arguments.items()
    }
    return replace(call, arguments=arguments, time_ms=None)

"""What goes into a sandbox and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from workflow_operator.history import Caught, ErrorInfo, Json

ASKED = -1
Level: TypeAlias = Literal["info", "debug", "warn", "error"]


@dataclass(frozen=True)
class Limits:
    """What one execution may use. Time in which the script waits for the host does not count."""

    wall_seconds: float = 60.0
    """Between two host calls."""
    cpu_seconds: int = 10
    """Of processor time, in whole seconds, since the last host call."""
    memory_bytes: int = 128 * 1024 * 1024
    """Of the script's heap, and about as much beside it (array buffers)."""
    payload_bytes: int = 256 * 1024
    """Of one value as JSON in UTF-8: payload, output or return value."""
    log_line_bytes: int = 8 * 1024
    """Of one log line in UTF-8; a longer one is cut and marked."""
    log_lines: int = 10_000
    """Since the last host call; then one line says that further ones are dropped until the next."""
    log_bytes: int = 1024 * 1024
    """Of all lines in UTF-8 that are printed since the last host call; otherwise as log_lines."""


Arguments: TypeAlias = dict[str, Any]
"""What a call was made with, by name: values as Json, all else as the call's own reader makes it."""
Take: TypeAlias = Callable[[msgspec.Raw, Limits], Arguments]
"""Reads the arguments of a call. A sandbox is not trusted, so everything is checked, in linear time.

Raises msgspec.ValidationError for what the prelude never sends, and the errors of Json.checked.
"""


class Forms(NamedTuple):
    """What a sandbox may ask for: the arguments of each call, and the names of those that it tells and does not wait
    for. They are recorded as they are told, and their record is all the answer there is."""

    takes: Mapping[str, Take]
    markers: Collection[str]


@dataclass(frozen=True)
class Job:
    """A run of one script.

    ``time_ms`` (since 1970) is what Date shows until the first answer; ``now_ms`` is the time at which the run begins
    here, which may be long after it. ``seed`` (64 bits) seeds Math.random.
    ``answered_ms`` is what Date shows after each of the script's first calls, which a history answers: the sandbox does
    not wait for anything there, but for an answer that holds a value, where it says ASKED.
    ``lenient``: values, functions and rejections are taken as 0.2.0 took them, for a run that it started.
    """

    script: str
    entrypoint: str | None
    input_json: str | None
    instance_id: str
    seed: int
    time_ms: int
    limits: Limits = field(default_factory=Limits)
    lenient: bool = False
    now_ms: int = 0
    answered_ms: Sequence[int] = ()
    namespace: str = ""
    name: str = ""


@dataclass(slots=True)
class HostCall:
    """What the script asks for. It waits for ``answer`` or ``throw``, if ``wants_answer``; else it has gone on already.

    ``time_ms`` (since 1970) is what Date shows from this call on where nobody is to answer it: the time at which it
    happened, or the recorded one; None where the time of the answer counts.

    ``line`` and ``column`` count from 1 in the script. ``caught``: what threw since the call before it.
    ``attempt``: the number of the call of a step in whose attempt it was made; nothing of it is recorded then.
    """

    name: str
    arguments: Arguments
    line: int | None
    column: int | None = None
    caught: Caught | None = None
    time_ms: int | None = None
    attempt: int | None = None

    @property
    def wants_answer(self) -> bool:
        return self.time_ms is None


@dataclass(frozen=True, slots=True)
class AsyncCall:
    """A call that gave the script a promise. ``number`` counts them from 1, in this execution."""

    number: int
    name: str
    arguments: Arguments
    line: int | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What the attempt of a step with that number asks for; ``number`` counts effects from 1, in this execution."""

    number: int
    attempt: int
    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The script waits no longer for that call, or for that effect."""

    number: int
    effect: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt of a step gave: ``output``, None where that was undefined; or ``error``.

    ``details``: fields and causes of the error, as JSON. ``final``: it is not to be tried again.
    ``retry_after_ms``: when, as the error says.
    """

    number: int
    output: Json | None = None
    error: ErrorInfo | None = None
    details: Json | None = None
    final: bool = False
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing happens by itself any more; the script waits for ``turn``. ``returned``: its entry did."""

    returned: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What an idle script goes on with; ``fields`` are those of its kind, see worker/wire.py.

    ``time_ms`` is what Date shows, ``now_ms`` the time at which it goes on; ``answered_ms`` as of a Job.
    """

    kind: Literal["settle", "start", "effect", "timeout", "end"]
    time_ms: int
    now_ms: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    answered_ms: Sequence[int] = ()


@dataclass(frozen=True)
class LogLine:
    """A line the script printed; needs no answer."""

    level: Level
    text: str


@dataclass(frozen=True)
class Returned:
    """The end of a run: what the entry function returned, and what threw since the last call."""

    output: Json
    caught: Caught | None = None


@dataclass(frozen=True)
class Spent:
    """The process must not take another job; the run goes on to its end."""


@dataclass(frozen=True)
class Exit:
    """How a sandbox process ended: exit code or minus the signal (None: unknown), and the most memory that it had."""

    code: int | None
    peak_bytes: int = 0

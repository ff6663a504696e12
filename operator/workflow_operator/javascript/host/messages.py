"""What goes into a sandbox and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from workflow_operator.history import Caught, Json

JsonValue: TypeAlias = Any
Level: TypeAlias = Literal["info", "debug", "warn", "error"]


@dataclass(frozen=True)
class Limits:
    """What one execution may use. Time in which the script waits for the host does not count."""

    wall_seconds: float = 60.0
    """Between two host calls."""
    cpu_seconds: int = 10
    """Of processor time, in whole seconds, since the last host call that an event of the history answered."""
    memory_bytes: int = 128 * 1024 * 1024
    """Of the script's heap, and about as much beside it (array buffers)."""
    payload_bytes: int = 256 * 1024
    """Of one value as JSON in UTF-8: payload, output or return value."""
    log_line_bytes: int = 8 * 1024
    """Of one log line in UTF-8; a longer one is cut and marked."""
    log_lines: int = 10_000
    """For the whole execution; then one line says that further ones are dropped."""
    log_bytes: int = 1024 * 1024
    """Of all printed lines in UTF-8, for the whole execution; then one line says that further ones are dropped."""


@dataclass(frozen=True)
class Job:
    """A run of one script.

    ``time_ms`` (since 1970) is what Date shows until the first answer; ``seed`` (64 bits) seeds Math.random.
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


@dataclass(frozen=True)
class HostCall:
    """The script waits for ``answer`` or ``throw``.

    transition: {"function": str, "payload": Json}; sleep: {"seconds": int or float}; finish: {"output": Json}.
    ``line`` and ``column`` count from 1 in the script. ``caught``: what threw since the call before it.
    """

    name: str
    arguments: dict[str, Json | str | int | float]
    line: int | None
    column: int | None = None
    caught: Caught | None = None


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

"""How statuses and histories are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from workflow_operator.history import EventType, InstanceEvent, InstanceStatus, Json

_SHOWN_CHARACTERS = 80
# C0 and C1 controls; ends of lines and paragraphs; what overrides the direction of writing (Unicode's Bidi_Control).
_STEERING = (*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_IN_JSON = {code: f"\\u{code:04x}" for code in _STEERING if code >= 0x7F}
_ESCAPED = {code: repr(chr(code))[1:-1] for code in _STEERING}


def as_json(value: Any) -> str:
    # What is left of controls stands in strings, where JSON has an escape for it.
    return json.dumps(value, indent=2, ensure_ascii=False).translate(_IN_JSON)


def as_yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")


def events_table(events: Sequence[InstanceEvent]) -> str:
    """One line an event: sequence, time, type, call, detail, and the executor that wrote it.

    The second and later events of a commit have its sequence and their place in it: ``7``, ``7.1``, ``7.2``.
    """
    rows = [["SEQ", "TIME", "EVENT", "CALL", "DETAIL", "EXECUTOR"]]
    for event in events:
        executor = f"{event.executor.id}/{event.executor.epoch}" if event.executor else ""
        call = event.call.index if event.call else ""
        where = f"{event.sequence}.{event.place}" if event.place else str(event.sequence)
        told = "; ".join(detail(event).splitlines())
        rows.append([where, _clock(event.time), event.type, call, told, executor])
    return table(rows)


def event_line(event: InstanceEvent) -> str:
    """An event as it happens."""
    return f"{_clock(event.time)}  {event.type:<15} {harmless(detail(event), lines=True)}".rstrip()


def detail(event: InstanceEvent) -> str:
    """The telling part of an event, and the steps that threw before it."""
    show: dict[EventType, Callable[[], str]] = {
        EventType.STARTED: lambda: f"input {_short(event.input)}" if event.input else "",
        EventType.TRANSITION: lambda: f"{event.function}({_short(event.memory)})",
        EventType.TIMER_STARTED: lambda: f"{_named(event)}fires at {_clock(event.fire_at)}",
        EventType.TIMER_FIRED: lambda: event.function or "",
        EventType.CALL_STARTED: lambda: _named(event) + _begun(event),
        EventType.ATTEMPT_FAILED: lambda: f"{_named(event)}attempt {event.attempt}: {_error(event)}; {_again(event)}",
        EventType.CALL_COMPLETED: lambda: _named(event) + _answered(event),
        EventType.WAITING: lambda: _parked(event),
        EventType.SIGNAL: lambda: _signal(event),
        EventType.OUTPUT: lambda: _short(event.output),
        EventType.SUCCEEDED: lambda: _short(event.output),
        EventType.FAILED: lambda: _error(event),
        EventType.CANCEL_REQUESTED: lambda: event.reason or "",
        EventType.CANCELLED: lambda: event.reason or "",
    }
    told = show.get(event.type, lambda: "")()
    return f"{told}; caught before: {event.caught.text()}" if event.caught else told


def not_replayed(difference: str) -> str:
    """What is said of a run that does not come out the same when its script runs again."""
    return harmless(
        f"Error: this run does not come out the same when its script runs again, as it does behind a crash or a long "
        f"sleep: {difference}\nOften the function of a step sets a variable outside: return the value from the step.",
        lines=True,
    )


def statuses_table(statuses: Sequence[InstanceStatus]) -> str:
    """One line a status, in the words of `kubectl get workflowruns -o wide`."""
    # Here, as `run` does without: it loads all of the types of the custom resource.
    from workflow_operator.reconcile.showing.desired import phase_and_reason

    rows = [["NAMESPACE", "NAME", "PHASE", "REASON", "STEPS", "STARTED", "ENDED", "INSTANCE"]]
    for status in statuses:
        phase, reason, _ = phase_and_reason(status)
        times = [_clock(status.created_at), _clock(status.ended_at)]
        name = status.origin.name if status.origin else ""
        rows.append([status.namespace, name, phase, reason, str(status.steps), *times, str(status.instance_id)])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, as kubectl prints them. No cell reaches beyond its line."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def harmless(text: str, *, lines: bool = False) -> str:
    """Text of a script for a terminal: what would steer it, or turn the order of what is read, is shown as its escape.

    ``lines``: line ends stay.
    """
    return "\n".join(line.translate(_ESCAPED) for line in text.split("\n")) if lines else text.translate(_ESCAPED)


def _named(event: InstanceEvent) -> str:
    return "" if event.function is None else f"{event.function}: "


def _error(event: InstanceEvent) -> str:
    return "" if event.error is None else event.error.text()


def _answered(event: InstanceEvent) -> str:
    if event.signal_sequence is not None:
        return f"the event of sequence {event.signal_sequence}"
    return _error(event) or _short(event.result)


def _begun(event: InstanceEvent) -> str:
    return f"attempt {event.attempt} begins" if event.fire_at is None else f"waits until {_clock(event.fire_at)}"


def _parked(event: InstanceEvent) -> str:
    until = "until something comes" if event.wake_at is None else f"until {_clock(event.wake_at)}"
    events = ", ".join(f"{' or '.join(each.types)} ({each.name})" for each in event.on if each.kind == "event")
    return f"parked {until}" + (f"; waits for {events}" if events else "")


def _signal(event: InstanceEvent) -> str:
    signal = event.signal
    if signal is None:
        return ""
    sender = "" if signal.sender is None else f" from {signal.sender}"
    return f"{signal.type}{sender}: {_short(event.payload)}"


def _again(event: InstanceEvent) -> str:
    return f"again at {_clock(event.retry_at)}"


def _clock(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def _short(value: Json | None) -> str:
    return (value or Json.NULL).text(_SHOWN_CHARACTERS)

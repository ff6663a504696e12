"""How statuses and histories are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from workflow_operator.history import EventType, InstanceEvent, InstanceStatus, Json

_SHOWN_CHARACTERS = 80


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")


def events_table(events: Sequence[InstanceEvent]) -> str:
    """One line an event: sequence, time, type, call, detail, and the executor that wrote it."""
    rows = [["SEQ", "TIME", "EVENT", "CALL", "DETAIL", "EXECUTOR"]]
    for event in events:
        executor = f"{event.executor.id}/{event.executor.epoch}" if event.executor else ""
        call = event.call.index if event.call else ""
        rows.append(
            [str(event.sequence), _clock(event.time), event.type, call, "; ".join(detail(event).splitlines()), executor]
        )
    return table(rows)


def event_line(event: InstanceEvent) -> str:
    """An event as it happens."""
    return f"{_clock(event.time)}  {event.type:<15} {detail(event)}".rstrip()


def detail(event: InstanceEvent) -> str:
    """The telling part of an event."""
    show: dict[EventType, Callable[[], str]] = {
        EventType.STARTED: lambda: f"input {_short(event.input)}" if event.input else "",
        EventType.TRANSITION: lambda: f"{event.function}({_short(event.memory)})",
        EventType.TIMER_STARTED: lambda: f"fires at {_clock(event.fire_at)}",
        EventType.WAITING: lambda: f"parked until {_clock(event.wake_at)}",
        EventType.OUTPUT: lambda: _short(event.output),
        EventType.SUCCEEDED: lambda: _short(event.output),
        EventType.FAILED: lambda: event.error.text() if event.error else "",
        EventType.CANCEL_REQUESTED: lambda: event.reason or "",
        EventType.CANCELLED: lambda: event.reason or "",
    }
    return show.get(event.type, lambda: "")()


def statuses_table(statuses: Sequence[InstanceStatus]) -> str:
    """One line a status, in the words of `kubectl get workflowruns -o wide`."""
    # Here, as `run` does without: it loads all of the types of the custom resource.
    from workflow_operator.reconcile.desired import phase_and_reason

    rows = [["NAMESPACE", "NAME", "PHASE", "REASON", "STEPS", "STARTED", "ENDED", "INSTANCE"]]
    for status in statuses:
        phase, reason, _ = phase_and_reason(status)
        times = [_clock(status.created_at), _clock(status.ended_at)]
        name = status.origin.name if status.origin else ""
        rows.append([status.namespace, name, phase, reason, str(status.steps), *times, str(status.instance_id)])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, as kubectl prints them."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _clock(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def _short(value: Json | None) -> str:
    return (value or Json.NULL).text(_SHOWN_CHARACTERS)

"""From the history of an ended run to its spans. Pure: whoever does it, and however often, makes the same ones.

The run is the root span. Below it is one span for each transition, named after its function; it ends where the next
one begins, or with the run, because the history does not hold when a function returned. A sleep, an attempt of a step
and a request are spans below the transition in which they were begun; the history holds when each began and ended. What
happened at one moment is an event of the root: parking and waking, another executor taking over, finish(), a request to
cancel. Payloads and outputs are in none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias

from workflow_operator.history import EventType, InstanceEvent, InstanceKey

MOST_SPANS = 10_000
"""Of one run; tools that show traces manage no more. The root says how many were left out."""
MOST_MOMENTS = 1_000
"""Of one run; the first ones."""

_NAME_CHARACTERS = 128
_ROOT = "run"
_SLEEP = "sleep"

Attributes: TypeAlias = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Moment:
    """A span event."""

    name: str
    time: datetime
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Span:
    """``trace_id`` has 128 bits, the other identities 64. ``error`` is set where the span failed."""

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    begin: datetime
    end: datetime
    attributes: Attributes
    moments: Sequence[Moment] = field(default=())
    error: str | None = None


def spans(events: Sequence[InstanceEvent]) -> list[Span]:
    """The spans of an ended run, the root first.

    Args:
        events: its whole history, beginning with ``started``; without one, or without an end, there are no spans.
    """
    if not events or events[0].type is not EventType.STARTED or not events[-1].terminal:
        return []
    steps = _steps(events)
    below = sorted([*steps, *_inner(events, steps)], key=lambda span: span.begin)
    kept = below[: MOST_SPANS - 1]
    return [_root(events, steps=len(steps), left_out=len(below) - len(kept)), *kept]


def span_id(key: InstanceKey, index: str) -> int:
    """The identity of the span of a call; ``index`` is its place in the run."""
    return int.from_bytes(hashlib.sha256(f"{key} {index}".encode()).digest()[:8], "big")


def _root(events: Sequence[InstanceEvent], *, steps: int, left_out: int) -> Span:
    started, last = events[0], events[-1]
    attributes = _common(events) | {
        "workflow.outcome": last.type.value,
        "workflow.steps": steps,
        "workflow.executors": len({event.executor.id for event in events if event.executor is not None}),
    }
    if started.entrypoint is not None:
        attributes["workflow.function"] = started.entrypoint[:_NAME_CHARACTERS]
    if started.origin is not None:
        attributes["k8s.cluster.uid"] = started.origin.cluster
    if last.error is not None:
        attributes["error.type"] = last.error.name
    if left_out:
        attributes["workflow.spans_left_out"] = left_out
    return Span(
        trace_id=started.instance_id.int,
        span_id=span_id(started.key, _ROOT),
        parent_id=None,
        name="WorkflowRun",
        begin=started.time,
        end=max(started.time, last.time),
        attributes=attributes,
        moments=[_moment(*each) for each in pairwise(events) if each[1].type in _MOMENTS][:MOST_MOMENTS],
        error=_error(last),
    )


def _common(events: Sequence[InstanceEvent]) -> dict[str, str | int]:
    started = events[0]
    name = {} if started.origin is None else {"workflow.run": started.origin.name}
    return {"k8s.namespace.name": started.namespace, "workflow.instance": str(started.instance_id), **name}


_MOMENTS = {
    EventType.CLAIMED: "taken over",
    EventType.WAITING: "parked",
    EventType.OUTPUT: "finish",
    EventType.SUSPENDED: "suspended",
    EventType.RESUMED: "resumed",
    EventType.CANCEL_REQUESTED: "cancel requested",
}


def _moment(before: InstanceEvent, event: InstanceEvent) -> Moment:
    attributes: dict[str, str | int] = {}
    if event.executor is not None:
        attributes = {"workflow.executor": event.executor.id, "workflow.epoch": event.executor.epoch}
    # Whoever wakes a parked run claims it as well; any other claim follows an executor that was lost.
    woken = event.type is EventType.CLAIMED and before.type is EventType.WAITING
    return Moment("woken" if woken else _MOMENTS[event.type], event.time, attributes)


def _error(last: InstanceEvent) -> str | None:
    return None if last.error is None else last.error.text()


def _steps(events: Sequence[InstanceEvent]) -> list[Span]:
    marks = [event for event in events if event.type is EventType.TRANSITION]
    ends = [event.time for event in [*marks, events[-1]][1:]]
    steps = [
        _below(events, mark, end, mark.function or "", {"workflow.function": (mark.function or "")[:_NAME_CHARACTERS]})
        for mark, end in zip(marks, ends, strict=True)
    ]
    if steps:
        # What failed, failed in the step that was last begun.
        steps[-1] = replace(steps[-1], error=_error(events[-1]))
    return steps


def _inner(events: Sequence[InstanceEvent], steps: Sequence[Span]) -> list[Span]:
    """Sleeps, attempts and requests."""
    fired = {event.call.index: event.time for event in events if event.type is EventType.TIMER_FIRED and event.call}
    places = iter(steps)
    parent: Span | None = None
    inner: list[Span] = []
    for event in events:
        if event.type is EventType.TRANSITION:
            parent = next(places)
        elif (span := _span(events, event, fired)) is not None:
            inner.append(span if parent is None else replace(span, parent_id=parent.span_id))
    return inner


def _span(events: Sequence[InstanceEvent], event: InstanceEvent, fired: Mapping[str, datetime]) -> Span | None:
    call = event.call
    if call is None:
        return None
    if event.type is EventType.TIMER_STARTED:
        return _below(events, event, fired.get(call.index, events[-1].time), event.function or _SLEEP, {})
    if event.started_at is None:
        return None
    span = _below(events, event, event.time, event.function or call.name, {"workflow.attempt": event.attempt})
    if event.type is EventType.ATTEMPT_FAILED:
        span = replace(span, span_id=span_id(event.key, f"{call.index} {event.attempt}"))
    return replace(span, begin=min(event.started_at, event.time), error=_error(event))


def _below(
    events: Sequence[InstanceEvent], opened: InstanceEvent, end: datetime, name: str, attributes: Attributes
) -> Span:
    """The span that an event opens, as a child of the root. Clocks of two executors may differ: it never ends early."""
    assert opened.call is not None
    return Span(
        trace_id=opened.instance_id.int,
        span_id=span_id(opened.key, opened.call.index),
        parent_id=span_id(opened.key, _ROOT),
        name=name[:_NAME_CHARACTERS],
        begin=opened.time,
        end=max(opened.time, end),
        attributes={**_common(events), **attributes},
    )

"""The calls that a script holds a promise of."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflow_operator.engine.calls import AsyncKind, Function, Request
from workflow_operator.engine.clock import shown_ms
from workflow_operator.history import CallRecord, ErrorInfo, InstanceEvent, Json
from workflow_operator.javascript.host import ASKED, AsyncCall


@dataclass(eq=False, slots=True)
class Pending:
    """One of them; ``number`` is the sandbox's for it."""

    number: int
    kind: AsyncKind
    call: AsyncCall
    record: CallRecord

    @property
    def index(self) -> str:
        return self.record.index

    @property
    def name(self) -> str:
        """As the script gave it."""
        return str(self.call.arguments.get("name", self.kind.name))

    @property
    def holds(self) -> bool:
        """Whether the run does not end before it: a sleep or a wait is dropped."""
        return isinstance(self.kind, Function | Request)


class Dates:
    """Calls by the time at which they fall due. What is no longer there when its time comes is passed over."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Pending]] = []
        self._due: dict[Pending, datetime] = {}

    def add(self, pending: Pending, due: datetime) -> None:
        heapq.heappush(self._heap, (due, pending.number, pending))
        self._due[pending] = due

    def drop(self, pending: Pending) -> None:
        self._due.pop(pending, None)

    def all(self) -> Iterator[tuple[Pending, datetime]]:
        return iter(self._due.items())

    def first(self) -> datetime | None:
        while self._heap:
            due, _, pending = self._heap[0]
            if self._due.get(pending) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def take(self, now: datetime) -> tuple[Pending, datetime] | None:
        """The first one that is due by now."""
        due = self.first()
        if due is None or due > now:
            return None
        pending = heapq.heappop(self._heap)[2]
        del self._due[pending]
        return pending, due


def thrown(error: ErrorInfo, details: Json | None = None) -> dict[str, object]:
    """An error as the sandbox makes it anew."""
    told: dict[str, object] = {"name": error.name, "message": error.message, "line": error.line}
    told |= {"column": error.column, "stack": error.stack or ""}
    return told if details is None else told | {"details": details}


def settled(fields: dict[str, Any]) -> dict[str, Any]:
    """What came of a request, as the sandbox settles it."""
    error = fields.get("error")
    return {"value": fields.get("result")} if error is None else {"error": thrown(error)}


def answered_ms(event: InstanceEvent) -> int:
    """What Date shows behind a call that this event answers; ASKED where the answer has a value."""
    return shown_ms(event.time) if event.result is None and event.error is None else ASKED

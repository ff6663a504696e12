"""When an instance is suspended, read off its history alone; and what that does to dates that are budgets."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from workflow_operator.history import TOGGLES, EventType, InstanceEvent


class Suspensions:
    """The times for which one instance was suspended. A toggle counts only if its generation is the highest so far."""

    def __init__(self, events: Iterable[InstanceEvent] = ()) -> None:
        self.generation = 0
        self.since: datetime | None = None
        self._past: list[tuple[datetime, datetime]] = []
        for event in events:
            self.take(event)

    def take(self, event: InstanceEvent) -> None:
        """Take in the next event of the history, whatever it is."""
        if event.type not in TOGGLES or event.generation <= self.generation:
            return
        self.generation = event.generation
        if event.type is EventType.SUSPENDED:
            self.since = self.since or event.time
        elif self.since is not None:
            self._past.append((self.since, event.time))
            self.since = None

    def moved(self, due: datetime, begun: datetime) -> datetime:
        """When a time that began at ``begun`` is over, which stood still while the instance was suspended."""
        for since, until in self._past:
            if until > begun and since < due:
                due += until - max(since, begun)
        return due

"""Events from outside, and which wait of the script gets which: each is consumed once, in the order of the history."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from workflow_operator.history import InstanceEvent

W = TypeVar("W", bound=Hashable)


class Signals(Generic[W]):
    """The signals of one instance that nobody has taken yet, and the waits ``W`` that are open.

    Of several with one ID the first counts, for the whole life of the instance.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._all: dict[int, InstanceEvent] = {}
        # By type, in the order of the history.
        self._kept: dict[str, dict[int, InstanceEvent]] = {}
        self._waits: dict[W, Sequence[str]] = {}
        self._wanting: dict[str, dict[W, None]] = {}
        self._deadlines: dict[W, datetime] = {}

    def __getitem__(self, sequence: int) -> InstanceEvent:
        return self._all[sequence]

    def received(self, event: InstanceEvent) -> None:
        """Take in a ``signal`` event; one that came before, with the same ID, is passed over."""
        assert event.signal is not None
        if event.signal.id in self._ids:
            return
        self._ids.add(event.signal.id)
        self._all[event.sequence] = event
        self._kept.setdefault(event.signal.type, {})[event.sequence] = event

    def taken(self, sequence: int) -> None:
        """The history says that a wait got it."""
        if (event := self._all.get(sequence)) is not None and event.signal is not None:
            self._kept[event.signal.type].pop(sequence, None)

    @property
    def left(self) -> Mapping[str, int]:
        """How many of each type nobody has taken."""
        return {kind: len(kept) for kind, kept in self._kept.items() if kept}

    def wait(self, wait: W, types: Sequence[str]) -> None:
        """The script waits for the first signal of one of these types."""
        self._waits[wait] = types
        for kind in types:
            self._wanting.setdefault(kind, {})[wait] = None

    def until(self, wait: W, deadline: datetime) -> None:
        """What comes later is not for this wait."""
        self._deadlines[wait] = deadline

    def end(self, wait: W) -> None:
        """The script waits no longer. It need not have waited."""
        for kind in self._waits.pop(wait, ()):
            if (wanting := self._wanting.get(kind)) is not None:
                wanting.pop(wait, None)
                if not wanting:
                    del self._wanting[kind]
        self._deadlines.pop(wait, None)

    def match(self) -> tuple[W, InstanceEvent] | None:
        """The oldest signal that an open wait wants, and the first such wait in the order of the calls."""
        found: tuple[int, W, InstanceEvent] | None = None
        for kind, wanting in self._wanting.items():
            if not wanting or not (kept := self._kept.get(kind)):
                continue
            event = next(iter(kept.values()))
            wait = next((wait for wait in wanting if self._in_time(wait, event)), None)
            if wait is not None and (found is None or event.sequence < found[0]):
                found = event.sequence, wait, event
        return None if found is None else found[1:]

    def _in_time(self, wait: W, event: InstanceEvent) -> bool:
        deadline = self._deadlines.get(wait)
        return deadline is None or event.time <= deadline

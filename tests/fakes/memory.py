"""The transport in memory: what the contract tests ask of the real one, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from workflow_operator.history import (
    Commit,
    Delivery,
    InstanceEvent,
    InstanceKey,
    InstanceStatus,
    QueueDepth,
    Release,
    commit_ids,
    decode_commit,
    decode_status,
    encode_commit,
    encode_status,
    named,
)
from workflow_operator.history.errors import Conflict, PayloadTooLarge, Terminal


class Clock(Protocol):
    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class MemoryDataBus:
    """Implements DataBus. Keeps what is written as bytes, as the real one does."""

    def __init__(self, *, max_payload: int = 1024 * 1024) -> None:
        self._max_payload = max_payload
        self._commits: dict[InstanceKey, list[tuple[int, int, bytes]]] = {}
        self._last_commit = 0
        self._statuses: dict[InstanceKey, tuple[int, bytes]] = {}
        self._last_status = 0

    async def push_instance_event(self, event: InstanceEvent, expected: int) -> InstanceEvent:
        (stored,) = await self.append([event], expected)
        return stored

    async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        commit = encode_commit(events)
        key = events[0].key
        self._checked(f"{named(events)} of instance {key}", commit.data)
        mine = [str(event.event_id) for event in events]
        history = self._commits.setdefault(key, [])
        for sequence, previous, stored in history:
            if previous == expected and commit_ids(stored) == mine:
                return commit.stored(events, sequence=sequence, previous=expected)
        last = history[-1][0] if history else 0
        if last != expected:
            raise Conflict(f"instance {key}: {named(events)} expected sequence {expected} to be last, found {last}")
        self._last_commit += 1
        history.append((self._last_commit, expected, commit.data))
        return commit.stored(events, sequence=self._last_commit, previous=expected)

    async def query_history(self, key: InstanceKey, *, after: int = 0, slim: bool = False) -> list[InstanceEvent]:
        return [event async for event in self.read_history(key, after=after, slim=slim)]

    async def read_history(
        self, key: InstanceKey, *, after: int = 0, slim: bool = False
    ) -> AsyncIterator[InstanceEvent]:
        for sequence, previous, data in list(self._commits.get(key, [])):
            if sequence > after:
                for event in decode_commit(data, sequence=sequence, previous=previous, slim=slim):
                    yield event

    def lose_everything(self) -> None:
        """As a server that comes back with an empty store."""
        self._commits.clear()
        self._statuses.clear()

    def forge_status(self, key: InstanceKey, body: bytes) -> None:
        """Have anything stand in the place of a status."""
        self._last_status += 1
        self._statuses[key] = (self._last_status, body)

    async def query_instance_status(
        self, namespace: str | None = None, instance_id: UUID | None = None
    ) -> list[InstanceStatus]:
        found = await self.query_statuses(list(self._statuses))
        return [
            status
            for key, status in found.items()
            if namespace in (None, key.namespace) and instance_id in (None, key.instance_id)
        ]

    async def query_statuses(self, keys: Sequence[InstanceKey]) -> dict[InstanceKey, InstanceStatus]:
        stored = {key: self._statuses[key] for key in keys if key in self._statuses}
        return {key: decode_status(data, sequence=sequence) for key, (sequence, data) in stored.items()}

    async def read_statuses(
        self, keys: Sequence[InstanceKey]
    ) -> AsyncIterator[Mapping[InstanceKey, InstanceStatus | Terminal]]:
        for key in dict.fromkeys(keys):
            if key in self._statuses:
                sequence, data = self._statuses[key]
                try:
                    yield {key: decode_status(data, sequence=sequence)}
                except Terminal as error:
                    yield {key: error}

    async def write_status(self, status: InstanceStatus) -> int:
        data = self._checked(f"status of instance {status.key}", encode_status(status))
        last, _ = self._statuses.get(status.key, (0, b""))
        if last != status.sequence:
            raise Conflict(f"status of instance {status.key}: expected sequence {status.sequence}, found {last}")
        self._last_status += 1
        self._statuses[status.key] = (self._last_status, data)
        return self._last_status

    def _checked(self, what: str, data: bytes) -> bytes:
        if len(data) > self._max_payload:
            raise PayloadTooLarge(f"{what}: {len(data)} bytes; at most {self._max_payload}")
        return data


@dataclass
class _Entry:
    """A queued instance. Whoever pulls it after ``visible_at`` holds it, by a ``holder`` number of their own."""

    queued_at: datetime
    visible_at: datetime
    attempt: int = 0
    released: Release | None = None
    started: InstanceEvent | None = None


@dataclass
class MemoryWorkQueue:
    """Implements WorkQueue on the clock given."""

    clock: Clock
    ack_wait: timedelta = timedelta(seconds=6)
    entries: dict[InstanceKey, _Entry] = field(default_factory=dict)
    timers: dict[InstanceKey, datetime] = field(default_factory=dict)
    carries: bool = True
    """False: as if every history began with something large."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def enqueue(
        self, key: InstanceKey, release: Release | None = None, started: InstanceEvent | None = None
    ) -> bool:
        if key in self.entries:
            return False
        small = started if self.carries and started is not None and started.size <= 16 * 1024 else None
        self.entries[key] = _Entry(self.clock.now(), self.clock.now(), released=release, started=small)
        self._changed.set()
        return True

    async def enqueue_at(self, key: InstanceKey, at: datetime) -> None:
        self.timers[key] = at
        self._changed.set()

    async def drop_timer(self, key: InstanceKey, cause: int) -> None:
        self.timers.pop(key, None)

    async def pull(
        self, limit: int, timeout_seconds: float, admits: Callable[[InstanceKey], bool] = lambda _: True
    ) -> list[Delivery]:
        deadline = self.clock.now() + timedelta(seconds=timeout_seconds)
        while not (taken := self._take(limit, admits)) and (now := self.clock.now()) < deadline:
            await self._change((min([deadline, *self._next_changes(now)]) - now).total_seconds())
        return taken

    async def _change(self, timeout_seconds: float) -> None:
        self._changed.clear()
        waits = [
            asyncio.ensure_future(self._changed.wait()),
            asyncio.ensure_future(self.clock.sleep(timeout_seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _next_changes(self, now: datetime) -> list[datetime]:
        times = [entry.visible_at for entry in self.entries.values()] + list(self.timers.values())
        return [time for time in times if time > now]

    def _take(self, limit: int, admits: Callable[[InstanceKey], bool]) -> list[Delivery]:
        now = self.clock.now()
        for key, at in list(self.timers.items()):
            if at <= now and key not in self.entries:
                del self.timers[key]
                self.entries[key] = _Entry(now, at)
        # One of each namespace at a time.
        first: dict[str, tuple[InstanceKey, _Entry]] = {}
        for key, entry in self.entries.items():
            if entry.visible_at <= now and admits(key):
                first.setdefault(key.namespace, (key, entry))
        ready = list(first.values())[:limit]
        for _, entry in ready:
            entry.visible_at = now + self.ack_wait
            entry.attempt += 1
        return [_MemoryDelivery(self, key, entry, entry.attempt) for key, entry in ready]

    async def stop_pulling(self) -> None:
        pass

    async def depth(self) -> QueueDepth:
        held = sum(entry.attempt > 0 for entry in self.entries.values())
        return QueueDepth(len(self.entries) - held, held, len(self.timers))

    def changed(self) -> None:
        self._changed.set()


@dataclass
class _MemoryDelivery:
    """As on the server, a holder that lost the message still removes it with its ack, and extends for the new one."""

    queue: MemoryWorkQueue
    key: InstanceKey
    entry: _Entry
    attempt: int

    @property
    def queued_at(self) -> datetime:
        return self.entry.queued_at

    async def extend(self) -> None:
        self.entry.visible_at = self.queue.clock.now() + self.queue.ack_wait

    async def ack(self, *, confirmed: bool = True) -> None:
        if self.queue.entries.get(self.key) is self.entry:
            del self.queue.entries[self.key]
            self.queue.changed()

    @property
    def released(self) -> Release | None:
        return self.entry.released

    @property
    def started(self) -> InstanceEvent | None:
        return self.entry.started

    async def release(self, release: Release) -> None:
        if self.queue.entries.get(self.key) is self.entry:
            now = self.queue.clock.now()
            # A new message, behind the others.
            del self.queue.entries[self.key]
            self.queue.entries[self.key] = _Entry(now, now, released=release)
            self.queue.changed()

    async def retry(self, delay_seconds: float) -> None:
        self.entry.visible_at = self.queue.clock.now() + timedelta(seconds=delay_seconds)
        self.queue.changed()

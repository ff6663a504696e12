"""WorkflowRunner: the interface to start and cancel instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.history import (
    SCRIPT_RULES,
    TYPE_CHARACTERS,
    DataBus,
    EventType,
    InstanceEvent,
    InstanceKey,
    InstanceStatus,
    Json,
    Origin,
    SignalInfo,
    WorkQueue,
)
from workflow_operator.history.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NotSerializable,
    RunFinished,
    TooManySignals,
    Unavailable,
)
from workflow_operator.replay import Suspensions, cancel_request, driver_without_queue

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_SCRIPT_CHARACTERS = 65_536
MOST_SIGNALS_LEFT = 10_000
"""Of the events from outside that a script has not taken."""
# Up to so many, whether one is there already is looked for in the whole history. The script's side does so anyway.
_FEW_SIGNALS = 100
_SIGNAL_ID_CHARACTERS = 253
_SENDER_CHARACTERS = 1024


class Here(Protocol):
    """The executor in the same process; see :class:`workflow_operator.engine.Executor`."""

    def offer(self, started: InstanceEvent) -> bool: ...

    def holds(self, key: InstanceKey) -> bool: ...

    async def drives(self, executor_id: str, key: InstanceKey) -> bool: ...

    async def withdraw(self, key: InstanceKey) -> bool: ...


class WorkflowRunner:
    """Executes workflows. Any number of runners may work on the same history.

    Args:
        bus: carries the events.
        queue: hands instances to executors.
        writer: makes the events, with the time and the identities that it is given.
        limits: how large an input may be, and how long a call waits.
        here: drives instances where they start; None queues all of them.
    """

    def __init__(
        self, bus: DataBus, queue: WorkQueue, writer: EventWriter, limits: EngineLimits, here: Here | None = None
    ) -> None:
        self._bus = bus
        self._queue = queue
        self._writer = writer
        self._limits = limits
        self._here = here

    async def execute(
        self,
        namespace: str,
        script: str,
        fn: str | None = None,
        args: Json | JsonValue = None,
        labels: Mapping[str, str] | None = None,
        *,
        instance_id: UUID | None = None,
        origin: Origin | None = None,
        first: bool = False,
        suspended: bool = False,
    ) -> UUID:
        """Start an instance: drive it here, or queue it. Idempotent for the same ``instance_id``.

        Args:
            namespace: logical grouping of workflows; a DNS label.
            script: JavaScript source, at most 65,536 characters.
            fn: the entry function; None looks one up in the script.
            args: the entry's argument, any JSON; None is no argument, ``Json.NULL`` is null.
            labels: metadata for classification, carried in every status.
            instance_id: the identity of the instance; None draws one.
            origin: the object that it is started for.
            first: nobody can have begun it, and the caller starts it again if nothing comes of it: so it may be driven
                here before anything of it is stored.
            suspended: record it, and leave it alone until it is resumed.

        Returns:
            The instance ID. Unless ``first``, the instance survives any crash from here on.

        Raises:
            InvalidInput: the namespace, the script or the arguments cannot be accepted.
            Unavailable: NATS does not answer; the instance may have been started, so call again with the same ID.
        """
        key = InstanceKey(namespace, instance_id or self._writer.new_id())
        if self._driven_here(key):
            return key.instance_id
        fields: dict[str, Any] = {
            "metadata": dict(labels or {}),
            "script": _checked_script(key, script),
            "rules": SCRIPT_RULES,
        }
        if fn is not None:
            fields["entrypoint"] = fn
        if args is not None:
            fields["input"] = _checked_input(key, args, self._limits.sandbox.payload_bytes)
        if origin is not None:
            fields["origin"] = origin
        started = self._writer.event(key, EventType.STARTED, **fields)
        if suspended:
            await self._hold_back(started)
            return key.instance_id
        if first and self._here is not None and self._here.offer(started):
            return key.instance_id
        async with self._answered_in_time(key):
            stored: InstanceEvent | None = None
            try:
                stored = await self._bus.push_instance_event(started, expected=0)
            except Conflict:
                history = await self._bus.query_history(key, slim=True)
                if history and (history[-1].terminal or await self._driven_elsewhere(history)):
                    return key.instance_id
            await self._queue.enqueue(key, started=stored)
        return key.instance_id

    async def _hold_back(self, started: InstanceEvent) -> None:
        key, generation = started.key, started.origin.generation if started.origin else 1
        toggle = self._writer.event(key, EventType.SUSPENDED, not_before=started.time, generation=generation)
        async with self._answered_in_time(key):
            with suppress(Conflict):
                # Whoever has started it has recorded that too.
                await self._bus.append([started, toggle], expected=0)

    async def suspend(self, key: InstanceKey, generation: int, *, suspend: bool) -> bool:
        """Suspend an instance, or resume it; False if nothing is left to be done. Idempotent.

        Args:
            generation: of the object that asks for it. It counts only if it is higher than any before.

        Raises:
            TooManySignals: its history is too large for another toggle; a resume is taken at any size.
            Unavailable: NATS does not answer; call again.
        """
        kind = EventType.SUSPENDED if suspend else EventType.RESUMED
        async with self._answered_in_time(key):
            status = (await self._bus.query_statuses([key])).get(key)
            if suspend and status is not None:
                _check_bytes(status, self._limits)
            known = 0 if status is None else status.suspend_generation
            while True:
                events = await self._bus.query_history(key, after=_before_the_last(status), slim=True)
                try:
                    last = _last(key, status, events)
                except (NotFound, RunFinished):
                    return False
                if generation <= max(known, Suspensions(events).generation):
                    if not suspend and events and events[-1].type is EventType.RESUMED:
                        await self._wake(key, self._writer.clock.now())
                    return False
                toggle = self._writer.event(key, kind, not_before=last.time, generation=generation)
                try:
                    await self._bus.push_instance_event(toggle, expected=last.sequence)
                except Conflict:
                    continue
                if not suspend:
                    await self._wake(key, self._writer.clock.now())
                return True

    async def _wake(self, key: InstanceKey, at: datetime) -> None:
        """Queue it, or set a timer where somebody holds it, who may have looked for the last time."""
        if not await self._queue.enqueue(key):
            await self._queue.enqueue_at(key, at)

    async def cancel(self, key: InstanceKey, reason: str) -> bool:
        """Ask for the end of an instance; False if it has ended already, or does not exist. Idempotent.

        What is driven here and was never stored ends at once, and leaves nothing behind.

        Raises:
            Unavailable: NATS does not answer; call again.
        """
        async with self._answered_in_time(key):
            if self._here is not None and await self._here.withdraw(key):
                return True
            while events := await self._bus.query_history(key, slim=True):
                if events[-1].terminal:
                    return False
                try:
                    if cancel_request(events) is None:
                        request = self._writer.event(
                            key, EventType.CANCEL_REQUESTED, not_before=events[-1].time, reason=reason
                        )
                        await self._bus.push_instance_event(request, expected=events[-1].sequence)
                except Conflict:
                    continue
                await self._queue.enqueue(key)
                return True
        return False

    async def signal(self, key: InstanceKey, signal: SignalInfo, payload: Json) -> int:
        """Send an event to an instance, whose script takes it when it waits for its type, now or later.

        Of several with one ID the script gets the first. So it may be called again.

        Args:
            payload: any JSON.

        Returns:
            The sequence of the event; of the first one with this ID, as far as that was looked for: where the instance
            has few events from outside.

        Raises:
            InvalidInput: the signal or its payload cannot be accepted.
            NotFound: there is no such instance.
            RunFinished: it has ended.
            TooManySignals: it has more of them than it takes.
            Unavailable: NATS does not answer; call again.
        """
        check_signal(key, signal, payload, self._limits.sandbox.payload_bytes)
        async with self._answered_in_time(key):
            status = (await self._bus.query_statuses([key])).get(key)
            if status is not None:
                _check_room(status, self._limits)
            # A history with many of them is read from where the status stands.
            base = status if status is not None and status.signals_received >= _FEW_SIGNALS else None
            while True:
                events = await self._bus.query_history(key, after=_before_the_last(base), slim=True)
                if (sent := _sent_before(events, signal.id)) is not None:
                    return sent
                last = _last(key, base, events)
                event = self._writer.event(key, EventType.SIGNAL, not_before=last.time, signal=signal, payload=payload)
                try:
                    stored = await self._bus.push_instance_event(event, expected=last.sequence)
                except Conflict:
                    continue
                # Whoever drives it looks, and whoever is to drive it reads; so only one that is parked is to be woken.
                if last.parked:
                    await self._wake(key, stored.time)
                return stored.sequence

    async def requeue(self, key: InstanceKey) -> bool:
        """Queue an instance that may have been lost on its way there; False if it is queued or held already.

        Idempotent: of one that has ended, or that somebody drives, nothing comes of it.

        Raises:
            Unavailable: NATS does not answer; call again.
        """
        if self._driven_here(key):
            return False
        async with self._answered_in_time(key):
            return await self._queue.enqueue(key)

    def _driven_here(self, key: InstanceKey) -> bool:
        return self._here is not None and self._here.holds(key)

    async def _driven_elsewhere(self, history: Sequence[InstanceEvent]) -> bool:
        """Whether the executor that the instance started at drives it: it is in no queue, and belongs in none."""
        driver = driver_without_queue(history)
        return driver is not None and self._here is not None and await self._here.drives(driver.id, history[0].key)

    @asynccontextmanager
    async def _answered_in_time(self, key: InstanceKey) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                yield
        except TimeoutError as error:
            raise Unavailable(
                f"instance {key}: NATS did not answer within {self._limits.request_seconds:g} s; it is tried again"
            ) from error


def check_signal(key: InstanceKey, signal: SignalInfo, payload: Json, limit: int) -> None:
    """Raises InvalidInput for a signal that cannot be accepted."""
    for what, text, most in (("type", signal.type, TYPE_CHARACTERS), ("ID", signal.id, _SIGNAL_ID_CHARACTERS)):
        if not 0 < len(text) <= most or not text.isprintable():
            raise InvalidInput(
                f"instance {key}: the {what} of an event: expected 1 to {most} printable characters, "
                f"got {text[:most]!r}"
            )
    if signal.sender is not None and len(signal.sender) > _SENDER_CHARACTERS:
        raise InvalidInput(f"instance {key}: the sender of an event: expected at most {_SENDER_CHARACTERS} characters")
    if len(payload) > limit:
        raise InvalidInput(
            f"instance {key}: the payload of the event {signal.type} has {len(payload)} bytes as JSON; expected at "
            f"most {limit} (WORKFLOW_OPERATOR_PAYLOAD_BYTES)"
        )


class _Last(NamedTuple):
    """The end of a history: its sequence, its time if that is known, and whether it is parked there."""

    sequence: int
    time: datetime | None
    parked: bool


def _before_the_last(status: InstanceStatus | None) -> int:
    """Behind which a history is read on, of which the status is known: the time of its last event is not in there."""
    return 0 if status is None else status.history_sequence - 1


def _last(key: InstanceKey, status: InstanceStatus | None, events: Sequence[InstanceEvent]) -> _Last:
    """The end of a history of which ``events`` are what follows ``status``.

    Raises:
        NotFound, RunFinished: nothing can be sent to it.
    """
    if not events and status is None:
        raise NotFound(f"instance {key}: no history")
    if events[-1].terminal if events else status is not None and status.terminal:
        raise RunFinished(f"instance {key}: it has ended, and takes no events any more")
    if events:
        return _Last(events[-1].sequence, events[-1].time, events[-1].type is EventType.WAITING)
    assert status is not None
    return _Last(status.history_sequence, None, status.parked)


def _sent_before(events: Sequence[InstanceEvent], signal_id: str) -> int | None:
    same = (event for event in events if event.signal is not None and event.signal.id == signal_id)
    return next((event.sequence for event in same), None)


def _check_room(status: InstanceStatus, limits: EngineLimits) -> None:
    left = status.signals_received - status.signals_taken
    if left >= MOST_SIGNALS_LEFT:
        raise TooManySignals(
            f"instance {status.key}: {left} events wait to be taken by its script; expected at most {MOST_SIGNALS_LEFT}"
        )
    _check_bytes(status, limits)


def _check_bytes(status: InstanceStatus, limits: EngineLimits) -> None:
    if (status.history_bytes or 0) >= limits.history_bytes // 2:
        raise TooManySignals(
            f"instance {status.key}: its history has {status.history_bytes} bytes; above half of "
            f"{limits.history_bytes} (WORKFLOW_OPERATOR_HISTORY_BYTES) it takes no events from outside"
        )


def _checked_script(key: InstanceKey, script: str) -> str:
    if not 0 < len(script) <= MAX_SCRIPT_CHARACTERS:
        raise InvalidInput(
            f"instance {key}: the script has {len(script)} characters; expected 1 to {MAX_SCRIPT_CHARACTERS}"
        )
    return script


def _checked_input(key: InstanceKey, args: Json | JsonValue, limit: int) -> Json:
    try:
        value = args if isinstance(args, Json) else Json.of(args)
    except NotSerializable as error:
        raise InvalidInput(f"instance {key}: the input cannot be stored: {error}") from error
    if len(value) > limit:
        raise InvalidInput(
            f"instance {key}: the input has {len(value)} bytes as JSON; expected at most {limit} "
            "(WORKFLOW_OPERATOR_PAYLOAD_BYTES)"
        )
    return value

"""Drives one queued instance: decide from its history, act, and let go of the message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import assert_never

from workflow_operator.engine.calls import Http
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.driving.script import Host, LogSink, Sandboxes, Script
from workflow_operator.engine.driving.tail import Overtaken, Tail, sized
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.measures import Fate
from workflow_operator.engine.outcome import Cancelled, Failed, Outcome, Parked, Slot, Succeeded
from workflow_operator.history import (
    DataBus,
    Delivery,
    ErrorInfo,
    EventType,
    ExecutorRef,
    InstanceEvent,
    WorkQueue,
    well_formed,
)
from workflow_operator.history.errors import EngineCrash, ScriptError, Thrown, Unavailable
from workflow_operator.replay import (
    Abandon,
    Cancel,
    Drive,
    Ended,
    Missing,
    Sight,
    Sleeping,
    crashes_in_a_row,
    next_action,
    open_timer,
    silent_claimers,
)

logger = logging.getLogger(__name__)

_MISSING_ATTEMPTS = 5
_LONG_HISTORY = 2000
_MISSING_RETRY_SECONDS = 1.0
_FIRST_BACKOFF_SECONDS = 1.0
_MOST_DOUBLINGS = 6
# One end may be anybody's fault. A run with two behind it waits until no other such run is driven here.
_ISOLATED_CRASHES = 2
_ISOLATED_RETRY_SECONDS = 2.0
_MESSAGE_CHARACTERS = 8192
_NAME_CHARACTERS = 256
_STACK_CHARACTERS = 2048


@dataclass(frozen=True)
class DriveContext:
    """What every drive of one executor shares. ``executor_id`` names the replica in the history.

    ``alive`` tells which of some executors live. ``isolation`` is held by the one run that is driven although it ended
    several executors in a row: were there others like it beside it, nobody could tell whose fault the next end is.
    """

    bus: DataBus
    queue: WorkQueue
    sandboxes: Sandboxes
    writer: EventWriter
    limits: EngineLimits
    executor_id: str
    log: LogSink
    http: Http
    alive: Callable[[Collection[str]], Awaitable[Collection[str]]]
    isolation: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def host(self) -> Host:
        return Host(self.writer.clock, self.limits, self.log, self.http)


def backoff_seconds(failures: int) -> float:
    """Seconds until a run is tried again that has failed so often: a machine that is short of something needs time."""
    return _FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, _MOST_DOUBLINGS)


async def drive(context: DriveContext, held: Holding) -> Fate:
    """Bring one instance as far as it goes now.

    Returns what became of it, once the message is acked, given back, or lost to another executor.

    Raises:
        EngineCrash: the sandbox process died.
        Unavailable: NATS does not answer.
    """
    while True:
        renewals = held.renewals
        try:
            async with _Beat(context, held) as beat:
                while (fate := await _take(context, held, beat)) is None:
                    # Someone appended in between: what was read is no ground to claim on.
                    held.known = None
        except Overtaken as overtaken:
            # Somebody has stored what it begins with.
            held.started = None
            misled = held.known is not None and held.tail is not None and held.tail.unread
            held.known = None
            if held.renewals == renewals and not misled:
                logger.info("%s; this executor stops", overtaken)
                held.lose()
                return Fate.OVERTAKEN
        else:
            held.known = None
            if not held.open:
                return fate


async def _take(context: DriveContext, held: Holding, beat: _Beat) -> Fate | None:
    """One look at the history, and what follows from it; None if it must be looked at again."""
    delivery = held.newest
    events = await _read(context, held)
    held.timer = open_timer(events, context.writer.clock.now())
    action = next_action(events, await _sight(context, delivery, events))
    match action:
        case Missing() if delivery.attempt < _MISSING_ATTEMPTS:
            # A follower that lags may not have it yet.
            await held.retry(_MISSING_RETRY_SECONDS)
            return Fate.NOTHING
        case Missing() | Ended():
            # What is missing may come, and be queued then.
            await _settle(context, held, confirmed=isinstance(action, Missing))
            return Fate.NOTHING
        case Sleeping(until, cause):
            return await _let_sleep(context, held, Parked(until, cause))
        case Cancel(epoch, reason):
            return await _conclude(context, held, _tail(context, held, events, epoch), Cancelled(reason))
        case Abandon(epoch, crashes):
            error = _too_many(crashes, context.limits.crash_limit)
            return await _conclude(context, held, _tail(context, held, events, epoch), Failed(error))
        case Drive(crashes=crashes) if delivery.released and delivery.released.crashed and delivery.attempt == 1:
            await held.retry(backoff_seconds(crashes))
            return Fate.RETURNED
        case Drive(crashes=crashes) if crashes >= _ISOLATED_CRASHES and context.isolation.locked():
            await held.retry(_ISOLATED_RETRY_SECONDS)
            return Fate.RETURNED
        case Drive(epoch, claim, crashes):
            tail = _tail(context, held, events, epoch)
            async with context.isolation if crashes >= _ISOLATED_CRASHES else nullcontext(), aclosing(tail):
                if claim is not None and not await tail.claim(claim):
                    return None
                held.executor = tail.executor
                slot = Slot(max(context.writer.clock.now(), delivery.queued_at), held.contended)
                make = partial(Script, events, tail, context.host, slot)
                # The replay of a long history takes longer to prepare than others should wait.
                script = await asyncio.to_thread(make) if len(events) > _LONG_HISTORY else make()
                return await _conclude(context, held, tail, await _supervised(context, beat, script, tail))
        case _:
            assert_never(action)


async def _read(context: DriveContext, held: Holding) -> list[InstanceEvent]:
    """The history, or what it is to begin with.

    What came with the message is believed once: if there is more by now, the first look or append tells.
    """
    if held.known is not None:
        return [held.known]
    if held.begun or held.started is None:
        return await context.bus.query_history(held.key, slim=True)
    return [sized(held.started)]


async def _sight(context: DriveContext, delivery: Delivery, events: list[InstanceEvent]) -> Sight:
    # A wake-up may come early by another machine's clock; what is almost due is waited for, and not parked again.
    almost = context.writer.clock.now() + timedelta(seconds=context.limits.park_after_seconds)
    # One loss is nothing yet.
    suspected = crashes_in_a_row(events, delivery.released) >= min(_ISOLATED_CRASHES, context.limits.crash_limit)
    alive = await context.alive(silent_claimers(events, delivery.released)) if suspected else ()
    return Sight(
        attempt=delivery.attempt,
        now=max(almost, delivery.queued_at),
        crash_limit=context.limits.crash_limit,
        released=delivery.released,
        alive={*alive, context.executor_id},
        executor_id=context.executor_id,
    )


def _too_many(crashes: int, limit: int) -> EngineCrash:
    return EngineCrash(
        f"{crashes} executors in a row crashed, or lost the sandbox, while running this script, and none recorded a "
        f"step; at {limit} (setting crash_limit) it is given up"
    )


def _tail(context: DriveContext, held: Holding, events: list[InstanceEvent], epoch: int) -> Tail:
    executor = ExecutorRef(id=context.executor_id, epoch=epoch)
    held.tail = Tail(context.bus, context.writer, held.key, executor, events)
    held.tail.unread = held.known is not None
    return held.tail


async def _supervised(context: DriveContext, beat: _Beat, script: Script, tail: Tail) -> Outcome:
    """Run the script; stop it at a claim or cancel request by someone else."""
    beat.tail = tail
    work = asyncio.create_task(script.run(context.sandboxes))
    tail.stop = work.cancel
    try:
        await asyncio.wait({work, beat.stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            async with tail.lock:
                work.cancel()
            await asyncio.wait({work})
        if work.cancelled():
            tail.check()
            if beat.stopped.done():
                return beat.stopped.result()
        return work.result()
    finally:
        beat.tail = None
        work.cancel()
        if not work.done():
            await asyncio.gather(work, return_exceptions=True)


class _Beat:
    """Holds the message from the moment it is taken, and looks at the history while a script runs.

    ``stopped`` is what stops the script: a cancel request, or Overtaken.
    """

    def __init__(self, context: DriveContext, held: Holding) -> None:
        self._context = context
        self._held = held
        self.tail: Tail | None = None
        self.stopped: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        # Most runs are over before there is anything to do.
        self._first = context.writer.clock.call_later(context.limits.heartbeat_seconds, self._begin)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Beat:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._first.cancel()
        if not self.stopped.cancel():
            # Whether or not anybody waited for it.
            self.stopped.exception()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        try:
            outcome = await self._run()
        except Exception as error:
            self.stopped.set_exception(error)
        else:
            self.stopped.set_result(outcome)

    async def _run(self) -> Outcome:
        while True:
            if (tail := self.tail) is not None:
                try:
                    await tail.look()
                except Unavailable as error:
                    logger.warning("instance %s: cannot look at the history: %s", self._held.key, error)
                if tail.cancelled is not None:
                    return Cancelled(tail.cancelled.reason or "")
            await self._held.extend()
            await self._context.writer.clock.sleep(self._context.limits.heartbeat_seconds)


async def _conclude(context: DriveContext, held: Holding, tail: Tail, outcome: Outcome) -> Fate:
    match outcome:
        case Parked():
            return await _let_sleep(context, held, outcome)
        case Succeeded() | Failed() | Cancelled():
            try:
                fate = await _end(tail, outcome)
            except ScriptError as error:
                # It cannot be stored, or something that the script did before it; nothing is held behind that.
                fate = await _end(tail, outcome if isinstance(outcome, Cancelled) else Failed(error))
        case _:
            assert_never(outcome)
    await _settle(context, held)
    return fate


async def _end(tail: Tail, outcome: Succeeded | Failed | Cancelled) -> Fate:
    match outcome:
        case Succeeded(output, caught):
            await tail.append(EventType.SUCCEEDED, output=output, caught=caught)
            return Fate.SUCCEEDED
        case Failed(error):
            await tail.append(EventType.FAILED, error=_info(error))
            return Fate.FAILED
        case Cancelled(reason):
            await tail.append(EventType.CANCELLED, reason=reason)
            return Fate.CANCELLED
        case _:
            assert_never(outcome)


async def _settle(context: DriveContext, held: Holding, *, confirmed: bool = False) -> None:
    """Nothing is left to do for an instance that has ended: neither its message nor its timer is of use."""
    if held.timer is not None:
        await context.queue.drop_timer(held.key, held.timer)
    await held.ack(confirmed=confirmed)


async def _let_sleep(context: DriveContext, held: Holding, parked: Parked) -> Fate:
    if parked.until is not None:
        await context.queue.enqueue_at(held.key, parked.until)
    await held.ack()
    # While the message was held, the queue refused another one: whoever appended an input meanwhile relies on this.
    if news := await context.bus.query_history(held.key, after=parked.cause, slim=True):
        if news[-1].terminal:
            await context.queue.drop_timer(held.key, parked.cause)
        else:
            await context.queue.enqueue(held.key)
    return Fate.PARKED


def _info(error: ScriptError) -> ErrorInfo:
    message = well_formed(error.message)
    if len(message) > _MESSAGE_CHARACTERS:
        # A script may throw anything; the event that ends it must fit.
        message = f"{message[: _MESSAGE_CHARACTERS - 1]}…"
    stack = well_formed(error.stack)[:_STACK_CHARACTERS] if isinstance(error, Thrown) else ""
    return ErrorInfo(
        name=well_formed(error.name)[:_NAME_CHARACTERS],
        message=message,
        line=error.line,
        column=error.column,
        stack=stack or None,
    )

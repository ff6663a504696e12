"""Drives one queued instance: decide from its history, act, and let go of the message."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.measures import Fate
from workflow_operator.engine.script import Cancelled, Failed, LogSink, Outcome, Parked, Sandboxes, Script, Succeeded
from workflow_operator.engine.tail import Overtaken, Tail
from workflow_operator.engine.write import EventWriter
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
from workflow_operator.history.errors import EngineCrash, ScriptError, Unavailable
from workflow_operator.replay import Abandon, Cancel, Drive, Ended, Missing, Sleeping, next_action

logger = logging.getLogger(__name__)

_MISSING_ATTEMPTS = 5
_MISSING_RETRY_SECONDS = 1.0
_MESSAGE_CHARACTERS = 8192
_NAME_CHARACTERS = 256


@dataclass(frozen=True)
class DriveContext:
    """What every drive of one executor shares. ``executor_id`` names the replica in the history."""

    bus: DataBus
    queue: WorkQueue
    sandboxes: Sandboxes
    writer: EventWriter
    limits: EngineLimits
    executor_id: str
    log: LogSink


async def drive(context: DriveContext, delivery: Delivery) -> Fate:
    """Bring one instance as far as it goes now.

    Returns what became of it, once the message is acked, given back, or lost to another executor.

    Raises:
        EngineCrash: the sandbox process died.
        Unavailable: NATS does not answer.
    """
    try:
        while (fate := await _take(context, delivery)) is None:
            # Someone appended in between: what was read is no ground to claim on.
            pass
    except Overtaken as overtaken:
        logger.info("%s; this executor stops", overtaken)
        return Fate.OVERTAKEN
    return fate


async def _take(context: DriveContext, delivery: Delivery) -> Fate | None:
    """One look at the history, and what follows from it; None if it must be looked at again."""
    events = await context.bus.query_history(delivery.key, slim=True)
    # A wake-up may come early by another machine's clock; what is almost due is waited for, and not parked again.
    almost = context.writer.clock.now() + timedelta(seconds=context.limits.park_after_seconds)
    action = next_action(events, attempt=delivery.attempt, now=almost, crash_limit=context.limits.crash_limit)
    match action:
        case Missing() if delivery.attempt < _MISSING_ATTEMPTS:
            # A follower that lags may not have it yet.
            await delivery.retry(_MISSING_RETRY_SECONDS)
            return Fate.NOTHING
        case Missing() | Ended():
            await delivery.ack()
            return Fate.NOTHING
        case Sleeping(until, cause):
            return await _let_sleep(context, delivery, Parked(until, cause))
        case Cancel(epoch, reason):
            return await _conclude(context, delivery, _tail(context, delivery, events, epoch), Cancelled(reason))
        case Abandon(epoch, crashes):
            error = EngineCrash(f"{crashes} executors in a row stopped while running this script, and none got further")
            return await _conclude(context, delivery, _tail(context, delivery, events, epoch), Failed(error))
        case Drive(epoch, claim):
            tail = _tail(context, delivery, events, epoch)
            if claim and not await tail.claim():
                return None
            script = Script(events, tail, context.writer.clock, context.limits, context.log)
            return await _conclude(context, delivery, tail, await _supervised(context, delivery, script, tail))
        case _:
            assert_never(action)


def _tail(context: DriveContext, delivery: Delivery, events: list[InstanceEvent], epoch: int) -> Tail:
    executor = ExecutorRef(id=context.executor_id, epoch=epoch)
    return Tail(context.bus, context.writer, delivery.key, executor, events[-1].sequence)


async def _supervised(context: DriveContext, delivery: Delivery, script: Script, tail: Tail) -> Outcome:
    """Run the script, holding the message meanwhile; stop it at a claim or cancel request by someone else."""
    work = asyncio.create_task(script.run(context.sandboxes))
    beat = asyncio.create_task(_beat_until_interrupted(context, delivery, tail))
    try:
        await asyncio.wait({work, beat}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            async with tail.lock:
                work.cancel()
            await asyncio.wait({work})
        if work.cancelled() and beat.done():
            return beat.result()
        return work.result()
    finally:
        for task in (work, beat):
            task.cancel()
        await asyncio.gather(work, beat, return_exceptions=True)


async def _beat_until_interrupted(context: DriveContext, delivery: Delivery, tail: Tail) -> Outcome:
    while tail.cancelled is None:
        await context.writer.clock.sleep(context.limits.heartbeat_seconds)
        try:
            await tail.look()
        except Unavailable as error:
            logger.warning("instance %s: cannot look at the history: %s", delivery.key, error)
        await delivery.extend()
    return Cancelled(tail.cancelled.reason or "")


async def _conclude(context: DriveContext, delivery: Delivery, tail: Tail, outcome: Outcome) -> Fate:
    match outcome:
        case Parked():
            return await _let_sleep(context, delivery, outcome)
        case Succeeded(output):
            try:
                await tail.append(EventType.SUCCEEDED, output=output)
                fate = Fate.SUCCEEDED
            except ScriptError as error:
                await tail.append(EventType.FAILED, error=_info(error))
                fate = Fate.FAILED
        case Failed(error):
            await tail.append(EventType.FAILED, error=_info(error))
            fate = Fate.FAILED
        case Cancelled(reason):
            await tail.append(EventType.CANCELLED, reason=reason)
            fate = Fate.CANCELLED
        case _:
            assert_never(outcome)
    await delivery.ack()
    return fate


async def _let_sleep(context: DriveContext, delivery: Delivery, parked: Parked) -> Fate:
    await context.queue.enqueue_at(delivery.key, parked.until, parked.cause)
    await delivery.ack()
    # While the message was held, the queue refused another one: whoever appended an input meanwhile relies on this.
    if await context.bus.query_history(delivery.key, after=parked.cause):
        await context.queue.enqueue(delivery.key)
    return Fate.PARKED


def _info(error: ScriptError) -> ErrorInfo:
    message = well_formed(error.message)
    if len(message) > _MESSAGE_CHARACTERS:
        # A script may throw anything; the event that ends it must fit.
        message = f"{message[: _MESSAGE_CHARACTERS - 1]}…"
    return ErrorInfo(
        name=well_formed(error.name)[:_NAME_CHARACTERS], message=message, line=error.line, column=error.column
    )

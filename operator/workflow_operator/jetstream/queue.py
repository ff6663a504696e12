"""The work queue over JetStream: instances that wait for an executor, and timers that put them there."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nats.aio.msg import Msg

from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.history.events import ExecutorRef, LetGo
from workflow_operator.history.format import rfc3339
from workflow_operator.history.ports import Delivery, QueueDepth, Release
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.answers import OUTDATED, read_answer
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.headers import EXPECTED_SEQUENCE, RELEASED, SCHEDULE, SCHEDULE_TARGET
from workflow_operator.jetstream.pulling import nak, pull, send
from workflow_operator.jetstream.topology import (
    EXECUTION,
    EXECUTORS,
    TIMERS,
    due_subject,
    queue_subject,
    timer_subject,
)

logger = logging.getLogger(__name__)

_EPOCH = re.compile(r"[0-9]{1,9}")
_TIMER_BATCH = 256
_TIMER_PULL_SECONDS = 5.0
_UNAVAILABLE_PAUSE_SECONDS = 0.5


class QueueDelivery:
    """Implements :class:`workflow_operator.history.ports.Delivery`."""

    def __init__(self, connection: Connection, message: Msg) -> None:
        self._connection = connection
        self._message = message
        self._key = InstanceKey.of_subject(message.subject)

    @property
    def key(self) -> InstanceKey:
        return self._key

    @property
    def attempt(self) -> int:
        return self._message.metadata.num_delivered

    @property
    def queued_at(self) -> datetime:
        return self._message.metadata.timestamp

    @property
    def released(self) -> Release | None:
        return read_release((self._message.headers or {}).get(RELEASED, ""))

    async def extend(self) -> None:
        # Not confirmed: a lost one costs a redelivery, which the history fences.
        await send(self._connection, self._message, b"+WPI")

    async def ack(self) -> None:
        """Done with it. When this returns, and NATS was there, the instance can be queued again.

        Confirmed by the server, so that whoever then finds a new event in the history can queue the instance. (With
        several replicas the message goes some milliseconds after the confirmation: see ``enqueue`` of the port.)
        A failure is silent: it is delivered again, and found done.
        """
        try:
            await self._connection.request(self._message.reply, b"+ACK")
        except Unavailable as error:
            logger.info("%s: not acked, it will be delivered again: %s", self._key, error)

    async def retry(self, delay_seconds: float) -> None:
        await nak(self._connection, self._message, delay_seconds)

    async def release(self, release: Release) -> None:
        # A new message in place of ours, unless the instance was queued anew meanwhile.
        headers = {EXPECTED_SEQUENCE: str(self._message.metadata.sequence.stream), RELEASED: write_release(release)}
        try:
            answer = read_answer((await self._connection.request(self._message.subject, headers=headers)).data)
        except Unavailable as error:
            logger.info("%s: released without a word: %s", self._key, error)
        else:
            if answer.error:
                logger.info("%s: not released, it is not held any more: %s", self._key, answer.description)


class JetStreamWorkQueue:
    """Implements :class:`workflow_operator.history.ports.WorkQueue`. :meth:`run` must run in at least one replica."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def enqueue(self, key: InstanceKey) -> bool:
        # "Nothing may be stored on this subject": a queue message is there until it is acked.
        answer = await self._connection.request(queue_subject(key), headers={EXPECTED_SEQUENCE: "0"})
        result = read_answer(answer.data)
        if result.error in OUTDATED:
            return False
        if result.error:
            raise Unavailable(f"instance {key}: JetStream did not queue it: {result.description} ({result.error})")
        return True

    async def enqueue_at(self, key: InstanceKey, at: datetime, cause: int) -> None:
        """As the port says. A time that has passed counts as now.

        A repeat after the timer fired queues the instance once more, which is harmless.
        """
        headers = {SCHEDULE: f"@at {rfc3339(at)}", SCHEDULE_TARGET: due_subject(key)}
        # On a subject of its own, which holds one message: a repeat replaces what it repeats.
        answer = read_answer((await self._connection.request(timer_subject(key, cause), headers=headers)).data)
        if answer.error:
            raise Unavailable(f"instance {key}: JetStream set no timer: {answer.description} ({answer.error})")

    async def pull(self, limit: int, timeout_seconds: float) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for message in await pull(self._connection, EXECUTION, EXECUTORS, limit, timeout_seconds):
            try:
                deliveries.append(QueueDelivery(self._connection, message))
            except InvalidInput as error:
                logger.error("removed from the queue: %s", error)
                await send(self._connection, message, b"+TERM")
        return deliveries

    async def depth(self) -> QueueDepth:
        stream, executors = await asyncio.gather(
            self._connection.api(f"STREAM.INFO.{EXECUTION}", {}),
            self._connection.api(f"CONSUMER.INFO.{EXECUTION}.{EXECUTORS}", {}),
        )
        for answer in (stream, executors):
            if "error" in answer:
                raise Unavailable(f"JetStream: {EXECUTION}: {answer['error'].get('description')}")
        return queue_depth(stream, executors)

    async def run(self) -> None:
        """Queue the instances whose timers have fired, until cancelled. Any number of replicas may do so.

        A timer does not fire into the queue itself: it would replace the message of an instance that an executor
        holds at that moment, and hand the instance to a second one.
        """
        while True:
            try:
                due = await pull(self._connection, EXECUTION, TIMERS, _TIMER_BATCH, _TIMER_PULL_SECONDS)
            except Unavailable as error:
                logger.warning("timers: trying again: %s", error)
                await asyncio.sleep(_UNAVAILABLE_PAUSE_SECONDS)
                continue
            except Exception:
                logger.exception("timers: trying again")
                await asyncio.sleep(_UNAVAILABLE_PAUSE_SECONDS)
                continue
            await asyncio.gather(*map(self._queue_due, due))

    async def _queue_due(self, message: Msg) -> None:
        try:
            queued = await self.enqueue(InstanceKey.of_subject(message.subject))
        except Unavailable as error:
            logger.warning("%s: trying again: %s", message.subject, error)
            queued = False
        except InvalidInput as error:
            logger.error("removed from the timers: %s", error)
            await send(self._connection, message, b"+TERM")
            return
        except Exception:
            logger.exception("%s: trying again", message.subject)
            queued = False
        if queued:
            await send(self._connection, message, b"+ACK")
        else:
            # Held still, perhaps by the executor that has just parked it: dropped, it would sleep on.
            await nak(self._connection, message, due_pause(message.metadata.num_delivered))


def write_release(release: Release) -> str:
    """As a header says it. Pure."""
    how = LetGo.CRASH if release.crashed else LetGo.HAND_OVER
    return f"{release.executor.id} {release.executor.epoch} {how}"


def read_release(text: str) -> Release | None:
    """What a header says; None if it is nothing that this release understands. Pure."""
    match text.split(" "):
        case [executor, epoch, (LetGo.CRASH | LetGo.HAND_OVER) as how] if _EPOCH.fullmatch(epoch):
            return Release(ExecutorRef(id=executor, epoch=int(epoch)), crashed=how == LetGo.CRASH)
    return None


def queue_depth(stream: Mapping[str, Any], executors: Mapping[str, Any]) -> QueueDepth:
    """From what the server says of the stream and of the executors' consumer, at slightly different times. Pure."""
    waiting, held = executors["num_pending"], executors["num_ack_pending"]
    return QueueDepth(waiting, held, max(0, stream["state"]["messages"] - waiting - held))


def due_pause(attempt: int) -> float:
    """Seconds until a due instance is tried again; ``attempt`` counts from 1. Pure."""
    return float(min(0.05 * 2 ** min(attempt - 1, 10), 5.0))

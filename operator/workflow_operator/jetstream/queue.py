"""The work queue over JetStream: instances that wait for an executor, and timers that put them there."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.msg import Msg

from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat
from workflow_operator.history.events import (
    EventType,
    ExecutorRef,
    InstanceEvent,
    LetGo,
    decode_event,
    encode_event,
)
from workflow_operator.history.format import rfc3339
from workflow_operator.history.ports import Delivery, QueueDepth, Release
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connect.answers import OUTDATED, read_answer
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import (
    DROPPED,
    EXPECTED_SEQUENCE,
    HISTORY_SEQUENCE,
    RELEASED,
    SCHEDULE,
    SCHEDULE_TARGET,
    read_sequence,
)
from workflow_operator.jetstream.lanes import Admits, Lanes
from workflow_operator.jetstream.pulling import nak, pull, send
from workflow_operator.jetstream.reads import direct_batch
from workflow_operator.jetstream.streams import older
from workflow_operator.jetstream.streams.topology import (
    FIRED,
    LANES,
    QUEUE,
    TIMER_SUBJECTS,
    TIMERS,
    fired_subject,
    fired_subject_of,
    lane_consumer,
    queue_subject,
    timer_subject,
)

logger = logging.getLogger(__name__)

_EPOCH = re.compile(r"[0-9]{1,9}")
# It is stored once more with the message, for as long as that is in the queue.
_CARRIED_BYTES = 16 * 1024
_TIMER_BATCH = 256
# Ours are empty. Whoever may publish can store others, of the server's max_payload each.
_TIMER_BATCH_BYTES = 1024 * 1024
_TIMER_PULL_SECONDS = 5.0
_UNAVAILABLE_PAUSE_SECONDS = 0.5
_OLDER_SECONDS = 60.0
_SWEEP_SECONDS = 600.0
_SWEEP_BATCH = 1000
_STALE_AFTER = timedelta(minutes=1)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
# The server counts 64 bits of nanoseconds: a timer after the year 2262 fires at once, and again whenever it is set.
_LATEST = datetime(2262, 1, 1, tzinfo=UTC)


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
    def started(self) -> InstanceEvent | None:
        return read_started(self._message.data, self._message.headers or {}, self._key)

    @property
    def released(self) -> Release | None:
        return read_release((self._message.headers or {}).get(RELEASED, ""))

    async def extend(self) -> None:
        # Not confirmed: a lost one costs a redelivery, which the history fences.
        await send(self._connection, self._message, b"+WPI")

    async def ack(self, *, confirmed: bool = True) -> None:
        """Done with it. When this returns, and NATS was there, the instance can be queued again, if ``confirmed``.

        Confirmed by the server, so that whoever then finds a new event in the history can queue the instance. (With
        several replicas the message goes some milliseconds after the confirmation: see ``enqueue`` of the port.)
        A failure is silent: it is delivered again, and found done.
        """
        if not confirmed:
            await send(self._connection, self._message, b"+ACK")
            return
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
        self._lanes = Lanes(connection)
        self._older = False

    async def enqueue(
        self, key: InstanceKey, release: Release | None = None, started: InstanceEvent | None = None
    ) -> bool:
        # "Nothing may be stored on this subject": a queue message is there until it is acked.
        headers = {EXPECTED_SEQUENCE: "0"}
        if release is not None:
            headers[RELEASED] = write_release(release)
        body = b""
        if started is not None and 0 < started.size <= _CARRIED_BYTES:
            headers[HISTORY_SEQUENCE], body = str(started.sequence), encode_event(started)
        answer = await self._connection.request(queue_subject(key), body, headers=headers)
        result = read_answer(answer.data)
        if result.error in OUTDATED:
            return False
        if result.error:
            raise Unavailable(f"instance {key}: JetStream did not queue it: {result.description} ({result.error})")
        return True

    async def enqueue_at(self, key: InstanceKey, at: datetime) -> None:
        """As the port says. A time that has passed counts as now.

        A repeat after the timer fired queues the instance once more, which is harmless.
        """
        await self._set_timer(timer_subject(key), fired_subject(key), at)

    async def drop_timer(self, key: InstanceKey, cause: int) -> None:
        await self._set_timer(timer_subject(key), fired_subject(key), _LONG_AGO, {DROPPED: "1"})
        if self._older:
            subjects = older.timer_subject(key, cause), older.due_subject(key)
            await self._set_timer(*subjects, _LONG_AGO, {DROPPED: "1"})

    async def _set_timer(self, subject: str, target: str, at: datetime, more: Mapping[str, str] | None = None) -> None:
        headers = {SCHEDULE: f"@at {rfc3339(min(at, _LATEST))}", SCHEDULE_TARGET: target, **(more or {})}
        # The subject holds one message: what is set takes the place of what was.
        answer = read_answer((await self._connection.request(subject, headers=headers)).data)
        if answer.error:
            raise Unavailable(f"{subject}: JetStream set no timer: {answer.description} ({answer.error})")

    async def pull(self, limit: int, timeout_seconds: float, admits: Admits) -> list[Delivery]:
        messages = await self._lanes.take(limit, timeout_seconds, admits)
        return [QueueDelivery(self._connection, message) for message in messages]

    async def stop_pulling(self) -> None:
        await self._lanes.stop()

    async def depth(self) -> QueueDepth:
        """As the port says. What an empty queue holds in each lane is not asked for."""
        timers, queued = await self._infos(f"STREAM.INFO.{TIMERS}", f"STREAM.INFO.{QUEUE}")
        consumers = [f"CONSUMER.INFO.{QUEUE}.{lane_consumer(lane)}" for lane in range(LANES)]
        lanes = await self._infos(*consumers) if queued["state"]["messages"] else []
        return queue_depth(timers, lanes)

    async def _infos(self, *subjects: str) -> list[dict[str, Any]]:
        answers = await asyncio.gather(*(self._connection.api(subject, {}) for subject in subjects))
        for answer in answers:
            if "error" in answer:
                raise Unavailable(f"JetStream: {QUEUE}: {answer['error'].get('description')}")
        return answers

    async def run(self) -> None:
        """Queue the instances whose timers have fired, until cancelled. Any number of replicas may do so.

        A timer does not fire into the queue itself: it would replace the message of an instance that an executor
        holds at that moment, and hand the instance to a second one.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue_all(TIMERS, FIRED))
            group.create_task(self._take_from_older())
            group.create_task(self._sweep_timers())

    async def _queue_all(self, stream: str, consumer: str) -> None:
        while True:
            try:
                due = await pull(
                    self._connection,
                    stream,
                    consumer,
                    _TIMER_BATCH,
                    _TIMER_PULL_SECONDS,
                    max_bytes=_TIMER_BATCH_BYTES,
                )
            except Unavailable as error:
                if stream == older.EXECUTION and not await self._find_older():
                    return
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
            queued = DROPPED in (message.headers or {}) or await self.enqueue(InstanceKey.of_subject(message.subject))
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

    async def _take_from_older(self) -> None:
        """Move what release 0.2 has in its stream, or replicas of it still put there, for as long as it is there."""
        while True:
            try:
                if await self._find_older():
                    queued = self._queue_all(older.EXECUTION, older.EXECUTORS)
                    await asyncio.gather(queued, self._queue_all(older.EXECUTION, older.TIMERS))
            except Exception:
                logger.exception("stream %s of release 0.2: looking again", older.EXECUTION)
            await asyncio.sleep(_OLDER_SECONDS)

    async def _find_older(self) -> bool:
        with suppress(Unavailable):
            answer = await self._connection.api(f"STREAM.INFO.{older.EXECUTION}", {})
            self._older = "error" not in answer
        return self._older

    async def _sweep_timers(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self.sweep_timers()
            except Unavailable as error:
                logger.warning("timers: not swept: %s", error)
            except Exception:
                logger.exception("timers: not swept")

    async def sweep_timers(self) -> int:
        """Set those timers anew whose time passed a minute ago and that are there still; how many.

        A server that lost its leader as a timer fired can keep it for ever. Set anew it fires, and its instance is
        found to be awake.

        Raises:
            Unavailable: no answer.
        """
        info = await self._connection.api(f"STREAM.INFO.{TIMERS}", {})
        if error := info.get("error"):
            raise Unavailable(f"JetStream: {TIMERS}: {error.get('description')}")
        now, after, complete, found = datetime.fromisoformat(info["ts"]), 0, False, 0
        while not complete:
            request = {"seq": after + 1, "next_by_subj": TIMER_SUBJECTS, "batch": _SWEEP_BATCH}
            batch = await direct_batch(self._connection, TIMERS, request)
            complete = batch.complete
            for stored in batch.messages:
                after = stored.sequence
                if timer_is_stale(stored.headers.get(SCHEDULE, ""), now):
                    await self._set_timer(stored.subject, fired_subject_of(stored.subject), now)
                    found += 1
        return found


def read_started(data: bytes, headers: Mapping[str, str], key: InstanceKey) -> InstanceEvent | None:
    """The event that a queue message holds, read as one of the history; None if it holds none. Pure."""
    if not data or len(data) > _CARRIED_BYTES:
        return None
    try:
        event = decode_event(data, sequence=read_sequence(headers, HISTORY_SEQUENCE), key=key)
    except (InvalidInput, UnknownFormat):
        return None
    return event if event.type is EventType.STARTED and event.sequence > 0 else None


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


def timer_is_stale(schedule: str, now: datetime) -> bool:
    """Whether a timer should have fired a minute ago; one that cannot be read never fires. Pure."""
    try:
        at = datetime.fromisoformat(schedule.removeprefix("@at "))
    except ValueError:
        return True
    return at.tzinfo is None or at < now - _STALE_AFTER


def queue_depth(timers: Mapping[str, Any], lanes: Sequence[Mapping[str, Any]]) -> QueueDepth:
    """From what the server says of the timers' stream and of each lane's consumer, at different times. Pure."""
    waiting = sum(lane["num_pending"] for lane in lanes)
    held = sum(lane["num_ack_pending"] for lane in lanes)
    return QueueDepth(waiting, held, timers["state"]["messages"])


def due_pause(attempt: int) -> float:
    """Seconds until a due instance is tried again; ``attempt`` counts from 1. Pure."""
    return float(min(0.05 * 2 ** min(attempt - 1, 10), 5.0))

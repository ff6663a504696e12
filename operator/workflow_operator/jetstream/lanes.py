"""Taking from the lanes of the queue in turn, so that no namespace waits behind another one's backlog."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from nats.aio.msg import Msg

from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.history.subjects import InstanceKey, is_namespace
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.inbox import Inbox
from workflow_operator.jetstream.pulling import GRACE_SECONDS, NANOSECONDS, nak, refused, send
from workflow_operator.jetstream.reads import NOTHING_MORE, status_of
from workflow_operator.jetstream.streams.topology import LANES, QUEUE, lane_consumer, lane_subjects

logger = logging.getLogger(__name__)

# How long a lane without anything waits at the server before it asks again: 96 requests a minute for all of them.
_EXPIRES_SECONDS = 10.0
# What nobody takes is given back before the server believes it lost.
_OFFERED_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_FAILED_PAUSE_SECONDS = 0.5
# Looking past a backlog costs two messages for each instance in it: at most a hundred a second over time.
_PASSED_A_SECOND = 100
_LEAST_PAUSE_SECONDS = 5.0
# To find out that nobody else is there costs one request, and a line of the answer for each instance.
_LOOKED_AT_A_SECOND = 1000
_PASSED_DELAY_SECONDS = 1.0

Admits = Callable[[InstanceKey], bool]
"""Whether an instance may be taken now."""

_ANY = UUID(int=0)


def admissible(waiting: Mapping[str, int], admits: Admits) -> bool:
    """Whether it is worth to look past those that may not be taken: somebody else is in the lane. Pure.

    What no namespace has as its name is removed once it is met, and waits for nothing.
    """
    return any(count and is_namespace(name) and admits(InstanceKey(name, _ANY)) for name, count in waiting.items())


def passed_delay(backlog: int) -> float:
    """Seconds until an instance that was passed comes again: not before the whole backlog was. Pure."""
    return _PASSED_DELAY_SECONDS + backlog / 1000


def pause_between_looks(backlog: int, passing: bool) -> float:
    """Seconds until it is asked again who waits in a lane; longer after a look that has the backlog passed. Pure."""
    return max(_LEAST_PAUSE_SECONDS, backlog / (_PASSED_A_SECOND if passing else _LOOKED_AT_A_SECOND))


class Lanes:
    """One request at the server for each lane, and at most one instance of each lane on offer here.

    So lanes are served in turn, whatever waits in each. Within a lane, instances of a namespace that may have no more
    now are given back, if others wait behind them.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lanes: list[_Lane] = []
        self._failure: Unavailable | None = None
        self.offered: dict[int, Msg] = {}
        self.changed = asyncio.Event()
        self.admits: Admits = lambda _: True

    async def take(self, limit: int, timeout_seconds: float, admits: Admits) -> list[Msg]:
        """Up to ``limit`` messages, and at most one of each lane, as soon as there is one.

        Raises:
            Unavailable: a lane failed, and the others have nothing.
        """
        self.admits = admits
        self._start()
        try:
            async with asyncio.timeout(timeout_seconds):
                while not (taken := self._take(limit)) and self._failure is None:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return []
        except asyncio.CancelledError:
            await self.stop()
            raise
        failure, self._failure = self._failure, None
        if failure is not None and not taken:
            raise failure
        return taken

    def _take(self, limit: int) -> list[Msg]:
        taken: list[Msg] = []
        for number, message in list(self.offered.items()):
            # One at a time: what is taken counts for the next.
            if len(taken) < limit and self.admits(InstanceKey.of_subject(message.subject)):
                taken.append(self.offered.pop(number))
                self._lanes[number].served.set()
        return taken

    def fail(self, error: Unavailable) -> None:
        self._failure = error
        self.changed.set()

    def _start(self) -> None:
        if not self._lanes:
            self._lanes = [_Lane(self, self._connection, number) for number in range(LANES)]
        for lane in self._lanes:
            lane.wanted.set()

    async def stop(self) -> None:
        """Give back what is on offer, and ask for nothing more."""
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            lane.task.cancel()
        await asyncio.gather(*(lane.task for lane in lanes), return_exceptions=True)
        offered, self.offered = self.offered, {}
        for message in offered.values():
            await nak(self._connection, message, 0)


class _Lane:
    def __init__(self, lanes: Lanes, connection: Connection, number: int) -> None:
        self._lanes = lanes
        self._connection = connection
        self._number = number
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{QUEUE}.{lane_consumer(number)}"
        self._passing = 0
        self._backlog = 0
        self._not_before = 0.0
        self.wanted = asyncio.Event()
        self.served = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"lane {number}")

    async def _run(self) -> None:
        while True:
            try:
                async with self._connection.inbox() as inbox:
                    await self._serve(inbox)
            except Unavailable as error:
                self._lanes.fail(error)
            except Exception:
                logger.exception("lane %d of the queue: trying again", self._number)
            await asyncio.sleep(_FAILED_PAUSE_SECONDS)

    async def _serve(self, inbox: Inbox) -> None:
        try:
            while True:
                await self._next(inbox)
        finally:
            for message in inbox.rest():
                if status_of(message) is None:
                    await nak(self._connection, message, 0)

    async def _next(self, inbox: Inbox) -> None:
        await self.wanted.wait()
        body = json.dumps({"batch": 1, "expires": int(_EXPIRES_SECONDS * NANOSECONDS)}).encode()
        await self._connection.publish(self._subject, body, reply=inbox.subject)
        message = await inbox.next(_EXPIRES_SECONDS + GRACE_SECONDS)
        status = status_of(message)
        if status in NOTHING_MORE:
            return
        if status is not None:
            raise refused(self._connection, self._subject, message)
        try:
            key = InstanceKey.of_subject(message.subject)
        except InvalidInput as error:
            logger.error("removed from the queue: %s", error)
            await send(self._connection, message, b"+TERM")
            return
        if not self._lanes.admits(key) and await self._others_wait():
            self._passing -= 1
            await nak(self._connection, message, passed_delay(self._backlog))
            return
        await self._offer(message)

    async def _others_wait(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._passing > 0:
            return True
        if now < self._not_before:
            return False
        waiting = await waiting_in_lane(self._connection, self._number)
        self._backlog = sum(waiting.values())
        self._passing = self._backlog if admissible(waiting, self._lanes.admits) else 0
        self._not_before = now + pause_between_looks(self._backlog, self._passing > 0)
        return self._passing > 0

    async def _offer(self, message: Msg) -> None:
        self._passing = 0
        self.wanted.clear()
        self.served.clear()
        self._lanes.offered[self._number] = message
        self._lanes.changed.set()
        for _ in range(round(_OFFERED_SECONDS / _LOOK_SECONDS)):
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.served.wait()
                    return
            except TimeoutError:
                # A slot may have become free for it.
                self._lanes.changed.set()
        if self._lanes.offered.pop(self._number, None) is not None:
            await nak(self._connection, message, _PASSED_DELAY_SECONDS)


async def waiting_in_lane(connection: Connection, lane: int) -> Counter[str]:
    """How many instances of each namespace wait in a lane, or are held.

    Raises:
        Unavailable: no answer.
    """
    info = await connection.api(f"STREAM.INFO.{QUEUE}", {"subjects_filter": lane_subjects(lane)})
    if error := info.get("error"):
        raise Unavailable(f"JetStream: {QUEUE}: {error.get('description')}")
    subjects: Iterable[str] = info["state"].get("subjects") or ()
    return Counter(subject.split(".")[-2] for subject in subjects)

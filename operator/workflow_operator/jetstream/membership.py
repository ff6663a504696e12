"""Who is alive, and who therefore owns what."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime

from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.jetstream.connect.answers import read_answer
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import TIME_STAMP
from workflow_operator.jetstream.reads import direct_batch
from workflow_operator.jetstream.streams.topology import MEMBERS, any_group_subjects, member_subject

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 2.0

# A member that lives renews its key well before; the message of one that was killed comes back after this.
_SIGN_OF_LIFE_SECONDS = 1.75 * REFRESH_SECONDS

# By then each of the others has looked once.
_SEEN_BY_ALL_SECONDS = 1.5 * REFRESH_SECONDS

# How often one that may not join yet looks whether it may.
_OUTSIDE_SECONDS = 0.25

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_GROUP = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MAX_MEMBERS = 1000
_OPERATION = "KV-Operation"


def rendezvous(members: Iterable[str], key: str) -> str | None:
    """The member that owns ``key``: the one with the highest hash of both (None without members). Pure.

    A member that goes gives away its own keys only; one that comes takes its share from everybody alike.
    """
    return max(members, key=lambda member: (_weight(member, key), member), default=None)


def _weight(member: str, key: str) -> bytes:
    # A zero byte occurs in neither, so that no two pairs hash the same text.
    return hashlib.blake2b(f"{member}\0{key}".encode(), digest_size=8).digest()


async def living(connection: Connection, members: Collection[str]) -> frozenset[str]:
    """Those of the members of any group that showed a sign of life just now, by the server's clock.

    A key outlives its replica by up to its TTL, so its age is what counts.

    Raises:
        Unavailable: NATS does not answer.
    """
    if not members:
        return frozenset()
    return await _showing(connection, [subject for each in sorted(members) for subject in any_group_subjects(each)])


async def living_operators(connection: Connection) -> frozenset[str]:
    """The operators of any group that showed a sign of life just now, by the server's clock.

    Raises:
        Unavailable: NATS does not answer.
    """
    return await _showing(connection, [member_subject("operators.*", "*")])


async def _showing(connection: Connection, subjects: Sequence[str]) -> frozenset[str]:
    info = await connection.api(f"STREAM.INFO.{MEMBERS}", {})
    if error := info.get("error"):
        raise Unavailable(f"JetStream: {MEMBERS}: {error.get('description')}")
    batch = await direct_batch(connection, MEMBERS, {"multi_last": subjects, "batch": _MAX_MEMBERS})
    now = datetime.fromisoformat(info["ts"])
    return frozenset(
        each.subject.rsplit(".", 1)[1]
        for each in batch.messages
        if _OPERATION not in each.headers
        and (now - datetime.fromisoformat(each.headers[TIME_STAMP])).total_seconds() < _SIGN_OF_LIFE_SECONDS
    )


class Membership:
    """This replica's place in a group: it keeps a key with a TTL, and reads those of the others.

    Two replicas may own the same key for some seconds, or none; whoever acts on it must not rely on it.
    ``settled`` is whether this one owns anything yet.
    """

    def __init__(
        self,
        connection: Connection,
        group: str,
        member: str,
        *,
        gives_way: Callable[[], bool] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``group`` may have parts, as in ``kind.name``.

        Args:
            gives_way: while others are there, join only once this is true, and own nothing until they have had the time
                to see this one. Then a key has no owner for some seconds where otherwise it has two.

        Raises:
            InvalidInput: ``member`` or a part of ``group`` holds anything but letters, digits, '-' and '_'.
        """
        if not _GROUP.fullmatch(group) or not _TOKEN.fullmatch(member):
            raise InvalidInput(f"member {group}/{member}: expected letters, digits, '-' and '_' only")
        self._connection = connection
        self._group = group
        self._member = member
        self._sleep = sleep
        self._may_join = gives_way or (lambda: True)
        self._joined = self.settled = gives_way is None
        self._members: tuple[str, ...] = (member,)
        self._on_change: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """The live members, this one included, sorted; as last seen while NATS does not answer."""
        return self._members

    def owns(self, key: str) -> bool:
        return self.settled and rendezvous(self._members, key) == self._member

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after every change of what is owned."""
        self._on_change.append(callback)

    async def start(self) -> None:
        """Join, and see who else is there.

        Raises:
            Unavailable: NATS does not answer.
        """
        await self.refresh()
        self._task = asyncio.create_task(self._run(), name=f"membership {self._group}")

    async def close(self) -> None:
        """Leave at once, so that the others need not wait for the TTL."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            await self._put({_OPERATION: "DEL"})
        except Unavailable as error:
            logger.info("membership %s: left without a word: %s", self._group, error)

    async def refresh(self) -> None:
        """Show a sign of life, and look who else does.

        Raises:
            Unavailable: NATS does not answer.
        """
        if not self._joined and not self._may_join() and await self._live() - {self._member}:
            return
        self._joined = True
        await self._put({})
        live = await self._live()
        # Ourselves even if the replica that answered has not heard of us yet.
        members = tuple(sorted(live | {self._member}))
        self.settled = self.settled or members == (self._member,)
        if members != self._members:
            logger.info("membership %s: %s", self._group, ", ".join(members))
            self._members = members
            self._tell()

    async def _live(self) -> set[str]:
        request = {"multi_last": [member_subject(self._group, "*")], "batch": _MAX_MEMBERS}
        batch = await direct_batch(self._connection, MEMBERS, request)
        return {each.subject.rsplit(".", 1)[1] for each in batch.messages if _OPERATION not in each.headers}

    async def _put(self, headers: dict[str, str]) -> None:
        subject = member_subject(self._group, self._member)
        answer = await self._connection.request(subject, headers=headers or None, timeout=REFRESH_SECONDS)
        if (result := read_answer(answer.data)).error:
            raise Unavailable(f"member {self._group}/{self._member}: {result.description} ({result.error})")

    def _tell(self) -> None:
        for callback in self._on_change:
            callback()

    @property
    def _pause(self) -> float:
        if not self._joined:
            return _OUTSIDE_SECONDS
        return REFRESH_SECONDS if self.settled else _SEEN_BY_ALL_SECONDS / 2

    async def _run(self) -> None:
        looks = 0
        while True:
            await self._sleep(self._pause)
            try:
                # Those since it joined.
                looks += self._joined
                await self.refresh()
                if looks >= 2 and not self.settled:
                    self.settled = True
                    self._tell()
            except Unavailable as error:
                logger.warning("membership %s: keeping the last view: %s", self._group, error)
            except Exception:
                logger.exception("membership %s: keeping the last view", self._group)

"""NATS is away: the runs that wait for it say so, at a pace that spares the API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from workflow_operator.history.errors import Retryable, WorkflowError
from workflow_operator.reconcile.objects.ports import Shares
from workflow_operator.reconcile.objects.store import ObjectStore, RunKey, key_of
from workflow_operator.reconcile.showing.desired import Problem, desired_status, hindrances
from workflow_operator.reconcile.showing.writer import StatusWriter
from workflow_operator.resources.run import ObservedRun

logger = logging.getLogger(__name__)

UNAVAILABLE = "NatsUnavailable"
REFUSED = "NatsRefused"
STORAGE = "StorageFull"
_OURS = frozenset({UNAVAILABLE, REFUSED, STORAGE})

GRACE = timedelta(seconds=10)
"""An outage as short as that is not told of."""
REFUSED_GRACE = timedelta(seconds=2)
"""Stores that were refused for as long as that will be refused again: a change of leader refuses for a moment."""
UNSERVED = timedelta(seconds=30)
"""A run this old, of which no replica has shown anything, is served by none."""
PACE_SECONDS = 0.2
"""Between two writes of one replica."""

_LOOK_SECONDS = 1.0
_MAX_FAILURES = 3
_AFTER_FAILURE_SECONDS = 10.0


def nats_problem(error: str, *, refused: bool) -> Problem:
    """What a run says of it. Not Stalled: the run itself is well, and goes on by itself.

    Args:
        error: the server's address and what it says, without any secret.
        refused: whether NATS answers, and does not let us in.
    """
    remedy = "the operator's login and its permissions in NATS" if refused else "the NATS servers and their address"
    return Problem(
        REFUSED if refused else UNAVAILABLE,
        f"the run waits for the operator's connection to NATS, and goes on once it is there: {error}. Check {remedy}",
    )


def storage_problem(words: str) -> Problem:
    """What a run says while NATS is there, and JetStream does not store.

    Args:
        words: JetStream's own, with what it refused.
    """
    return Problem(
        STORAGE,
        "the run waits for room in JetStream, and goes on once there is: nothing is lost. Give NATS more storage, or "
        f"free some of it. {words}",
    )


class Outage:
    """Whether NATS is away for this replica, or refuses to store, and since when.

    While it is away nothing is tried. What it refuses is tried on, and is how the end of it is noticed.
    """

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._refusal: Problem | None = None
        self._since: datetime | None = None
        self._refused_since: datetime | None = None
        self._over = asyncio.Event()
        self._over.set()

    def begin(self, problem: Problem, now: datetime) -> None:
        """NATS is away; begun already, for this reason from now on."""
        self._problem = problem
        self._since = self._since or now
        self._over.clear()

    def end(self) -> None:
        """NATS is there."""
        self._problem = self._since = None
        self._over.set()

    def refusing(self, words: str | None, now: datetime) -> bool:
        """JetStream refuses to store, in its words, or no longer (None); whether it has just stopped."""
        stopped = words is None and self._refusal is not None
        if words is None:
            self._refusal = self._refused_since = None
        else:
            # The words name an instance, another one each time: the first ones stay.
            self._refusal = self._refusal or storage_problem(words)
            self._refused_since = self._refused_since or now
        return stopped

    async def over(self) -> None:
        """Return once NATS is there."""
        await self._over.wait()

    def lasting(self, now: datetime) -> Problem | None:
        """What to say of it once it has lasted a while."""
        if self._since is not None:
            return self._problem if now - self._since >= GRACE else None
        refused = self._refused_since
        return self._refusal if refused is not None and now - refused >= REFUSED_GRACE else None


def waits(run: ObservedRun, problem: Problem, now: datetime, *, owned: bool | None) -> bool:
    """Whether a run is to say that NATS is away. Pure.

    Not if anything else hinders it, nor if it says so already.

    Args:
        owned: whether the run is in this replica's share; None before it knows its share. Then others may serve the
            runs well, and only one that nobody has served is known to wait.
    """
    shown = {condition.reason for condition in hindrances(run.status)}
    if problem.reason in shown or shown - _OURS:
        return False
    if owned is None:
        return run.status.instance_id is None and now - run.metadata.creation_timestamp >= UNSERVED
    return owned


class Announcer:
    """Writes the outage into the runs that wait, each run once for each reason.

    Once and not again, because another replica that reaches NATS may know better, and write so.
    """

    def __init__(
        self,
        objects: ObjectStore,
        writer: StatusWriter,
        outage: Outage,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._objects = objects
        self._writer = writer
        self._outage = outage
        self._now = now
        self._sleep = sleep
        self._told: dict[RunKey, str] = {}
        self.shares: Shares | None = None
        """None until this replica has been connected."""

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            await self._sleep(_LOOK_SECONDS)
            if self._outage.lasting(self._now()) is None:
                self._told.clear()
                continue
            try:
                await self.announce()
            except Retryable as error:
                logger.warning("cannot say in the runs that NATS is away: %s", error)
                await self._sleep(_AFTER_FAILURE_SECONDS)
            except Exception:
                logger.exception("cannot say in the runs that NATS is away")
                await self._sleep(_AFTER_FAILURE_SECONDS)

    async def announce(self) -> None:
        """Tell of the outage in every run that waits and does not say so, for as long as it lasts.

        Raises:
            Unavailable: the API server does not answer.
        """
        failures = 0
        for key in list(self._objects):
            problem, run = self._outage.lasting(self._now()), self._objects.get(key)
            if problem is None or run is None:
                continue
            if self._told.get(key) == problem.reason or not waits(run, problem, self._now(), owned=self._owns(key)):
                continue
            self._told[key] = problem.reason
            try:
                await self._tell(run, problem)
            except Retryable as error:
                # It may be this object's alone; if it is not, the others need not be tried.
                logger.warning("run %s: cannot say that NATS is away: %s", key, error)
                failures += 1
                if failures == _MAX_FAILURES:
                    raise
            await self._sleep(PACE_SECONDS)

    async def _tell(self, run: ObservedRun, problem: Problem) -> None:
        try:
            status = desired_status(run, None, problem, self._now())
            await self._writer.write(run, status, whole=run.status.instance_id is None)
        except Retryable:
            del self._told[key_of(run)]
            raise
        except WorkflowError as error:
            logger.warning("run %s: cannot say that NATS is away: %s", key_of(run), error)
        except Exception:
            logger.exception("run %s: cannot say that NATS is away", key_of(run))

    def _owns(self, key: RunKey) -> bool | None:
        return None if self.shares is None else self.shares.owns(str(key))

"""The reconciler: takes a key, looks at the object and its instance, and does what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_operator import metrics
from workflow_operator.history import InstanceKey, InstanceStatus, Origin
from workflow_operator.history.errors import Retryable, Terminal, TooManySignals, Unavailable
from workflow_operator.reconcile.measures import end_shown
from workflow_operator.reconcile.objects.ports import Cluster, Shares
from workflow_operator.reconcile.objects.queue import KeyQueue
from workflow_operator.reconcile.objects.store import ObjectStore, RunKey, instance_of, is_copy
from workflow_operator.reconcile.showing.desired import (
    HISTORY_LOST,
    NO_INSTANCE,
    Problem,
    desired_status,
    ended_by_hand,
    foreign_instance,
    slim,
)
from workflow_operator.reconcile.showing.outage import Outage
from workflow_operator.reconcile.showing.timing import SETTLE, Seen, check_after, seen_now, write_at
from workflow_operator.reconcile.showing.writer import StatusWriter
from workflow_operator.reconcile.starting import EngineSide, Starter
from workflow_operator.resources.run import FINAL_PHASES, ObservedRun, Phase

logger = logging.getLogger(__name__)

# An instance is queued as soon as it has started; one that no executor has begun for so long may have been lost on its
# way into the queue, which refuses what it holds.
_QUEUED_AGAIN_AFTER = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class ClusterSide:
    """What the reconciler has to do with the cluster: its objects, and who writes their statuses."""

    api: Cluster
    objects: ObjectStore
    writer: StatusWriter
    cluster_id: str
    """Tells this cluster's instances from another's in the same NATS."""


class Reconciler:
    """Starts the instance of a run, mirrors its status into the object, and cancels it when the object goes.

    Every replica keeps all runs in view and works on its share of them.

    Args:
        outage: while NATS is away nothing can be decided, and nothing is.
        now: the clock.
    """

    def __init__(
        self,
        cluster: ClusterSide,
        engine: EngineSide,
        shares: Shares,
        outage: Outage,
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._objects = cluster.objects
        self._runner = engine.runner
        self._bus = engine.bus
        self._quota = engine.quota
        self._starter = Starter(cluster.api, engine, cluster.cluster_id, cluster.objects)
        self._shares = shares
        self._outage = outage
        self._now = now
        self._queue: KeyQueue[RunKey] = KeyQueue(asyncio.get_running_loop())
        self._latest: dict[RunKey, InstanceStatus] = {}
        self._seen: dict[RunKey, Seen] = {}
        self._queued_again: set[RunKey] = set()
        self._quota.on_room(self._queue.add)
        metrics.RECONCILE_QUEUE_DEPTH.set_function(lambda: len(self._queue))
        self._objects.on_change(self._object_changed)
        self.shares_changed()

    def status_changed(self, instance: InstanceStatus) -> None:
        """The projector wrote a status."""
        if instance.terminal and instance.origin is not None:
            # Whoever's share it was has acted on the deletion, if there was one.
            self._objects.forget(RunKey(instance.namespace, instance.origin.name, str(instance.instance_id)))
        for key in self._objects.standing_for(instance.key):
            known = self._latest.get(key)
            if known is None or known.history_sequence < instance.history_sequence:
                self._latest[key] = slim(instance)
                self._queue.add(key)

    def transport_changed(self) -> None:
        """NATS was away, and may have come back with less than it had: believe nothing that was read before."""
        self._latest.clear()
        self._queued_again.clear()
        self.shares_changed()

    def shares_changed(self) -> None:
        """This replica may have gained runs: look at all of them."""
        self._quota.shares_changed()
        for key in self._objects:
            self._queue.add(key)

    def _object_changed(self, key: RunKey) -> None:
        if key in self._objects:
            self._queue.add(key)
        else:
            self._forget(key)
            if self._objects.is_over(key):
                self._quota.ended(key)

    async def run(self, workers: int) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._outage.over()
                await self.reconcile(key)
                self._queue.forget_failures(key)
            except Retryable as error:
                metrics.RECONCILE_ERRORS.inc()
                logger.warning("run %s: %s; tried again", key, error)
                self._queue.retry(key, (isinstance(error, Unavailable) and error.retry_after) or 0.0)
            except Terminal as error:
                metrics.RECONCILE_ERRORS.inc()
                logger.error("run %s: %s; tried again", key, error)
                self._queue.retry(key)
            except Exception:
                metrics.RECONCILE_ERRORS.inc()
                logger.exception("run %s: reconciling failed; tried again", key)
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def reconcile(self, key: RunKey) -> None:
        """Do what is missing for one run.

        Raises:
            Unavailable: NATS or the API server does not answer.
        """
        if not self._shares.owns(str(key)):
            # Whose it is may have begun it, once it becomes ours.
            self._objects.left_to_others(key)
            return
        run = self._objects.get(key)
        if (fault := self._objects.unreadable(key)) is not None:
            # Of a later release perhaps, which knows better what it means.
            logger.error("run %s: left alone: %s", key, fault)
            self._quota.forget(key)
        elif run is not None:
            await self._mirror(key, run)
        elif (instance := self._objects.left_behind(key)) is not None:
            if not is_copy(key, instance) or await self._was_started_for(key, instance):
                await self._runner.cancel(instance, "the WorkflowRun was deleted")
            self._objects.forget(key)
            self._forget(key)

    async def _mirror(self, key: RunKey, run: ObservedRun) -> None:
        if run.status.phase in FINAL_PHASES:
            await self._end_by_hand(key, run)
            return
        found = await self._instance_or_problem(key, run)
        instance, problem = (None, found) if isinstance(found, Problem) else (found, None)
        if instance is not None:
            if await self._lags(key, instance, run):
                return
            problem = await self._suspend(run, instance)
            await self._queue_again(key, instance)
        now = self._now()
        problem = problem or self._outage.lasting(now)
        if instance is None and problem is None and self._just_begun(key, run):
            # Nothing is worth a write before that has lasted, and until then most runs are over.
            self._seen[key] = Seen(Phase.PENDING, now)
            self._queue.add_after(key, SETTLE[Phase.PENDING].total_seconds())
            return
        desired = desired_status(run, instance, problem, now)
        seen = self._seen[key] = seen_now(self._seen.get(key), desired.phase, now)
        due = write_at(run.status, desired, seen)
        if due is None:
            return
        if due > now:
            self._queue.add_after(key, (due - now).total_seconds())
            return
        self._seen[key] = replace(seen, written=now)
        whole = instance is not None or run.status.instance_id is None
        landed = await self._cluster.writer.write(run, desired, whole=whole)
        if landed and instance is not None and instance.terminal:
            end_shown(instance, desired.phase, self._now())

    def _just_begun(self, key: RunKey, run: ObservedRun) -> bool:
        return key not in self._seen and run.status.observed_generation < 0 and run.status.instance_id is None

    async def _end_by_hand(self, key: RunKey, run: ObservedRun) -> None:
        """Somebody has set a final phase, and nothing else: end the instance, and say all that belongs to an end."""
        instance = instance_of(run)
        if instance is not None and (not is_copy(key, instance) or await self._was_started_for(key, instance)):
            await self._runner.cancel(instance, f"somebody set status.phase of its WorkflowRun to {run.status.phase}")
        await self._cluster.writer.write(run, ended_by_hand(run, self._now()), whole=False)

    async def _suspend(self, run: ObservedRun, instance: InstanceStatus) -> Problem | None:
        """Suspend or resume, as the object asks; its generation tells which of its words is the last."""
        asked, generation = bool(run.spec.suspend), run.metadata.generation
        differs = asked != (instance.suspended_at is not None)
        if instance.terminal or not differs or generation <= instance.suspend_generation:
            return None
        try:
            await self._runner.suspend(instance.key, generation, suspend=asked)
        except TooManySignals as error:
            return Problem("SuspendRefused", str(error))
        return None

    async def _queue_again(self, key: RunKey, instance: InstanceStatus) -> None:
        """Queue what has started and nobody has begun: it may never have been queued."""
        begun = instance.terminal or instance.executor is not None or instance.suspended_at is not None
        if begun or key in self._queued_again:
            return
        age = self._now() - instance.created_at
        if age < _QUEUED_AGAIN_AFTER:
            self._queue.add_after(key, (_QUEUED_AGAIN_AFTER - age).total_seconds())
        else:
            await self._runner.requeue(instance.key)
            self._queued_again.add(key)

    async def _instance_or_problem(self, key: RunKey, run: ObservedRun) -> InstanceStatus | Problem | None:
        """The status of the run's instance; None while it is on its way."""
        instance = instance_of(run)
        if instance is None:
            self._quota.forget(key)
            return NO_INSTANCE
        status = await self._status_of(key, instance)
        if status is None:
            return await self._begin(key, run, instance)
        if is_copy(key, instance) and not _names(status.origin, key):
            return foreign_instance(instance)
        return status

    async def _status_of(self, key: RunKey, instance: InstanceKey) -> InstanceStatus | None:
        latest = self._latest.get(key)
        if latest is not None and latest.key == instance:
            return latest
        if self._objects.is_new(key):
            # Nobody has begun it; who has nevertheless is met when it is started.
            return None
        return (await self._bus.query_statuses([instance])).get(instance)

    async def _lags(self, key: RunKey, instance: InstanceStatus, run: ObservedRun) -> bool:
        """Whether the object has shown later events than this status tells of, and a newer status is on its way.

        Otherwise NATS came back from a backup that is older than the object.
        """
        shown = run.status.history_sequence or 0
        if instance.history_sequence >= shown:
            return False
        self._check_later(key, run)
        return bool(await self._bus.query_history(instance.key, after=shown - 1, slim=True))

    async def _begin(self, key: RunKey, run: ObservedRun, instance: InstanceKey) -> Problem | None:
        """There is no status of the instance: start it, and look again soon."""
        self._check_later(key, run)
        if run.status.instance_id is None:
            return await self._starter.start(key, run, instance)
        # It will not be started, whatever it waited for before somebody wrote its status.
        self._quota.forget(key)
        if await self._bus.query_history(instance, slim=True):
            return None
        return HISTORY_LOST

    def _check_later(self, key: RunKey, run: ObservedRun) -> None:
        waited = self._now() - run.metadata.creation_timestamp
        self._queue.add_after(key, check_after(waited).total_seconds())

    async def _was_started_for(self, key: RunKey, instance: InstanceKey) -> bool:
        events = await self._bus.query_history(instance, slim=True)
        return bool(events) and _names(events[0].origin, key)

    def _forget(self, key: RunKey) -> None:
        self._latest.pop(key, None)
        self._seen.pop(key, None)
        self._queued_again.discard(key)
        self._quota.forget(key)


def _names(origin: Origin | None, key: RunKey) -> bool:
    """Whether an instance was started for an object of this name: in the same namespace it is of, in any cluster."""
    return origin is not None and origin.name == key.name

"""The reconciler: takes a key, looks at the object and its instance, and does what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from workflow_operator.history import DataBus, InstanceKey, InstanceStatus, Origin
from workflow_operator.history.errors import Conflict, InvalidInput, NotFound, Retryable, ScriptError, Unavailable
from workflow_operator.reconcile.desired import HISTORY_LOST, Problem, desired_status, slim
from workflow_operator.reconcile.ports import Cluster, JsonObject, Runner, Shares
from workflow_operator.reconcile.queue import KeyQueue
from workflow_operator.reconcile.script import find_script
from workflow_operator.reconcile.store import ObjectStore, key_of
from workflow_operator.reconcile.timing import Seen, seen_now, write_at
from workflow_operator.resources.run import WorkflowRun, to_wire

logger = logging.getLogger(__name__)

_START_CHECK_SECONDS = 5.0
_PROBLEM_SECONDS = 5.0


class Reconciler:
    """Starts the instance of a run, mirrors its status into the object, and cancels it when the object goes.

    Every replica keeps all runs in view and works on its share of them.

    Args:
        cluster_id: tells this cluster's instances from another's in the same NATS.
        now: the clock.
    """

    def __init__(
        self,
        cluster: Cluster,
        runner: Runner,
        bus: DataBus,
        shares: Shares,
        cluster_id: str,
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._runner = runner
        self._bus = bus
        self._shares = shares
        self._cluster_id = cluster_id
        self._now = now
        self._queue: KeyQueue[InstanceKey] = KeyQueue(asyncio.get_running_loop())
        self._store = ObjectStore()
        self._latest: dict[InstanceKey, InstanceStatus] = {}
        self._seen: dict[InstanceKey, Seen] = {}

    def object_changed(self, run: JsonObject) -> None:
        """The watch saw an object as it is now."""
        key = key_of(run)
        if self._store.put(run):
            self._queue.add(key)
        elif key not in self._store:
            self._forget(key)

    def object_deleted(self, run: JsonObject) -> None:
        """The watch saw an object go."""
        key = key_of(run)
        if self._store.delete(key):
            self._queue.add(key)

    def status_changed(self, instance: InstanceStatus) -> None:
        """The projector wrote a status."""
        key = instance.key
        known = self._latest.get(key)
        if key in self._store and (known is None or known.history_sequence < instance.history_sequence):
            self._latest[key] = slim(instance)
            self._queue.add(key)

    def transport_changed(self) -> None:
        """NATS was away, and may have come back with less than it had: believe nothing that was read before."""
        self._latest.clear()
        self.shares_changed()

    def shares_changed(self) -> None:
        """This replica may have gained runs: look at all of them."""
        for key in self._store:
            self._queue.add(key)

    async def run(self, workers: int) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self.reconcile(key)
                self._queue.forget_failures(key)
            except Retryable as error:
                logger.warning("run %s: %s; tried again", key, error)
                self._queue.retry(key, (isinstance(error, Unavailable) and error.retry_after) or 0.0)
            except Exception:
                logger.exception("run %s: reconciling failed; tried again", key)
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def reconcile(self, key: InstanceKey) -> None:
        """Do what is missing for one run.

        Raises:
            Unavailable: NATS or the API server does not answer.
        """
        if not self._shares.owns(str(key)):
            return
        run = self._store.get(key)
        if run is not None:
            await self._mirror(key, run)
        elif self._store.is_deleted(key):
            await self._runner.cancel(key, "the WorkflowRun was deleted")
            self._store.forget(key)
            self._forget(key)

    async def _mirror(self, key: InstanceKey, run: WorkflowRun) -> None:
        instance = await self._instance(key)
        problem = None if instance is not None else await self._begin(key, run)
        now = self._now()
        desired = desired_status(run, instance, problem, now)
        seen = self._seen[key] = seen_now(self._seen.get(key), desired.phase, now)
        due = write_at(run.status, desired, seen)
        if due is None:
            return
        if due > now:
            self._queue.add_after(key, (due - now).total_seconds())
            return
        self._seen[key] = replace(seen, written=now)
        await self._write(key, run, to_wire(desired))

    async def _instance(self, key: InstanceKey) -> InstanceStatus | None:
        return self._latest.get(key) or (await self._bus.query_statuses([key])).get(key)

    async def _begin(self, key: InstanceKey, run: WorkflowRun) -> Problem | None:
        """There is no status of the instance: start it, and look again soon."""
        self._queue.add_after(key, _START_CHECK_SECONDS)
        fault = self._store.unreadable(key)
        if fault is not None:
            return Problem("InvalidSpec", fault, stalled=True)
        if run.status.instance_id is None:
            return await self._start(key, run)
        if await self._bus.query_history(key):
            return None
        return HISTORY_LOST

    async def _start(self, key: InstanceKey, run: WorkflowRun) -> Problem | None:
        """Start the instance, again if need be: that is idempotent, and its status may be on its way."""
        script = await find_script(self._cluster, run)
        if isinstance(script, Problem):
            return script
        metadata = run.metadata
        try:
            await self._runner.execute(
                metadata.namespace,
                script,
                run.spec.entrypoint,
                run.spec.input,
                metadata.labels,
                instance_id=key.instance_id,
                origin=Origin(cluster=self._cluster_id, name=metadata.name, generation=metadata.generation),
            )
        except (InvalidInput, ScriptError) as error:
            return Problem("InvalidInput", str(error), stalled=True)
        return None

    async def _write(self, key: InstanceKey, run: WorkflowRun, status: JsonObject) -> None:
        metadata = run.metadata
        name = (metadata.namespace, metadata.name)
        try:
            written = await self._cluster.patch_status(*name, metadata.uid, metadata.resource_version, status)
        except (Conflict, NotFound, InvalidInput):
            # InvalidInput too: the API server checks the rules for changes before it sees that the object is outdated.
            if not await self._look_again(key, run):
                raise
            return
        self.object_changed(written)

    async def _look_again(self, key: InstanceKey, run: WorkflowRun) -> bool:
        """Take in the object as it is now; False if that is the one known already."""
        found = await self._cluster.get(run.metadata.namespace, run.metadata.name)
        if found is not None and key_of(found) == key:
            if found["metadata"]["resourceVersion"] == run.metadata.resource_version:
                return False
            self.object_changed(found)
        elif self._store.delete(key):
            self._queue.add(key)
        return True

    def _forget(self, key: InstanceKey) -> None:
        self._latest.pop(key, None)
        self._seen.pop(key, None)

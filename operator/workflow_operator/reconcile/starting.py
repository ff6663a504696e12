"""Starts the instance of a run: reads what it is started with, and drops it after that."""

from __future__ import annotations

from dataclasses import dataclass

from workflow_operator.history import DataBus, InstanceKey, Json, Origin
from workflow_operator.history.errors import InvalidInput, PayloadTooLarge, ScriptError
from workflow_operator.reconcile.objects.ports import Cluster, Runner
from workflow_operator.reconcile.objects.store import ObjectStore, RunKey
from workflow_operator.reconcile.quota import NamespaceQuota
from workflow_operator.reconcile.script import find_script
from workflow_operator.reconcile.showing.desired import Problem
from workflow_operator.resources.run import ObservedRun
from workflow_operator.resources.start import Start, read_start


@dataclass(frozen=True, slots=True)
class EngineSide:
    """What the reconciler has to do with NATS. ``payload_bytes``: what an input may have at most."""

    runner: Runner
    bus: DataBus
    quota: NamespaceQuota
    payload_bytes: int


class Starter:
    """Starts instances, each as often as it is asked to: that is idempotent.

    Args:
        objects: what is known of a run that has just appeared.
    """

    def __init__(self, api: Cluster, engine: EngineSide, cluster_id: str, objects: ObjectStore) -> None:
        self._api = api
        self._engine = engine
        self._cluster_id = cluster_id
        self._objects = objects

    async def start(self, key: RunKey, run: ObservedRun, instance: InstanceKey) -> Problem | None:
        """Start the instance of a run that has no status yet; or why not.

        Raises:
            Unavailable: NATS or the API server does not answer.
        """
        if (full := self._engine.quota.admit(key, run.metadata.creation_timestamp)) is not None:
            return full
        problem = await self._start(key, run, instance)
        if problem is not None:
            self._engine.quota.forget(key)
            if problem.failed and await self._engine.bus.query_history(instance, slim=True):
                # It was started under other limits; its status is on its way.
                return None
        return problem

    async def _start(self, key: RunKey, run: ObservedRun, instance: InstanceKey) -> Problem | None:
        data = self._objects.take_text(key) or await self._api.read(key.namespace, key.name)
        if data is None:
            return None
        try:
            start = read_start(data)
        except ValueError as error:
            return refused(InvalidInput(f"spec cannot be read: {error}"))
        if start.uid != key.uid:
            # Another object by now, of which the watch will tell.
            return None
        argument = self._argument(start)
        if isinstance(argument, Problem):
            return argument
        script = await find_script(self._api, key.namespace, start)
        if isinstance(script, Problem):
            return script
        try:
            await self._engine.runner.execute(
                key.namespace,
                script,
                start.entrypoint,
                argument,
                start.labels,
                instance_id=instance.instance_id,
                origin=Origin(cluster=self._cluster_id, name=key.name, generation=run.metadata.generation),
                first=self._objects.begins_first(key),
                suspended=start.suspend,
            )
        except (InvalidInput, ScriptError) as error:
            return refused(error)
        return None

    def _argument(self, start: Start) -> Json | Problem | None:
        if start.input is None:
            return None
        try:
            return Json.checked(start.input, "spec.input", self._engine.payload_bytes)
        except PayloadTooLarge as error:
            return refused(PayloadTooLarge(f"{error} (WORKFLOW_OPERATOR_PAYLOAD_BYTES)"))
        except (InvalidInput, ScriptError) as error:
            return refused(error)


def refused(error: InvalidInput | ScriptError) -> Problem:
    """No history can hold what the run is started with. Nothing of a spec can be changed, so the run has failed."""
    return Problem(
        type(error).__name__, f"{error}. What a run is created with cannot be changed: create a new one", failed=True
    )

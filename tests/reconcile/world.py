"""A reconciler on a cluster, a bus and an engine in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tests.fakes.cluster import MemoryCluster
from tests.fakes.memory import MemoryDataBus
from tests.fakes.records import status as instance_status
from workflow_operator.history import ExecutorRef, InstanceKey, InstanceStatus, Json, Origin
from workflow_operator.reconcile import (
    ClusterSide,
    EngineSide,
    NamespaceQuota,
    ObjectStore,
    Outage,
    QuotaLimits,
    Reconciler,
    Reporter,
    RunKey,
    StatusWriter,
)

UID = UUID("11111111-2222-4333-8444-555555555555")
OTHER = UUID("99999999-2222-4333-8444-555555555555")
INSTANCE = InstanceKey("default", UID)
RUN = RunKey("default", "run", str(UID))
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FINISHED: dict[str, Any] = {
    "type": "Finished",
    "status": "True",
    "lastTransitionTime": "2026-01-01T12:00:00Z",
    "reason": "Succeeded",
    "message": "",
}
PAYLOAD_BYTES = 256 * 1024
EXECUTOR = ExecutorRef(id="replica", epoch=0)


class RecordingRunner:
    """Implements Runner."""

    def __init__(self) -> None:
        self.executed: list[dict[str, Any]] = []
        self.cancelled: list[InstanceKey] = []
        self.reasons: list[str] = []
        self.requeued: list[InstanceKey] = []
        self.refuses_to_suspend: Exception | None = None
        self.suspended: list[tuple[int, bool]] = []
        self.refusal: Exception | None = None

    async def execute(
        self,
        namespace: str,
        script: str,
        fn: str | None = None,
        args: Any = None,
        labels: Mapping[str, str] | None = None,
        *,
        instance_id: UUID | None = None,
        origin: Origin | None = None,
        first: bool = False,
        suspended: bool = False,
    ) -> UUID:
        if self.refusal is not None:
            raise self.refusal
        assert instance_id is not None
        self.executed.append(
            {
                "namespace": namespace,
                "script": script,
                "fn": fn,
                "args": args.load() if isinstance(args, Json) else args,
                "origin": origin,
                "first": first,
                "suspended": suspended,
            }
        )
        return instance_id

    async def cancel(self, key: InstanceKey, reason: str) -> bool:
        self.cancelled.append(key)
        self.reasons.append(reason)
        return True

    async def suspend(self, key: InstanceKey, generation: int, *, suspend: bool) -> bool:
        if self.refuses_to_suspend is not None:
            raise self.refuses_to_suspend
        self.suspended.append((generation, suspend))
        return True

    async def requeue(self, key: InstanceKey) -> bool:
        self.requeued.append(key)
        return True


class Share:
    def __init__(self) -> None:
        self.mine = True

    def owns(self, key: str) -> bool:
        return self.mine


class World:
    """A run named ``run``, and one replica."""

    def __init__(self, cluster: MemoryCluster | None = None) -> None:
        self.cluster = cluster or MemoryCluster()
        self.runner = RecordingRunner()
        self.bus = MemoryDataBus()
        self.share = Share()
        self.now = NOW
        self.objects = ObjectStore()
        self.outage = Outage()
        self.reporter = Reporter(self.cluster, "replica-1", lambda: self.now, problems_only=False)
        self.writer = StatusWriter(self.cluster, self.objects, self.reporter)
        side = ClusterSide(self.cluster, self.objects, self.writer, "this-cluster")
        self.quota = NamespaceQuota(QuotaLimits(active_runs=10), "this-cluster", self.objects.started_in)
        engine = EngineSide(self.runner, self.bus, self.quota, PAYLOAD_BYTES)
        self.reconciler = Reconciler(side, engine, self.share, self.outage, lambda: self.now)

    @property
    def phases(self) -> list[str]:
        return [written["phase"] for written in self.cluster.writes]

    @property
    def version(self) -> str:
        return str(self.cluster.objects["default", "run"]["metadata"]["resourceVersion"])

    async def reconcile(self) -> None:
        await self.reconciler.reconcile(RUN)

    async def see(self, **spec: Any) -> None:
        self.objects.object_changed(self.cluster.create("run", UID, **spec))
        await self.reconcile()

    async def appears(self, **spec: Any) -> None:
        """As see(), of an object that is created while the replica watches."""
        run = self.cluster.create("run", UID, **spec)
        self.objects.appeared(run, memoryview(json.dumps(run).encode()))
        self.objects.object_changed(run, appeared=True)
        await self.reconcile()

    async def project(self, history_sequence: int, **fields: Any) -> None:
        self.reconciler.status_changed(instance(history_sequence, **fields))
        await self.reconcile()


def instance(history_sequence: int, **fields: Any) -> InstanceStatus:
    return instance_status(INSTANCE, history_sequence, created_at=NOW, **fields)

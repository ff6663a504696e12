"""What reconciling needs of the engine, the cluster and the membership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from pydantic import JsonValue

from workflow_operator.history import InstanceKey, Json, Origin

JsonObject = dict[str, Any]


class Runner(Protocol):
    """The engine; see :class:`workflow_operator.engine.WorkflowRunner`."""

    async def execute(
        self,
        namespace: str,
        script: str,
        fn: str | None = None,
        args: Json | JsonValue = None,
        labels: Mapping[str, str] | None = None,
        *,
        instance_id: UUID | None = None,
        origin: Origin | None = None,
        first: bool = False,
        suspended: bool = False,
    ) -> UUID: ...

    async def suspend(self, key: InstanceKey, generation: int, *, suspend: bool) -> bool: ...

    async def cancel(self, key: InstanceKey, reason: str) -> bool: ...

    async def requeue(self, key: InstanceKey) -> bool: ...


class Cluster(Protocol):
    """The Kubernetes API; see :class:`workflow_operator.cluster.WorkflowRunClient`."""

    async def look(self, namespace: str, name: str) -> JsonObject | None: ...

    async def read(self, namespace: str, name: str) -> bytes | None: ...

    async def run_uids(self) -> frozenset[str]: ...

    async def config_map(self, namespace: str, name: str) -> JsonObject | None: ...

    async def put_status(
        self, namespace: str, name: str, uid: str, resource_version: str, status: JsonObject
    ) -> str: ...

    async def patch_status(
        self, namespace: str, name: str, uid: str, resource_version: str, fields: JsonObject
    ) -> JsonObject: ...

    async def create_event(self, event: JsonObject) -> None: ...


class Shares(Protocol):
    """Which runs are this replica's. Two replicas that both believe to own one waste work, and break nothing."""

    def owns(self, key: str) -> bool: ...

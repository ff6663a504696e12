"""The Kubernetes API in memory, as far as reconciling asks for it: objects with a uid and a resource version."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any
from uuid import UUID

import msgspec

from workflow_operator.history.errors import Conflict, NotFound
from workflow_operator.resources.sighting import sighting

SCRIPT = "function main() {}"


class MemoryCluster:
    """Implements reconcile's Cluster. ``writes`` holds every status that was written, ``events`` every Event."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.config_maps: dict[tuple[str, str], dict[str, Any]] = {}
        self.writes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.looks = self.reads = 0
        self._versions = itertools.count(1)

    def create(self, name: str, uid: UUID, namespace: str = "default", **spec: Any) -> dict[str, Any]:
        run = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": str(uid),
                "generation": 1,
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": spec or {"script": SCRIPT},
            "status": {"observedGeneration": -1, "phase": "Pending"},
        }
        self.objects[namespace, name] = run
        return deepcopy(run)

    def touch(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Somebody else writes the object."""
        run = self.objects[namespace, name]
        run["metadata"]["resourceVersion"] = str(next(self._versions))
        return deepcopy(run)

    async def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return deepcopy(self.objects.get((namespace, name)))

    async def look(self, namespace: str, name: str) -> dict[str, Any] | None:
        self.looks += 1
        found = self.objects.get((namespace, name))
        return None if found is None else sighting(msgspec.json.encode(found))

    async def read(self, namespace: str, name: str) -> bytes | None:
        self.reads += 1
        found = self.objects.get((namespace, name))
        return None if found is None else found.get("raw") or msgspec.json.encode(found)

    async def run_uids(self) -> frozenset[str]:
        return frozenset(run["metadata"]["uid"] for run in self.objects.values())

    async def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self.config_maps.get((namespace, name))

    async def put_status(
        self, namespace: str, name: str, uid: str, resource_version: str, status: dict[str, Any]
    ) -> str:
        self._guarded(namespace, name, uid, resource_version)["status"] = status
        self.writes.append(status)
        return str(self.touch(name, namespace)["metadata"]["resourceVersion"])

    async def patch_status(
        self, namespace: str, name: str, uid: str, resource_version: str, fields: dict[str, Any]
    ) -> dict[str, Any]:
        run = self._guarded(namespace, name, uid, resource_version)
        run["status"] = run["status"] | fields
        self.writes.append(run["status"])
        return sighting(msgspec.json.encode(self.touch(name, namespace)))

    def _guarded(self, namespace: str, name: str, uid: str, resource_version: str) -> dict[str, Any]:
        run = self.objects.get((namespace, name))
        if run is None:
            raise NotFound(f"{namespace}/{name}")
        if (run["metadata"]["uid"], run["metadata"]["resourceVersion"]) != (uid, resource_version):
            raise Conflict(f"{namespace}/{name}")
        return run

    async def create_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

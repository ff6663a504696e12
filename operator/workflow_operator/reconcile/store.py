"""The runs of the cluster as this replica last saw them, by instance."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from workflow_operator.history import InstanceKey
from workflow_operator.reconcile.ports import JsonObject
from workflow_operator.resources.run import FINAL_PHASES, WorkflowRun


def key_of(run: JsonObject) -> InstanceKey:
    """The instance of an object: its uid. A recreated object is another instance."""
    metadata = run["metadata"]
    return InstanceKey(metadata["namespace"], UUID(metadata["uid"]))


class ObjectStore:
    """Keeps every run that is not over; of those that are, only that they are."""

    def __init__(self) -> None:
        self._active: dict[InstanceKey, WorkflowRun] = {}
        self._deleted: set[InstanceKey] = set()
        self._over: set[InstanceKey] = set()

    def put(self, run: JsonObject) -> bool:
        """Take in an object; False if nothing is to be done about it. An older version than the one kept is ignored."""
        key = key_of(run)
        parsed = WorkflowRun.model_validate(run)
        if parsed.status.phase in FINAL_PHASES:
            self._active.pop(key, None)
            self._over.add(key)
            return False
        known = self._active.get(key)
        if key in self._over or key in self._deleted or (known is not None and _is_older(parsed, known)):
            return False
        self._active[key] = parsed
        return True

    def delete(self, key: InstanceKey) -> bool:
        """The object is gone; False if its instance needs nothing for that."""
        self._active.pop(key, None)
        if key in self._over:
            self._over.discard(key)
            return False
        self._deleted.add(key)
        return True

    def forget(self, key: InstanceKey) -> None:
        """The deletion was acted on."""
        self._deleted.discard(key)

    def get(self, key: InstanceKey) -> WorkflowRun | None:
        return self._active.get(key)

    def is_deleted(self, key: InstanceKey) -> bool:
        return key in self._deleted

    def __contains__(self, key: InstanceKey) -> bool:
        return key in self._active or key in self._deleted

    def __iter__(self) -> Iterator[InstanceKey]:
        """The keys about which something may have to be done."""
        return iter([*self._active, *self._deleted])


def _is_older(run: WorkflowRun, than: WorkflowRun) -> bool:
    # Kubernetes documents resource versions of one resource type as comparable integers since v1.35.
    return int(run.metadata.resource_version) < int(than.metadata.resource_version)

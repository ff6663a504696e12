"""The runs of the cluster as this replica last saw them, by instance."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from pydantic import ValidationError

from workflow_operator.history import InstanceKey
from workflow_operator.history.events import MAX_NESTING
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
        self._unreadable: dict[InstanceKey, str] = {}
        self._deleted: set[InstanceKey] = set()
        self._over: set[InstanceKey] = set()

    def put(self, run: JsonObject) -> bool:
        """Take in an object; False if nothing is to be done about it. An older version than the one kept is ignored."""
        key = key_of(run)
        parsed, fault = read(run)
        if parsed.status.phase in FINAL_PHASES:
            self._drop(key)
            self._over.add(key)
            return False
        known = self._active.get(key)
        if key in self._over or key in self._deleted or (known is not None and _is_older(parsed, known)):
            return False
        self._active[key] = parsed
        if fault is not None:
            self._unreadable[key] = fault
        return True

    def unreadable(self, key: InstanceKey) -> str | None:
        """What is wrong with the object's spec, None if nothing."""
        return self._unreadable.get(key)

    def delete(self, key: InstanceKey) -> bool:
        """The object is gone; False if its instance needs nothing for that."""
        self._drop(key)
        if key in self._over:
            self._over.discard(key)
            return False
        self._deleted.add(key)
        return True

    def forget(self, key: InstanceKey) -> None:
        """The deletion was acted on."""
        self._deleted.discard(key)

    def _drop(self, key: InstanceKey) -> None:
        self._active.pop(key, None)
        self._unreadable.pop(key, None)

    def get(self, key: InstanceKey) -> WorkflowRun | None:
        return self._active.get(key)

    def is_deleted(self, key: InstanceKey) -> bool:
        return key in self._deleted

    def __contains__(self, key: InstanceKey) -> bool:
        return key in self._active or key in self._deleted

    def __iter__(self) -> Iterator[InstanceKey]:
        """The keys about which something may have to be done."""
        return iter([*self._active, *self._deleted])


def read(run: JsonObject) -> tuple[WorkflowRun, str | None]:
    """The object, and what is wrong with its spec: then it has none.

    Raises:
        ValueError: not even metadata and status can be read.
    """
    if deeper_than(run.get("spec"), MAX_NESTING):
        fault = f"spec is nested deeper than {MAX_NESTING} levels of arrays and objects; create a new, flatter run"
    else:
        try:
            return WorkflowRun.model_validate(run), None
        except ValidationError as error:
            fault = f"spec cannot be read: {error.errors(include_url=False)[0]['msg']}; create a new run"
    return WorkflowRun.model_validate(run | {"spec": {}}), fault


def deeper_than(value: object, levels: int) -> bool:
    """Whether arrays and objects are nested deeper than that. Without recursion, which has a limit itself."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            item
            for each in layer
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return any(isinstance(each, dict | list) for each in layer)


def _is_older(run: WorkflowRun, than: WorkflowRun) -> bool:
    # Kubernetes documents resource versions of one resource type as comparable integers since v1.35.
    return int(run.metadata.resource_version) < int(than.metadata.resource_version)

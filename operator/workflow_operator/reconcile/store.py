"""The runs of the cluster as this replica last saw them, and which instance each of them stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError

from workflow_operator.history import InstanceKey
from workflow_operator.reconcile.ports import JsonObject
from workflow_operator.resources.run import (
    FINAL_PHASES,
    UNSEEN,
    ConditionStatus,
    ConditionType,
    ObservedRun,
    Phase,
    RunStatus,
)

_MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """Names an object, and no other that had or will have its name."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(run: ObservedRun) -> RunKey:
    metadata = run.metadata
    return RunKey(metadata.namespace, metadata.name, metadata.uid)


def instance_of(run: ObservedRun) -> InstanceKey | None:
    """The instance that an object stands for: the one named by its uid.

    A copy that was restored from a backup has a new uid, and its status names the instance of the original. None if
    what it names cannot be an instance.
    """
    try:
        return InstanceKey(run.metadata.namespace, UUID(run.status.instance_id or run.metadata.uid))
    except ValueError:
        return None


def is_copy(key: RunKey, instance: InstanceKey) -> bool:
    """Whether the object stands for an instance that was started for another one."""
    return instance.instance_id != UUID(key.uid)


class ObjectStore:
    """Keeps who every run is that is not over, and its status without values; of the others, only how they ended.

    It is told what the watch sees, and tells its listeners the key of what has changed.
    """

    def __init__(self) -> None:
        self._active: dict[RunKey, ObservedRun] = {}
        self._unreadable: dict[RunKey, str] = {}
        self._deleted: dict[RunKey, InstanceKey] = {}
        self._over: dict[RunKey, Phase] = {}
        # By the instance that they stand for, which their uid does not tell.
        self._copies_over: dict[InstanceKey, RunKey] = {}
        self._runs: dict[InstanceKey, tuple[RunKey, ...]] = {}
        self._started: Counter[str] = Counter()
        self._listeners: list[Callable[[RunKey], None]] = []

    def on_change(self, listener: Callable[[RunKey], None]) -> None:
        """Call ``listener`` with the key of each run that has changed, ended or gone."""
        self._listeners.append(listener)

    def object_changed(self, run: JsonObject) -> None:
        """Take in an object as it is now. An older version than the one kept is ignored.

        Raises:
            ValueError: its metadata cannot be read.
        """
        parsed, fault = read(run)
        key = key_of(parsed)
        known = self._active.get(key)
        if key in self._over or key in self._deleted or (known is not None and _is_older(parsed, known)):
            return
        self._drop(key)
        if is_over(parsed.status):
            self._over[key] = parsed.status.phase
            instance = instance_of(parsed)
            if instance is not None and is_copy(key, instance):
                self._copies_over[instance] = key
        else:
            self._keep(key, parsed, fault)
        self._tell(key)

    def object_deleted(self, run: JsonObject) -> None:
        """The object is gone.

        Raises:
            ValueError: its metadata cannot be read.
        """
        self.gone(read(run)[0])

    def gone(self, run: ObservedRun) -> None:
        """The object, as it was last, is gone."""
        key, instance = key_of(run), instance_of(run)
        self._drop(key)
        if key in self._over or is_over(run.status):
            self._over.pop(key, None)
            if instance is not None and self._copies_over.get(instance) == key:
                del self._copies_over[instance]
        elif instance is not None:
            self._deleted[key] = instance
        self._tell(key)

    def forget(self, key: RunKey) -> None:
        """The deletion was acted on."""
        self._deleted.pop(key, None)

    def get(self, key: RunKey) -> ObservedRun | None:
        return self._active.get(key)

    def unreadable(self, key: RunKey) -> str | None:
        """What is wrong with the object's status, None if nothing."""
        return self._unreadable.get(key)

    def left_behind(self, key: RunKey) -> InstanceKey | None:
        """The instance of an object that is gone, until that is forgotten."""
        return self._deleted.get(key)

    def standing_for(self, instance: InstanceKey) -> tuple[RunKey, ...]:
        """The runs that stand for the instance: one, unless somebody has copied a status."""
        return self._runs.get(instance, ())

    def shows_end_of(self, instance: InstanceKey, name: str) -> bool:
        """Whether an object of that name says that the instance is over."""
        copy = self._copies_over.get(instance)
        own = RunKey(instance.namespace, name, str(instance.instance_id))
        return own in self._over or (copy is not None and copy.name == name)

    def started_in(self, namespace: str) -> int:
        """How many runs of a namespace show an instance, and are not over."""
        return self._started[namespace]

    def is_over(self, key: RunKey) -> bool:
        """Whether the object is there, and says that its run is over."""
        return key in self._over

    def phases(self) -> list[tuple[RunKey, Phase]]:
        """Every run that has an object, and how far it is."""
        return [*((key, run.status.phase) for key, run in self._active.items()), *self._over.items()]

    def __contains__(self, key: RunKey) -> bool:
        return key in self._active or key in self._deleted

    def __iter__(self) -> Iterator[RunKey]:
        """The keys about which something may have to be done."""
        return iter([*self._active, *self._deleted])

    def _keep(self, key: RunKey, run: ObservedRun, fault: str | None) -> None:
        self._active[key] = run
        if fault is not None:
            self._unreadable[key] = fault
        self._started[key.namespace] += run.status.instance_id is not None
        if (instance := instance_of(run)) is not None:
            self._runs[instance] = (*self._runs.get(instance, ()), key)

    def _drop(self, key: RunKey) -> None:
        run = self._active.pop(key, None)
        self._unreadable.pop(key, None)
        if run is not None and run.status.instance_id is not None:
            self._started[key.namespace] -= 1
        instance = None if run is None else instance_of(run)
        if instance is not None:
            others = tuple(other for other in self._runs[instance] if other != key)
            if others:
                self._runs[instance] = others
            else:
                del self._runs[instance]

    def _tell(self, key: RunKey) -> None:
        for listener in self._listeners:
            listener(key)


def is_over(status: RunStatus) -> bool:
    """Whether the object says that the run is over, and says all that belongs to an end.

    Who sets the phase alone, by hand, leaves the conditions to us.
    """
    return status.phase in FINAL_PHASES and any(
        condition.type == ConditionType.FINISHED and condition.status is ConditionStatus.TRUE
        for condition in status.conditions
    )


def read(run: JsonObject) -> tuple[ObservedRun, str | None]:
    """The object without spec and values, and what is wrong with its status: then it has none.

    Raises:
        ValueError: its metadata cannot be read.
    """
    try:
        parsed = ObservedRun.model_validate(run)
        if (parsed.status.history_sequence or 0) > _MAX_INT64:
            raise ValueError("historySequence is no sequence")
    except ValueError as error:
        words = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        parsed = ObservedRun.model_validate(run | {"status": UNSEEN})
        return parsed, f"status cannot be read: {words}"
    return parsed.model_copy(update={"status": without_values(parsed.status)}), None


def without_values(status: RunStatus) -> RunStatus:
    """The status without memory and output, which its ``history_sequence`` stands for."""
    return status.model_copy(update={"memory": None, "output": None})


def _is_older(run: ObservedRun, than: ObservedRun) -> bool:
    # Kubernetes documents resource versions of one resource type as comparable integers since v1.35.
    version, known = run.metadata.resource_version, than.metadata.resource_version
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)

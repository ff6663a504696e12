"""The runs of the cluster as this replica last saw them, and which instance each of them stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from pydantic import ValidationError

from workflow_operator.history import InstanceKey
from workflow_operator.reconcile.objects.ports import JsonObject
from workflow_operator.reconcile.objects.texts import Texts
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
    return _instance(run.metadata.namespace, run.status.instance_id or run.metadata.uid)


def is_copy(key: RunKey, instance: InstanceKey) -> bool:
    """Whether the object stands for an instance that was started for another one."""
    return instance != _instance(key.namespace, key.uid)


@lru_cache(maxsize=1024)
def _instance(namespace: str, text: str) -> InstanceKey | None:
    # Asked for several times within the moment in which something happens to a run.
    try:
        return InstanceKey(namespace, UUID(text))
    except ValueError:
        return None


class ObjectStore:
    """Keeps who every run is that is not over, and its status without values; of the others, only how they ended.

    It is told what the watch sees, and tells its listeners the key of what has changed.
    """

    def __init__(self) -> None:
        self._active: dict[RunKey, ObservedRun] = {}
        self._unreadable: dict[RunKey, str] = {}
        self._deleted: dict[RunKey, InstanceKey] = {}
        self._over: dict[RunKey, Phase] = {}
        self._appeared: set[RunKey] = set()
        self._texts = Texts()
        self._writing: dict[RunKey, tuple[object, object]] = {}
        # By the instance that they stand for, which their uid does not tell.
        self._copies_over: dict[InstanceKey, RunKey] = {}
        self._runs: dict[InstanceKey, tuple[RunKey, ...]] = {}
        self._started: Counter[str] = Counter()
        self._listeners: list[Callable[[RunKey], None]] = []

    def on_change(self, listener: Callable[[RunKey], None]) -> None:
        """Call ``listener`` with the key of each run that has changed, ended or gone."""
        self._listeners.append(listener)

    def appeared(self, run: JsonObject, text: memoryview) -> None:
        """An object was created while this process watched; object_changed follows. May be called in any thread."""
        uid = run["metadata"].get("uid")
        if uid is not None:
            self._texts.put(uid, text)

    def knows(self, run: JsonObject) -> bool:
        """Whether a change of an object need not be taken in. May be called in any thread: the watch asks first.

        That is so after the end of a run, and of what this replica has written itself, or writes just now: the watch
        is often sooner than the answer to the write.
        """
        metadata, status = run["metadata"], run.get("status")
        try:
            key = RunKey(metadata["namespace"], metadata["name"], metadata["uid"])
            version = metadata["resourceVersion"]
        except KeyError:
            return False
        if key in self._over:
            return True
        shown = (status.get("historySequence"), status.get("phase")) if isinstance(status, dict) else None
        if shown is not None and self._writing.get(key) == shown:
            # Once: what comes behind it is somebody else's.
            return self._writing.pop(key, None) is not None
        known = self._active.get(key)
        return known is not None and known.metadata.resource_version == version

    @contextmanager
    def writing(self, run: ObservedRun, status: RunStatus) -> Iterator[None]:
        """While the status of the object as it was last is replaced.

        If the watch tells of another change than this, nothing is lost by not taking it in: then this does not land,
        and the object is read again.
        """
        key = key_of(run)
        if status.history_sequence != run.status.history_sequence:
            self._writing[key] = (status.history_sequence, status.phase)
        try:
            yield
        finally:
            self._writing.pop(key, None)

    def object_changed(self, run: JsonObject, *, appeared: bool = False) -> None:
        """Take in an object as it is now. An older version than the one kept is ignored.

        Args:
            appeared: it was created while this process watched.

        Raises:
            ValueError: its metadata cannot be read.
        """
        parsed, fault = read(run)
        self._take_in(parsed, fault, appeared=appeared)

    def written(self, run: ObservedRun, status: RunStatus, version: str) -> None:
        """The status of the object as it was last was replaced, which made it this resource version."""
        metadata = run.metadata.model_copy(update={"resource_version": version})
        kept = status if is_over(status) else without_values(status)
        self._take_in(run.model_copy(update={"metadata": metadata, "status": kept}), None)

    def _take_in(self, parsed: ObservedRun, fault: str | None, *, appeared: bool = False) -> None:
        key = key_of(parsed)
        known = self._active.get(key)
        if self._is_past(key, parsed.metadata.resource_version):
            return
        self._drop(key)
        if appeared and known is None:
            self._appeared.add(key)
        elif known is not None:
            # Its labels may have changed.
            self._texts.take(key.uid)
        if is_over(parsed.status):
            self._end(key, parsed.status.phase, instance_of(parsed))
        else:
            self._keep(key, parsed, fault)
        self._tell(key)

    def object_over(self, run: JsonObject) -> None:
        """Take in an object of which :func:`~workflow_operator.resources.sighting.shows_end` is true.

        There may be a hundred thousand of them, of which nothing else is kept.

        Raises:
            LookupError: its metadata lacks what it needs.
        """
        metadata, status = run["metadata"], run["status"]
        key = RunKey(metadata["namespace"], metadata["name"], metadata["uid"])
        if self._is_past(key, metadata["resourceVersion"]):
            return
        self._drop(key)
        instance = str(status.get("instanceID") or "")
        own = instance in ("", key.uid)
        self._end(key, Phase(status["phase"]), None if own else _instance(key.namespace, instance))
        self._tell(key)

    def _is_past(self, key: RunKey, version: str) -> bool:
        """Whether an object of that version tells nothing that is not known."""
        known = self._active.get(key)
        return key in self._over or key in self._deleted or (known is not None and _is_older(version, known))

    def _end(self, key: RunKey, phase: Phase, instance: InstanceKey | None) -> None:
        self.left_to_others(key)
        self._over[key] = phase
        if instance is not None and is_copy(key, instance):
            self._copies_over[instance] = key

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
        self.left_to_others(key)
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

    def begins_first(self, key: RunKey) -> bool:
        """Whether this process saw the run appear, and has not asked yet: so it is True once at most.

        Of any other run nobody knows whether an executor has begun it, and died of it.
        """
        first = key in self._appeared
        self._appeared.discard(key)
        return first

    def is_new(self, key: RunKey) -> bool:
        """Whether :meth:`begins_first` would be True."""
        return key in self._appeared

    def take_text(self, key: RunKey) -> bytes | None:
        """The JSON of an object that has just appeared, once; None if it has to be read."""
        return self._texts.take(key.uid)

    def left_to_others(self, key: RunKey) -> None:
        """This replica will not be the first to begin the run."""
        self._appeared.discard(key)
        self._texts.take(key.uid)

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


def _is_older(version: str, than: ObservedRun) -> bool:
    # Kubernetes documents resource versions of one resource type as comparable integers since v1.35.
    known = than.metadata.resource_version
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)

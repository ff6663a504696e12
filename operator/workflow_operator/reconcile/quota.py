"""How much of the installation one namespace takes: what is over waits, before anything of it is recorded."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from workflow_operator.history import InstanceStatus
from workflow_operator.reconcile.objects.store import RunKey
from workflow_operator.reconcile.showing.desired import Problem

EXCEEDED = "QuotaExceeded"
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What the active runs of one namespace may be: how many, and how many bytes their histories have together.

    Of runs that are over nothing is counted: their histories stay, and would stop a namespace for ever.
    """

    active_runs: int = 1000
    history_bytes: int = 1024 * _MIB


@dataclass(slots=True)
class _Namespace:
    active: dict[str, int] = field(default_factory=dict)
    """Bytes of history of each instance that has begun and is not over; 0 until its status is seen."""
    bytes: int = 0
    waiting: list[tuple[datetime, RunKey]] = field(default_factory=list)
    """The runs in this replica's share that wait for room, the oldest first."""
    created: dict[RunKey, datetime] = field(default_factory=dict)
    """Of each that waits: where it stands among ten thousand need not be searched for."""

    def join(self, created: datetime, key: RunKey) -> None:
        if key not in self.created:
            self.created[key] = created
            insort(self.waiting, (created, key))

    def leave(self, key: RunKey) -> bool:
        """Whether it waited."""
        created = self.created.pop(key, None)
        if created is None:
            return False
        del self.waiting[bisect_left(self.waiting, (created, key))]
        return True


class NamespaceQuota:
    """Counts every instance of this cluster, whoever started it, and lets the oldest runs begin where there is room.

    Each replica decides for the runs in its share. Several that decide at the same moment may let a few too many begin.
    """

    def __init__(self, limits: QuotaLimits, cluster_id: str, started_objects: Callable[[str], int]) -> None:
        """``started_objects``: how many objects of a namespace show an instance, for as long as not all are counted."""
        self._limits = limits
        self._cluster_id = cluster_id
        self._started_objects = started_objects
        self._counted = False
        self._namespaces: defaultdict[str, _Namespace] = defaultdict(_Namespace)
        self._wake: Callable[[RunKey], None] = lambda _: None

    def on_room(self, wake: Callable[[RunKey], None]) -> None:
        """Call ``wake`` with the run that may begin now."""
        self._wake = wake

    def observe(self, instance: InstanceStatus) -> None:
        """Take in a status that was written."""
        if instance.origin is None or instance.origin.cluster != self._cluster_id:
            return
        if instance.terminal:
            self._remove(instance.namespace, str(instance.instance_id))
        else:
            self._count(instance.namespace, str(instance.instance_id), instance.history_bytes or 0)

    def all_counted(self) -> None:
        """Every instance that is not over has been observed."""
        self._counted = True
        for name in list(self._namespaces):
            self._wake_oldest(name)

    def shares_changed(self) -> None:
        """Others may decide by now for runs that waited here; those that are still ours ask again."""
        for space in self._namespaces.values():
            space.waiting.clear()
            space.created.clear()

    def admit(self, key: RunKey, created: datetime) -> Problem | None:
        """Count the run as active, or why it has to wait."""
        space = self._namespaces[key.namespace]
        instance = key.uid
        if instance in space.active:
            return None
        if bisect_left(space.waiting, (created, key)) < self._room(key.namespace):
            space.leave(key)
            self._count(key.namespace, instance, 0)
            return None
        space.join(created, key)
        return self._problem(key.namespace)

    def forget(self, key: RunKey) -> None:
        """The object is gone, or will not begin. What has begun stays counted until its end is seen."""
        space = self._namespaces.get(key.namespace)
        if space is None:
            return
        waited = space.leave(key)
        if space.active.get(key.uid) == 0:
            self._remove(key.namespace, key.uid)
        elif waited and space.waiting:
            # It stood before others.
            self._wake_oldest(key.namespace)
        elif not space.active and not space.waiting:
            del self._namespaces[key.namespace]

    def ended(self, key: RunKey) -> None:
        """The object says that its run is over, whether or not its status was seen."""
        self.forget(key)
        self._remove(key.namespace, key.uid)

    def _active(self, namespace: str) -> int:
        active = len(self._namespaces[namespace].active)
        return active if self._counted else max(active, self._started_objects(namespace))

    def _room(self, namespace: str) -> int:
        if self._namespaces[namespace].bytes >= self._limits.history_bytes:
            return 0
        return max(0, self._limits.active_runs - self._active(namespace))

    def _problem(self, namespace: str) -> Problem:
        space, limits = self._namespaces[namespace], self._limits
        if space.bytes >= limits.history_bytes:
            what = (
                f"the histories of the active runs in namespace {namespace} have {space.bytes // _MIB} MiB; new ones "
                f"begin below {limits.history_bytes // _MIB} MiB (WORKFLOW_OPERATOR_NAMESPACE_HISTORY_BYTES)"
            )
        else:
            what = (
                f"namespace {namespace} has {self._active(namespace)} active runs; at most {limits.active_runs} may be "
                "active (WORKFLOW_OPERATOR_NAMESPACE_ACTIVE_RUNS)"
            )
        return Problem(EXCEEDED, f"{what}. The run starts when others have ended, the oldest first")

    def _count(self, namespace: str, instance: str, history_bytes: int) -> None:
        space = self._namespaces[namespace]
        space.bytes += history_bytes - space.active.get(instance, 0)
        space.active[instance] = history_bytes

    def _remove(self, namespace: str, instance: str) -> None:
        space = self._namespaces.get(namespace)
        if space is None or instance not in space.active:
            return
        space.bytes -= space.active.pop(instance)
        if space.waiting:
            self._wake_oldest(namespace)
        elif not space.active:
            del self._namespaces[namespace]

    def _wake_oldest(self, namespace: str) -> None:
        space = self._namespaces[namespace]
        for _, key in space.waiting[: self._room(namespace)]:
            self._wake(key)

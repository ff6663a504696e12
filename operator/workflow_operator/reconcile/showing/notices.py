"""Kubernetes Events: what is worth one, and who writes them.

One when trouble begins, and one when a run fails; where it is asked for, one at every end. Never one for a step. An
Event costs the API server as much as a run's other writes together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from workflow_operator.reconcile.objects.ports import Cluster, JsonObject
from workflow_operator.reconcile.showing.desired import hindrances
from workflow_operator.resources.names import API_VERSION, GROUP, KIND
from workflow_operator.resources.run import FINAL_PHASES, ConditionType, ObjectMeta, Phase, RunStatus

logger = logging.getLogger(__name__)

CONTROLLER: Final = f"{GROUP}/operator"
MAX_NOTE_BYTES: Final = 1024
MAX_REPORTER_CHARS: Final = 128
MAX_REASON_CHARS: Final = 128
MAX_WAITING: Final = 1000
# As many as reconcile by default, so that Events keep up with the ends that they tell of.
WRITERS: Final = 8

_MAX_NAME_CHARS = 253
_NORMAL: Final = "Normal"
_WARNING: Final = "Warning"


@dataclass(frozen=True, slots=True)
class Notice:
    """What an Event tells. ``action`` is what the operator was doing, as one word for programs."""

    kind: str
    reason: str
    note: str
    action: str


def notice(before: RunStatus, after: RunStatus) -> Notice | None:
    """What is worth telling of a status that has replaced another one. Pure.

    An end; or else trouble that was not there before: the first reason of a Stalled condition, or of a Reconciling
    one that hinders the run.
    """
    if after.phase in FINAL_PHASES:
        return None if before.phase in FINAL_PHASES else _end(after)
    known = {condition.reason for condition in hindrances(before)}
    fresh = [condition for condition in hindrances(after) if condition.reason not in known]
    return Notice(_WARNING, fresh[0].reason, fresh[0].message, "Reconcile") if fresh else None


def _end(status: RunStatus) -> Notice:
    [message] = [each.message for each in status.conditions if each.type == ConditionType.FINISHED]
    kind = _WARNING if status.phase is Phase.FAILED else _NORMAL
    return Notice(kind, str(status.phase), message, "Execute")


def event(run: ObjectMeta, told: Notice, reporter: str, now: datetime) -> JsonObject:
    """The Event about one version of an object; telling of that version again is the same Event."""
    version = f".{int(run.resource_version):x}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": run.name[: _MAX_NAME_CHARS - len(version)].rstrip("-.") + version,
            "namespace": run.namespace,
        },
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": run.namespace,
            "name": run.name,
            "uid": run.uid,
            "resourceVersion": run.resource_version,
        },
        "type": told.kind,
        "reason": told.reason[:MAX_REASON_CHARS],
        "action": told.action,
        "note": clipped(told.note, MAX_NOTE_BYTES),
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": reporter[:MAX_REPORTER_CHARS],
    }


def clipped(text: str, limit: int) -> str:
    """The text in at most that many bytes, which is what the API server counts; a cut one ends in an ellipsis."""
    data = text.encode()
    if len(data) <= limit:
        return text
    mark = "…"
    return data[: limit - len(mark.encode())].decode(errors="ignore") + mark


class Reporter:
    """Writes Events beside everything else: no run waits for one, and a lost one stays lost.

    Args:
        identity: the name of this replica.
        now: the clock.
        problems_only: whether what went well, or was asked for, is left out.
    """

    def __init__(self, cluster: Cluster, identity: str, now: Callable[[], datetime], *, problems_only: bool) -> None:
        self._cluster = cluster
        self._identity = identity
        self._problems_only = problems_only
        self._now = now
        self._waiting: asyncio.Queue[JsonObject] = asyncio.Queue(MAX_WAITING)

    def tell(self, run: ObjectMeta, told: Notice) -> None:
        """Have an Event written about this version of the object; dropped while too many wait."""
        if self._problems_only and told.kind == _NORMAL:
            return
        try:
            self._waiting.put_nowait(event(run, told, self._identity, self._now()))
        except asyncio.QueueFull:
            logger.warning("run %s/%s: no Event %s: %d wait already", run.namespace, run.name, told.reason, MAX_WAITING)

    async def run(self) -> None:
        """Write what is told until cancelled, in no order."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write())

    async def _write(self) -> None:
        while True:
            waiting = await self._waiting.get()
            try:
                await self._cluster.create_event(waiting)
            except Exception as error:
                regarding = waiting["regarding"]
                logger.warning("run %s/%s: no Event: %s", regarding["namespace"], regarding["name"], error)

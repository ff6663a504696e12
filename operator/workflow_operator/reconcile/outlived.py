"""Ends instances that go on although their object shows an end: NATS came back from a backup older than the object."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from workflow_operator.history import InstanceKey, InstanceStatus
from workflow_operator.history.errors import Retryable
from workflow_operator.reconcile.objects.ports import Runner
from workflow_operator.reconcile.objects.queue import KeyQueue
from workflow_operator.reconcile.objects.store import ObjectStore, RunKey

logger = logging.getLogger(__name__)

_REASON = (
    "its WorkflowRun has ended already: NATS was restored from an older backup, or somebody wrote the object's status"
)


class OutlivedInstances:
    """Keeps the pending instances in view, of any cluster: a restore may be into another one.

    Every replica does so, whatever its share: that costs nothing until it happens.

    Args:
        grace_seconds: for the status of an end to arrive, which may be on its way. Well below the time for
            which the sweep spares such instances: then it would have an executor go on.
    """

    def __init__(self, objects: ObjectStore, runner: Runner, grace_seconds: float = 5.0) -> None:
        self._objects = objects
        self._runner = runner
        self._grace = grace_seconds
        self._pending: defaultdict[tuple[str, str], set[InstanceKey]] = defaultdict(set)
        self._queue: KeyQueue[tuple[InstanceKey, str]] = KeyQueue(asyncio.get_running_loop())
        objects.on_change(self._object_changed)

    def observe(self, instance: InstanceStatus) -> None:
        """Take in a status that was written."""
        if instance.origin is None:
            return
        name = (instance.namespace, instance.origin.name)
        if not instance.terminal:
            self._pending[name].add(instance.key)
            self._look(*name)
        elif name in self._pending:
            self._pending[name].discard(instance.key)
            if not self._pending[name]:
                del self._pending[name]

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            key = instance, name = await self._queue.get()
            try:
                await self._end(instance, name)
                self._queue.forget_failures(key)
            except Retryable as error:
                logger.warning("instance %s: not cancelled yet: %s", instance, error)
                self._queue.retry(key)
            except Exception:
                logger.exception("instance %s: not cancelled; tried again", instance)
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def _end(self, instance: InstanceKey, name: str) -> None:
        pending = instance in self._pending.get((instance.namespace, name), ())
        if pending and await self._runner.cancel(instance, _REASON):
            logger.warning("instance %s: cancelled: %s", instance, _REASON)

    def _object_changed(self, key: RunKey) -> None:
        self._look(key.namespace, key.name)

    def _look(self, namespace: str, name: str) -> None:
        for instance in self._pending.get((namespace, name), ()):
            if self._objects.shows_end_of(instance, name):
                self._queue.add_after((instance, name), self._grace)

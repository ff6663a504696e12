"""Cancels instances whose object went while nobody watched: without finalizers a deletion can be missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta

from workflow_operator.history import InstanceKey, InstanceStatus
from workflow_operator.history.errors import Retryable, WorkflowError
from workflow_operator.reconcile.objects.ports import Cluster, JsonObject, Runner, Shares
from workflow_operator.reconcile.objects.store import RunKey, instance_of, read

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0
# Most runs are over by then, and nobody need look for their objects.
YOUNG_SECONDS = 30.0
# A list costs the API server as much as some hundred objects that are asked for, or thousands where there are many.
_FEW = 50
_MAX_FAILURES = 3


class OrphanSweeper:
    """Keeps the pending instances of this cluster in view, and looks for their objects once a minute.

    An instance is cancelled only if it was started for this cluster and the API server, asked for its very object,
    says that there is none, or one of that name that stands for another instance.

    Args:
        now: the clock.
        namespaces: where to look; everywhere if empty.
    """

    def __init__(
        self,
        cluster: Cluster,
        runner: Runner,
        shares: Shares,
        cluster_id: str,
        now: Callable[[], datetime],
        namespaces: Collection[str] = (),
    ) -> None:
        self._cluster = cluster
        self._runner = runner
        self._shares = shares
        self._cluster_id = cluster_id
        self._namespaces = namespaces
        self._now = now
        # Their objects' names, and when they began.
        self._names: dict[InstanceKey, tuple[str, datetime]] = {}
        self._some_young = False
        self._soon = asyncio.Event()

    def observe(self, instance: InstanceStatus) -> None:
        """Take in a status that was written."""
        origin = instance.origin
        elsewhere = bool(self._namespaces) and instance.namespace not in self._namespaces
        if instance.terminal or elsewhere or origin is None or origin.cluster != self._cluster_id:
            self._names.pop(instance.key, None)
        else:
            self._names[instance.key] = (origin.name, instance.created_at)

    def shares_changed(self) -> None:
        """This replica may have gained instances: sweep now."""
        self._soon.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._soon.clear()
            try:
                await self.sweep()
            except Retryable as error:
                logger.warning("cannot look for runs that were deleted unseen: %s", error)
            except Exception:
                logger.exception("cannot look for runs that were deleted unseen")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._soon.wait(), YOUNG_SECONDS if self._some_young else PERIOD_SECONDS)

    async def sweep(self) -> None:
        """Cancel the orphans in this replica's share that are not young.

        Raises:
            Unavailable: NATS or the API server does not answer.
        """
        begun = self._now() - timedelta(seconds=YOUNG_SECONDS)
        mine = [(key, name, since <= begun) for key, (name, since) in self._names.items() if self._owns(key, name)]
        suspects = {key: name for key, name, old in mine if old}
        self._some_young = len(suspects) < len(mine)
        if not suspects:
            return
        uids = await self._cluster.run_uids() if len(suspects) > _FEW else frozenset[str]()
        failures = 0
        for key, name in suspects.items():
            if str(key.instance_id) in uids:
                continue
            try:
                await self._end_without_object(key, name)
            except Retryable as error:
                # It may be this one's alone; if it is not, the others need not be asked for.
                logger.warning("instance %s: not looked for now: %s", key, error)
                failures += 1
                if failures == _MAX_FAILURES:
                    raise

    async def _end_without_object(self, key: InstanceKey, name: str) -> None:
        try:
            if not stands_for(await self._cluster.look(key.namespace, name), key):
                logger.info("instance %s: its WorkflowRun %s/%s is gone; cancelling", key, key.namespace, name)
                await self._runner.cancel(key, "the WorkflowRun was deleted")
        except Retryable:
            raise
        except WorkflowError as error:
            # One history that a newer release wrote, or that is damaged, must not keep all others from being swept.
            logger.error("instance %s: not cancelled: %s", key, error)
        except Exception:
            logger.exception("instance %s: not cancelled", key)

    def _owns(self, key: InstanceKey, name: str) -> bool:
        return self._shares.owns(str(RunKey(key.namespace, name, str(key.instance_id))))


def stands_for(run: JsonObject | None, instance: InstanceKey) -> bool:
    """Whether the object is the instance's own, or a copy of that which was restored from a backup.

    One that cannot be read may be.
    """
    try:
        if run is None:
            return False
        parsed, fault = read(run)
        return fault is not None or instance_of(parsed) == instance
    except ValueError:
        return True

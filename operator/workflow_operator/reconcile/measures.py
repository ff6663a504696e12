"""What is measured of runs and their objects."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime

from workflow_operator import metrics
from workflow_operator.history import InstanceStatus
from workflow_operator.reconcile.objects.ports import Shares
from workflow_operator.reconcile.objects.store import ObjectStore
from workflow_operator.resources.run import Phase

logger = logging.getLogger(__name__)

COUNT_SECONDS = 10.0
_AT_ONCE = 1000


def end_shown(instance: InstanceStatus, phase: Phase, now: datetime) -> None:
    """The end of a run has been written into its object."""
    if instance.ended_at is not None:
        seconds = (instance.ended_at - instance.created_at).total_seconds()
        metrics.RUN_DURATION.labels(phase.value).observe(max(0.0, seconds))
        metrics.MIRROR_LAG.observe(max(0.0, (now - instance.ended_at).total_seconds()))


async def count_runs(objects: ObjectStore, shares: Shares, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Keep the gauge of runs by phase up to date until cancelled."""
    while True:
        try:
            await _count(objects, shares)
        except Exception:
            logger.exception("the runs cannot be counted")
        await sleep(COUNT_SECONDS)


async def _count(objects: ObjectStore, shares: Shares) -> None:
    found: Counter[Phase] = Counter()
    for number, (key, phase) in enumerate(objects.phases()):
        found[phase] += shares.owns(str(key))
        if number % _AT_ONCE == 0:
            # Hashing takes a while for thousands of runs, and everything else waits.
            await asyncio.sleep(0)
    for phase in Phase:
        metrics.RUNS.labels(phase.value).set(found[phase])

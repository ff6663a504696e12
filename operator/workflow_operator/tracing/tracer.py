"""Which runs are traced, and the queue between their ends and a collector that may be slow or away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import chain

from workflow_operator import metrics
from workflow_operator.history import DataBus, InstanceKey, InstanceStatus
from workflow_operator.tracing.otlp import Exporter
from workflow_operator.tracing.spans import Span, spans

logger = logging.getLogger(__name__)

_WAITING_RUNS = 2_000
_BATCH = 50


class Tracer:
    """Exports the trace of each run that ends, once. Nothing waits for it: what does not fit into its queue is dropped.

    Args:
        bus: where the histories are.
        exporter: takes the spans.
        mine: whether the run of a status is this replica's to export.
        live: whether statuses are of now; before, they are of runs that ended before this replica was there.
    """

    def __init__(
        self,
        bus: DataBus,
        exporter: Exporter,
        mine: Callable[[InstanceStatus], bool],
        live: Callable[[], bool],
    ) -> None:
        self._bus = bus
        self._exporter = exporter
        self._mine = mine
        self._live = live
        self._ended: asyncio.Queue[InstanceKey] = asyncio.Queue(_WAITING_RUNS)
        self._well = True

    def observe(self, status: InstanceStatus) -> None:
        """Take in a status that was written."""
        if status.terminal and self._live() and self._mine(status):
            try:
                self._ended.put_nowait(status.key)
            except asyncio.QueueFull:
                metrics.TRACES.labels("dropped").inc()

    async def run(self) -> None:
        """Export until cancelled."""
        try:
            while True:
                keys = [await self._ended.get()]
                while len(keys) < _BATCH and not self._ended.empty():
                    keys.append(self._ended.get_nowait())
                exported = await self._export(keys)
                metrics.TRACES.labels("exported").inc(exported)
                metrics.TRACES.labels("dropped").inc(len(keys) - exported)
        finally:
            self._exporter.close()

    async def _export(self, keys: Sequence[InstanceKey]) -> int:
        """How many of the runs were exported. Whatever goes wrong costs their traces, and nothing else."""
        traces = [await self._read(key) for key in keys]
        found = list(chain.from_iterable(traces))
        try:
            taken = not found or await asyncio.to_thread(self._exporter.export, found)
        except Exception:
            logger.exception("traces cannot be exported")
            taken = False
        if taken != self._well:
            self._well = taken
            logger.warning("the collector %s traces", "takes" if taken else "does not take")
        return sum(map(bool, traces)) if taken else 0

    async def _read(self, key: InstanceKey) -> list[Span]:
        try:
            return spans(await self._bus.query_history(key, slim=True))
        except Exception as error:
            logger.warning("instance %s: no trace of it: %r", key, error)
            return []

"""What an executor counts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache

from workflow_operator import metrics
from workflow_operator.engine.clock import Clock
from workflow_operator.history import Delivery, WorkQueue
from workflow_operator.history.errors import ScriptError, Thrown, WorkflowError
from workflow_operator.replay import New, Recorded, Unanswered

logger = logging.getLogger(__name__)

_DEPTH_SECONDS = 15.0
_STORED_SECONDS = 60.0


class Fate(StrEnum):
    """What became of an instance that was taken from the queue."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARKED = "parked"
    OVERTAKEN = "overtaken"
    CRASHED = "crashed"
    UNAVAILABLE = "unavailable"
    RETURNED = "returned"  # given back as it was: at a shutdown, or to a newer release
    NOTHING = "nothing"  # it had ended already, or there is no history


@dataclass
class Execution:
    """One instance in a slot. Whoever is stopped in the middle of it gives it back."""

    fate: Fate = Fate.RETURNED


@contextmanager
def measured_execution() -> Iterator[Execution]:
    """Count what becomes of an instance, and for how long it is in its slot."""
    execution = Execution()
    with metrics.EXECUTOR_SLOTS_USED.track_inprogress(), metrics.EXECUTION_DURATION.time():
        try:
            yield execution
        finally:
            metrics.EXECUTIONS.labels(execution.fate).inc()


@contextmanager
def counted_limits() -> Iterator[None]:
    """Count the limits and crashes that end scripts, by the classes of our own: a script names its errors itself."""
    try:
        yield
    except Thrown:
        raise
    except ScriptError as error:
        metrics.SANDBOX_KILLS.labels(type(error).__name__).inc()
        raise


# To look the counter up costs more than to count.
_host_calls = cache(metrics.HOST_CALLS.labels)


def count_call(name: str, found: New | Unanswered | Recorded) -> None:
    """Count a host call that is known to exist. One that was under way (a sleep) was counted when it began."""
    (_host_calls(name) if isinstance(found, New) else metrics.REPLAYED_CALLS).inc()


def first_waits(deliveries: Iterable[Delivery], now: datetime) -> list[float]:
    """Seconds in the queue, of those that are delivered for the first time: later ones were with executors meanwhile.

    NATS and we have different clocks, so a wait may seem to be negative: it is zero then.
    """
    return [max(0.0, (now - delivery.queued_at).total_seconds()) for delivery in deliveries if delivery.attempt == 1]


async def follow_queue_depth(queue: WorkQueue, clock: Clock) -> None:
    """Show how much is in the queue, until cancelled."""
    while True:
        try:
            depth = await queue.depth()
        except WorkflowError as error:
            logger.info("the depth of the queue is not known: %s", error)
        except Exception:
            logger.exception("the depth of the queue is not known")
        else:
            metrics.QUEUE_DEPTH.labels("waiting").set(depth.waiting)
            metrics.QUEUE_DEPTH.labels("held").set(depth.held)
            metrics.QUEUE_DEPTH.labels("scheduled").set(depth.scheduled)
        await clock.sleep(_DEPTH_SECONDS)


async def follow_stored_bytes(read: Callable[[], Awaitable[Mapping[str, int]]], clock: Clock) -> None:
    """Show how much each stream holds, until cancelled. `read` gives bytes by the stream's name."""
    while True:
        try:
            stored = await read()
        except WorkflowError as error:
            logger.info("what the streams hold is not known: %s", error)
        except Exception:
            logger.exception("what the streams hold is not known")
        else:
            for stream, size in stored.items():
                metrics.NATS_STORED.labels(stream).set(size)
        await clock.sleep(_STORED_SECONDS)

"""The history as the projector gets it, with every liberty that a work queue takes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow_operator.history import Commit, DataBus, InstanceKey
from workflow_operator.history.errors import WorkflowError


@dataclass
class HeldCommit:
    """``fate`` is what became of it: None while held."""

    events: Commit | None
    error: WorkflowError | None = None
    fate: str | None = None
    on_ack: Callable[[Commit | None], None] = lambda _: None

    async def ack(self) -> None:
        await asyncio.sleep(0)
        self.on_ack(self.events)
        self.fate = "ack"

    async def retry(self, delay_seconds: float) -> None:
        await asyncio.sleep(0)
        self.fate = f"retry {delay_seconds:g}"


@dataclass
class MemoryFeed:
    """Gives out ``batches`` as they are; what is given back comes again, as one more batch."""

    batches: dict[int, list[Sequence[HeldCommit]]]
    behind: list[InstanceKey] = field(default_factory=list)
    partitions: int = 1
    fail_pull: Exception | None = None
    fail_pending: Exception | None = None
    given: list[HeldCommit] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    async def pull(self, partition: int, timeout_seconds: float) -> Sequence[HeldCommit]:
        await asyncio.sleep(0)
        if self.fail_pull is not None:
            error, self.fail_pull = self.fail_pull, None
            raise error
        queued = self.batches.get(partition, [])
        if queued:
            batch = queued.pop(0)
            self.given += batch
            return batch
        again = [held for held in self.given if held.fate is not None and held.fate.startswith("retry")]
        if again:
            for held in again:
                held.fate = None
            return again
        await asyncio.Event().wait()
        raise AssertionError

    async def leave(self, partition: int) -> None:
        await asyncio.sleep(0)
        self.left.append(partition)

    async def pending(self, partition: int) -> int:
        await asyncio.sleep(0)
        if self.fail_pending is not None:
            raise self.fail_pending
        return sum(len(batch) for batch in self.batches.get(partition, [])) + sum(not held.fate for held in self.given)

    async def tails(self) -> AsyncIterator[InstanceKey]:
        for key in self.behind:
            await asyncio.sleep(0)
            yield key


class Everything:
    def owns(self, key: str) -> bool:
        return True


class Slow:
    """A bus whose every operation takes as many turns of the loop as ``turns`` says."""

    def __init__(self, bus: DataBus, turns: Callable[[], int]) -> None:
        self._bus = bus
        self._turns = turns

    def __getattr__(self, name: str) -> Callable[..., Any]:
        work = getattr(self._bus, name)

        async def slow_stream(*args: object, **named: object) -> AsyncIterator[object]:
            async for item in work(*args, **named):
                for _ in range(self._turns()):
                    await asyncio.sleep(0)
                yield item

        async def slow(*args: object, **named: object) -> object:
            for _ in range(self._turns()):
                await asyncio.sleep(0)
            result = await work(*args, **named)
            for _ in range(self._turns()):
                await asyncio.sleep(0)
            return result

        return slow_stream if inspect.isasyncgenfunction(work) else slow

"""Where new instances wait a moment for a slot: while slots turn over, that is cheaper than the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from workflow_operator.engine.clock import Clock
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.history import InstanceKey

# Whoever waits longer is queued, where other replicas find it.
_WAIT_SECONDS = 0.25
# Each holds its script and input in memory.
_PLACES_FOR_A_SLOT = 2


def worth_waiting(waiting: int, slots: int, unmoved_seconds: float) -> bool:
    """Whether one more may wait, if no slot was taken or became free for so long. Pure.

    Where long runs hold all slots, it would wait in vain.
    """
    return waiting < _PLACES_FOR_A_SLOT * slots and unmoved_seconds <= _WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class _Waiting:
    held: Holding
    leaving: asyncio.Task[None]


class WaitingRoom:
    """New instances in the order in which they came. Nothing of them is stored until they leave for the queue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[InstanceKey, _Waiting] = {}
        self._leaving: dict[InstanceKey, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: InstanceKey) -> bool:
        return key in self._waiting or key in self._leaving

    def enter(self, held: Holding) -> None:
        """Let it wait for a slot; without one it is queued before long."""
        leaving = asyncio.create_task(self._leave(held), name=f"wait {held.key}")
        self._waiting[held.key] = _Waiting(held, leaving)

    def next(self, admits: Callable[[str], bool]) -> Holding | None:
        """The first one whose namespace may have a slot, which waits no longer."""
        refused: set[str] = set()
        for key, waiting in self._waiting.items():
            if key.namespace in refused:
                continue
            if admits(key.namespace):
                self._forget(key)
                return waiting.held
            refused.add(key.namespace)
        return None

    async def turn_away(self, key: InstanceKey) -> bool:
        """Forget it, and leave nothing behind; False if it does not wait, or was queued."""
        if (leaving := self._leaving.get(key)) is not None:
            await asyncio.wait({leaving})
        found = key in self._waiting
        self._forget(key)
        return found

    async def close(self) -> None:
        """Queue at once all that wait."""
        left = [waiting.held for waiting in self._waiting.values()]
        for held in left:
            self._forget(held.key)
        await asyncio.gather(*self._leaving.values(), *(held.give_back() for held in left), return_exceptions=True)

    def _forget(self, key: InstanceKey) -> None:
        if (waiting := self._waiting.pop(key, None)) is not None:
            waiting.leaving.cancel()

    async def _leave(self, held: Holding) -> None:
        await self._clock.sleep(_WAIT_SECONDS)
        self._leaving[held.key] = self._waiting.pop(held.key).leaving
        try:
            await held.give_back()
        finally:
            del self._leaving[held.key]

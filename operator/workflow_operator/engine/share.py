"""How the slots of one executor are shared among namespaces."""

from __future__ import annotations

from collections import Counter

from workflow_operator.engine.limits import EngineLimits

# Who was refused or seen to wait is believed to wait for this long: the queue offers it again every second or two.
_WAITS_SECONDS = 3.0
# Once one of a namespace was taken from the queue, the next one that waits there is refused again before this is over.
_NEXT_SECONDS = 0.1


def may_take(held: int, free: int, share: float) -> bool:
    """Whether a namespace that holds ``held`` slots may take another one while ``free`` are free. Pure.

    The first one is anybody's. Beyond it a namespace may hold at most what is free, by the factor share / (1 - share):
    alone it gets its share of all slots, and however many namespaces take as much as they can, some are left for the
    next one. (Dynamic thresholds, as switches share their buffers: Choudhury and Hahne, 1998.)
    """
    if free < 1:
        return False
    return held == 0 or held * (1 - share) < share * free


class Shares:
    """The slots of one executor: who holds them, and who was refused more."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._held: Counter[str] = Counter()
        self._refused: dict[str, float] = {}
        # Those of them of which one is in the queue still.
        self._queued: dict[str, float] = {}
        self._all_wait_until = 0.0

    @property
    def used(self) -> int:
        return self._held.total()

    @property
    def free(self) -> int:
        return self._limits.slots - self.used

    def admits(self, namespace: str, now: float) -> bool:
        """Whether it may have another slot. Who may not is known to wait from ``now`` on (seconds)."""
        admitted = may_take(self._held[namespace], self.free, self._limits.namespace_slots_share)
        if not admitted:
            self._refused[namespace] = self._queued[namespace] = now + _WAITS_SECONDS
        return admitted

    def admits_start(self, namespace: str, now: float) -> bool:
        """Whether a run of it that was never queued may have a slot: none that one in the queue could have.

        So of one namespace nobody is overtaken, and to each of the others that waits and may take a slot one is left.
        """
        if self.waits(namespace, now):
            return False
        share = self._limits.namespace_slots_share
        first = sum(may_take(self._held[name], self.free, share) for name in self._queued)
        return may_take(self._held[namespace], self.free - first, share)

    def waits(self, namespace: str, now: float) -> bool:
        """Whether one of it is known to wait in the queue, or any one that finds no slot at all."""
        self._queued = {name: until for name, until in self._queued.items() if until > now}
        return namespace in self._queued or self._all_wait_until > now

    def taken_from_queue(self, namespace: str, now: float) -> None:
        """One that was queued has its slot: whether there are more is known at once."""
        if namespace in self._queued:
            self._queued[namespace] = now + _NEXT_SECONDS

    def take(self, namespace: str) -> None:
        self._held[namespace] += 1

    def release(self, namespace: str) -> None:
        self._held[namespace] -= 1
        if not self._held[namespace]:
            del self._held[namespace]

    def all_wait(self, now: float) -> None:
        """No slot is free, and somebody was seen to wait."""
        self._all_wait_until = now + _WAITS_SECONDS

    def contended(self, namespace: str, now: float) -> bool:
        """Whether somebody waits for the slots that this namespace holds: another of its own, or anybody."""
        self._refused = {name: until for name, until in self._refused.items() if until > now}
        return namespace in self._refused or self._all_wait_until > now

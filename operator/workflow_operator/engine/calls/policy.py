"""When a step is tried again. Pure: numbers in, times out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from workflow_operator.history import InstanceEvent

Backoff: TypeAlias = Literal["constant", "linear", "exponential"]
# Doublings beyond it give no longer a pause than any maxDelay.
_MOST_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class Policy:
    """How a step is done; times in milliseconds.

    Args:
        limit: attempts after the first one.
        delay_ms: the pause before the second attempt; ``backoff`` says how it grows, to at most ``max_delay_ms``.
        jitter: a pause is longer or shorter by at most this part of it, so that many that failed together do not come
            back together.
        max_duration_ms: after this time since the first attempt began no other one begins.
        timeout_ms: of one attempt.
        at_most_once: that an attempt begins is recorded before it does; one that was cut off is not made again.
    """

    limit: int
    delay_ms: int
    backoff: Backoff
    max_delay_ms: int
    jitter: float
    timeout_ms: int
    at_most_once: bool = False
    max_duration_ms: int | None = None

    def retry_at(
        self,
        failures: Sequence[InstanceEvent],
        begun: datetime,
        now: datetime,
        seed: str,
        retry_after_ms: int | None = None,
    ) -> datetime | None:
        """When to try again after one more failure; None if it was the last attempt.

        ``failures``: the attempts that failed before; ``begun``: when this one began; ``seed`` tells it from every
        other one; ``retry_after_ms``: what the error says.
        """
        if len(failures) >= self.limit:
            return None
        pause = self._pause_ms(len(failures) + 1, seed) if retry_after_ms is None else retry_after_ms
        at = now + timedelta(milliseconds=pause)
        if self.max_duration_ms is not None:
            first = failures[0] if failures else None
            if at > ((first and first.started_at) or begun) + timedelta(milliseconds=self.max_duration_ms):
                return None
        return at

    def _pause_ms(self, failed: int, seed: str) -> float:
        factor = {"constant": 1.0, "linear": failed, "exponential": 2.0 ** min(failed - 1, _MOST_DOUBLINGS)}[
            self.backoff
        ]
        return min(self.max_delay_ms, self.delay_ms * factor) * (1 + self.jitter * (2 * _share(seed) - 1))


def _share(seed: str) -> float:
    """From 0 to 1, by chance, and the same for the same text."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6], "big") / 2**48

"""When a status is written. A run that ends at once costs the API server one write, a long one few."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_operator.reconcile.objects.store import without_values
from workflow_operator.reconcile.showing.desired import hindrances
from workflow_operator.resources.run import FINAL_PHASES, Phase, RunStatus

# A phase that does not last is not worth a write: the object says Pending from the start.
SETTLE = {Phase.PENDING: timedelta(seconds=10), Phase.RUNNING: timedelta(seconds=2)}
PROGRESS = timedelta(seconds=10)

# A run that waits for something is looked at again after a quarter of the time it has waited: what comes soon is seen
# soon, and thousands that wait for ever leave room for the others.
CHECK_SOONEST = timedelta(seconds=5)
CHECK_LATEST = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What this replica remembers of a run: since when it has been in its phase, and when it was last written."""

    phase: Phase
    since: datetime
    written: datetime | None = None


def check_after(waited: timedelta) -> timedelta:
    """How long to wait before a look at what a run waits for, which nobody tells us of."""
    return min(CHECK_LATEST, max(CHECK_SOONEST, waited / 4))


def seen_now(before: Seen | None, phase: Phase, now: datetime) -> Seen:
    if before is None or before.phase is not phase:
        return Seen(phase, now, before.written if before else None)
    return before


def write_at(current: RunStatus, desired: RunStatus, seen: Seen) -> datetime | None:
    """The time from which the desired status is worth a write; None if it is there already.

    At once: an end, and whatever hinders a start. After the phase has lasted a while: a change of phase. At most
    every 10 s: progress within a phase.
    """
    if desired.phase in FINAL_PHASES and desired.phase is not current.phase:
        return seen.since
    if without_values(desired) == without_values(current):
        return None
    if desired.phase in FINAL_PHASES or _hindered(desired) - _hindered(current):
        return seen.since
    if desired.phase is not current.phase or current.observed_generation < desired.observed_generation:
        return seen.since + SETTLE[desired.phase]
    return seen.since if seen.written is None else seen.written + PROGRESS


def _hindered(status: RunStatus) -> frozenset[str]:
    return frozenset(condition.reason for condition in hindrances(status))

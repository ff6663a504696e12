"""When a status is worth a write."""

from datetime import UTC, datetime, timedelta

import pytest

from workflow_operator.reconcile.showing.timing import Seen, check_after, seen_now, write_at
from workflow_operator.resources.run import Condition, ConditionStatus, Phase, RunStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def status(phase: Phase, reason: str = "", *, generation: int = 1, steps: int | None = None) -> RunStatus:
    condition = Condition(
        type="Reconciling", status=ConditionStatus.TRUE, last_transition_time=NOW, reason=reason or "None", message=""
    )
    started = phase is not Phase.PENDING
    return RunStatus(
        observed_generation=generation,
        phase=phase,
        conditions=(condition,) if reason else (),
        instance_id="i" if started else None,
        steps=steps,
    )


UNSEEN = RunStatus(observed_generation=-1, phase=Phase.PENDING)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("current", "desired", "written", "due"),
    [
        pytest.param(UNSEEN, status(Phase.COMPLETE), None, NOW, id="an end: at once"),
        pytest.param(UNSEEN, status(Phase.FAILED), NOW, NOW, id="an end, just after a write: at once"),
        pytest.param(UNSEEN, status(Phase.PENDING, "Starting"), None, NOW + 10 * SECOND, id="start: when it lasts"),
        pytest.param(UNSEEN, status(Phase.PENDING, "ConfigMapNotFound"), None, NOW, id="a hindrance: at once"),
        pytest.param(
            status(Phase.PENDING, "ConfigMapNotFound"),
            status(Phase.PENDING, "ConfigMapKeyNotFound"),
            NOW,
            NOW,
            id="another hindrance: at once",
        ),
        pytest.param(
            status(Phase.PENDING, "ConfigMapNotFound"),
            status(Phase.PENDING, "Starting"),
            NOW,
            NOW + 10 * SECOND,
            id="a hindrance gone: nothing to hurry for",
        ),
        pytest.param(UNSEEN, status(Phase.RUNNING), None, NOW + 2 * SECOND, id="running: when it lasts"),
        pytest.param(
            status(Phase.RUNNING, steps=1),
            status(Phase.RUNNING, steps=2),
            NOW,
            NOW + 10 * SECOND,
            id="progress",
        ),
        pytest.param(
            status(Phase.RUNNING, steps=1), status(Phase.RUNNING, steps=2), None, NOW, id="progress, not yet written"
        ),
        pytest.param(status(Phase.RUNNING), status(Phase.RUNNING), None, None, id="nothing new: never"),
    ],
)
def test_write_at(current: RunStatus, desired: RunStatus, written: datetime | None, due: datetime | None) -> None:
    assert write_at(current, desired, Seen(desired.phase, NOW, written)) == due


def test_a_phase_is_remembered_since_it_was_first_seen() -> None:
    first = seen_now(None, Phase.RUNNING, NOW)
    assert seen_now(first, Phase.RUNNING, NOW + SECOND) == Seen(Phase.RUNNING, NOW)


def test_a_new_phase_begins_now_and_keeps_the_last_write() -> None:
    before = Seen(Phase.PENDING, NOW, NOW)
    assert seen_now(before, Phase.RUNNING, NOW + SECOND) == Seen(Phase.RUNNING, NOW + SECOND, NOW)


@pytest.mark.parametrize(
    ("waited", "seconds"),
    [(-3600, 5), (0, 5), (20, 5), (60, 15), (480, 120), (86_400, 120)],
)
def test_what_waits_for_long_is_looked_at_less_often(waited: int, seconds: int) -> None:
    assert check_after(waited * SECOND) == seconds * SECOND

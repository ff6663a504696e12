from datetime import UTC, datetime, timedelta

import pytest

from workflow_operator.resources.conditions import is_final, set_conditions
from workflow_operator.resources.run import Condition, ConditionStatus, ConditionType

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(minutes=1)


def condition(kind: str, status: str = "True", *, at: datetime = NOW, reason: str = "Tested") -> Condition:
    return Condition(type=kind, status=ConditionStatus(status), reason=reason, message="", last_transition_time=at)


@pytest.mark.parametrize(
    ("before", "wanted", "time"),
    [
        ([], condition("Reconciling"), NOW),
        ([condition("Reconciling", at=THEN)], condition("Reconciling", reason="Other"), THEN),
        ([condition("Reconciling", "False", at=THEN)], condition("Reconciling"), NOW),
        ([condition("Stalled", at=THEN)], condition("Reconciling"), NOW),
    ],
)
def test_the_transition_time_changes_with_the_status_only(
    before: list[Condition], wanted: Condition, time: datetime
) -> None:
    [settled] = set_conditions(before, [wanted])
    assert settled == wanted.model_copy(update={"last_transition_time": time})


def test_an_activity_that_is_not_wanted_any_more_goes_and_a_verdict_stays() -> None:
    before = [condition("Reconciling", at=THEN), condition("Complete", at=THEN, reason="Returned")]
    assert set_conditions(before, []) == (before[1],)
    assert set_conditions(before, [condition("Complete", reason="Other")]) == (before[1],)
    assert set_conditions(before, [condition("Complete", "False")]) == (before[1],)


def test_a_verdict_that_is_not_true_yet_is_no_verdict() -> None:
    before = [condition("Failed", "False", at=THEN)]
    assert set_conditions(before, []) == ()
    assert set_conditions(before, [condition("Failed")]) == (condition("Failed"),)


def test_the_most_telling_comes_first() -> None:
    wanted = [condition(kind) for kind in ("Zebra", "Finished", *sorted(ConditionType), "Ape")]
    types = [settled.type for settled in set_conditions([], wanted)]
    assert types == [
        "Failed", "Complete", "Stalled", "Suspended", "Reconciling", "Finished", "Ape", "Zebra",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "final"),
    [
        ("Complete", "True", True),
        ("Failed", "True", True),
        ("Finished", "True", True),
        ("Finished", "False", False),
        ("Stalled", "True", False),
        ("Suspended", "True", False),
    ],
)
def test_only_a_true_verdict_is_final(kind: str, status: str, final: bool) -> None:
    assert is_final(condition(kind, status)) is final

"""spec.suspend: told to the engine once, and shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reconcile.world import EXECUTOR, NOW, World
from workflow_operator.history.errors import TooManySignals

SUSPENDED: dict[str, Any] = {"suspended_at": NOW, "suspend_generation": 1}


@pytest.mark.parametrize(
    ("spec", "fields", "told"),
    [
        ({"suspend": True}, {}, [(1, True)]),
        ({"suspend": True}, SUSPENDED, []),
        ({"suspend": False}, {}, []),
        ({}, {}, []),
        # Somebody else has acted on this generation, or on a later one.
        ({}, SUSPENDED, []),
        ({}, SUSPENDED | {"suspend_generation": 0}, [(1, False)]),
    ],
)
async def test_the_engine_is_told_what_the_object_asks_for(
    spec: dict[str, Any], fields: dict[str, Any], told: list[tuple[int, bool]]
) -> None:
    world = World()
    await world.see(script="s", **spec)
    await world.project(3, executor=EXECUTOR, **fields)
    assert world.runner.suspended == told


async def test_a_run_may_be_suspended_from_the_start() -> None:
    world = World()
    await world.see(script="s", suspend=True)
    assert world.runner.executed[0]["suspended"]


async def test_a_suspended_run_says_so_and_is_in_progress() -> None:
    world = World()
    await world.see(script="s", suspend=True)
    await world.project(3, executor=EXECUTOR, **SUSPENDED)
    world.now = NOW.replace(minute=1)
    await world.reconcile()
    status = world.cluster.writes[-1]
    told = [(each["type"], each["reason"], each["message"]) for each in status["conditions"]]
    message = "spec.suspend is true, since 2026-01-01T12:00:00Z; 0 steps recorded. Nothing new begins"
    assert told == [("Suspended", "Suspended", message), ("Reconciling", "Suspended", message)]
    assert status["phase"] == "Running"
    await world.project(4, executor=EXECUTOR, cancel_requested=True, **SUSPENDED)
    world.now = NOW.replace(minute=2)
    await world.reconcile()
    assert [each["reason"] for each in world.cluster.writes[-1]["conditions"]] == ["Cancelling"]


async def test_a_run_that_takes_no_more_toggles_says_so_and_goes_on() -> None:
    world = World()
    await world.see(script="s", suspend=True)
    world.runner.refuses_to_suspend = TooManySignals("its history has 30 bytes")
    await world.project(3, executor=EXECUTOR)
    world.now = NOW.replace(minute=1)
    await world.reconcile()
    (told,) = world.cluster.writes[-1]["conditions"]
    assert (told["type"], told["reason"], told["message"]) == (
        "Reconciling",
        "SuspendRefused",
        "its history has 30 bytes",
    )

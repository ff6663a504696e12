"""Suspending and resuming instances: recorded once, and only a resume queues anything."""

from __future__ import annotations

import pytest

from tests.fakes.events import KEY
from tests.fakes.sandbox import does, sleep, transition
from tests.fakes.world import HandDelivery, Wire, World, check
from workflow_operator.history import EventType, InstanceStatus, Origin
from workflow_operator.history.errors import TooManySignals
from workflow_operator.history.status import fold

T = EventType


async def project(world: World) -> None:
    """As a projector does."""
    status: InstanceStatus | None = None
    for event in await world.history():
        status = fold(status, event)
    assert status is not None
    await world.bus.write_status(status)


async def test_a_run_that_parks_is_suspended_and_goes_on_when_it_is_resumed() -> None:
    world = World(does(sleep(3600), transition("a")))
    await world.start()
    await world.drive_once()
    assert await world.runner.suspend(KEY, 2, suspend=True)
    # Its timer fires meanwhile.
    await world.drive_once()
    assert await world.types() == [T.STARTED, T.TIMER_STARTED, T.WAITING, T.SUSPENDED]
    assert not world.queue.entries
    assert await world.pull() is None
    assert await world.runner.suspend(KEY, 3, suspend=False)
    await world.drive_once()
    events = await world.history()
    check(events)
    assert [event.type for event in events][4:] == [T.RESUMED, T.CLAIMED, T.TIMER_FIRED, T.TRANSITION, T.SUCCEEDED]
    assert [event.version for event in events if event.type in (T.SUSPENDED, T.RESUMED)] == [2, 2]


async def test_what_is_asked_for_again_or_by_an_older_generation_does_nothing() -> None:
    world = World(does(sleep(3600)))
    await world.start()
    assert await world.runner.suspend(KEY, 5, suspend=True)
    assert not await world.runner.suspend(KEY, 5, suspend=True)
    assert not await world.runner.suspend(KEY, 4, suspend=False)
    assert await world.types() == [T.STARTED, T.SUSPENDED]


async def test_a_large_history_takes_a_resume_and_no_suspension() -> None:
    world = World(does(sleep(3600)), history_bytes=100)
    await world.start()
    assert await world.runner.suspend(KEY, 2, suspend=True)
    await project(world)
    with pytest.raises(TooManySignals, match=r"above half of 100 .WORKFLOW_OPERATOR_HISTORY_BYTES."):
        await world.runner.suspend(KEY, 3, suspend=True)
    assert await world.runner.suspend(KEY, 3, suspend=False)
    assert await world.types() == [T.STARTED, T.SUSPENDED, T.RESUMED]


async def test_of_a_history_that_is_projected_only_the_rest_is_read() -> None:
    world = World(does(sleep(3600)))
    await world.start()
    assert await world.runner.suspend(KEY, 5, suspend=True)
    await project(world)
    assert not await world.runner.suspend(KEY, 4, suspend=False)
    assert await world.runner.suspend(KEY, 6, suspend=False)
    assert not await world.runner.suspend(KEY, 6, suspend=True)
    assert await world.types() == [T.STARTED, T.SUSPENDED, T.RESUMED]


async def test_a_resume_that_was_recorded_and_not_queued_is_queued() -> None:
    world = World(does(transition("a")))
    await world.start()
    await world.runner.suspend(KEY, 2, suspend=True)
    await world.runner.suspend(KEY, 3, suspend=False)
    world.queue.entries.clear()
    assert not await world.runner.suspend(KEY, 3, suspend=False)
    assert list(world.queue.entries) == [KEY]


async def test_a_run_that_is_suspended_from_the_start_is_recorded_and_in_no_queue() -> None:
    world = World(does(transition("a")))
    origin = Origin(cluster="c", name="n", generation=7)
    for _ in range(2):
        await world.start(suspended=True, origin=origin)
    first, toggle = await world.history()
    assert (first.type, toggle.type, toggle.generation) == (T.STARTED, T.SUSPENDED, 7)
    assert not world.queue.entries
    await world.runner.suspend(KEY, 8, suspend=False)
    await world.drive_to_the_end()
    assert (await world.types())[-1] is T.SUCCEEDED


async def test_a_suspended_run_is_cancelled() -> None:
    world = World(does(transition("a")))
    await world.start(suspended=True)
    assert await world.runner.cancel(KEY, "deleted")
    await world.drive_once()
    assert (await world.types())[-1] is T.CANCELLED
    assert not await world.runner.suspend(KEY, 9, suspend=True)


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_script_that_is_suspended_while_it_runs_begins_nothing_new(resumed: bool) -> None:
    world = World(does(sleep(1), transition("a"), sleep(1), transition("b")))

    async def before(_: int, name: str) -> None:
        if name == "append" and (await world.types())[-1] is T.TIMER_STARTED:
            await world.runner.suspend(KEY, 2, suspend=True)
            if resumed:
                await world.runner.suspend(KEY, 3, suspend=False)

    await world.start()
    await world.drive_once("a", Wire(before=before), HandDelivery())
    types = await world.types()
    toggles = [T.SUSPENDED, T.RESUMED] if resumed else [T.SUSPENDED]
    assert types == [T.STARTED, T.TIMER_STARTED, *toggles, T.TIMER_FIRED, T.WAITING]
    if not resumed:
        assert (await world.history())[-1].wake_at is None
        await world.runner.suspend(KEY, 3, suspend=False)
    await world.drive_to_the_end()
    assert (await world.types())[-1] is T.SUCCEEDED

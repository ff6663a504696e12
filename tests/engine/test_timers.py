"""No timer outlives the instance that it would wake."""

from __future__ import annotations

from tests.fakes.events import KEY
from tests.fakes.sandbox import does, sleep
from tests.fakes.world import HandDelivery, Wire, World, driven
from workflow_operator.history import EventType

T = EventType


async def test_whoever_ends_a_sleeping_instance_drops_its_timer() -> None:
    world = World(does(sleep(600)))
    await driven(world)
    assert world.queue.timers
    await world.runner.cancel(KEY, "deleted")
    await world.drive_once("b")
    assert (await world.types())[-1] is T.CANCELLED
    assert not world.queue.timers
    assert not world.queue.entries


async def test_an_ended_instance_whose_end_did_not_get_to_its_timer_is_rid_of_it() -> None:
    world = World(does(sleep(600)))
    await driven(world)
    await world.append(T.CANCELLED, reason="deleted")
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    assert not world.queue.timers


async def test_who_parks_an_instance_that_ended_meanwhile_leaves_no_timer() -> None:
    world = World(does(sleep(600)))
    await world.start()

    async def before(_: int, name: str) -> None:
        if name == "enqueue_at":
            await world.append(T.CANCELLED, reason="deleted")

    await world.drive_once("a", Wire(before=before))
    assert not world.queue.timers
    assert not world.queue.entries

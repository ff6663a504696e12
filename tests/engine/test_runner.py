from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.events import KEY, plain
from tests.fakes.sandbox import ScriptBody, returns
from tests.fakes.world import Wire, World, check
from workflow_operator.engine import WorkflowRunner
from workflow_operator.history import EventType, InstanceKey, Json, Origin
from workflow_operator.history.errors import InvalidInput, Unavailable

T = EventType
ORIGIN = Origin(cluster="prod-1", name="nightly")


def script(given: Any) -> ScriptBody:
    return 1
    yield


def over(world: World, wire: Wire) -> WorkflowRunner:
    return WorkflowRunner(wire.over(world.bus), wire.over(world.queue), world.writer, world.limits)


async def test_execute_records_all_that_it_was_given_and_queues() -> None:
    world = World(script)
    given: dict[str, Any] = {"fn": "main", "args": {"a": 1}, "labels": {"user": "42"}, "origin": ORIGIN}
    drawn = await world.runner.execute("team-a", "source", **given)
    ((key, _),) = world.queue.entries.items()
    assert key.instance_id == drawn
    (event,) = await world.bus.query_history(key)
    assert (event.script, event.entrypoint, plain(event.input)) == ("source", "main", {"a": 1})
    assert (event.metadata, event.origin) == ({"user": "42"}, ORIGIN)


async def test_what_was_not_given_is_absent() -> None:
    world = World(script)
    await world.start()
    (event,) = await world.history()
    assert not any(event.has(field) for field in ("entrypoint", "input", "origin"))


@pytest.mark.parametrize("falsy", [0, False, "", [], {}])
async def test_a_falsy_input_is_an_input(falsy: Any) -> None:
    world = World(script)
    await world.start(args=falsy)
    (event,) = await world.history()
    assert event.has("input")
    assert plain(event.input) == falsy


async def test_execute_is_idempotent_for_the_same_instance() -> None:
    world = World(script)
    await asyncio.gather(*(world.start() for _ in range(5)))
    assert await world.types() == [T.STARTED]
    assert list(world.queue.entries) == [KEY]
    world.queue.entries.clear()
    await world.start()
    assert list(world.queue.entries) == [KEY], "a lost message is queued again"
    await world.drive_once()
    await world.start()
    assert not world.queue.entries, "an ended instance is not"
    assert await world.types() == [T.STARTED, T.SUCCEEDED]


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("cut_at", [1, 2])
async def test_execute_survives_the_loss_of_its_caller(cut_at: int, answered: bool) -> None:
    world = World(script)
    with pytest.raises(asyncio.CancelledError):
        await over(world, Wire(cut_at, answered=answered)).execute("team-a", "source", instance_id=KEY.instance_id)
    await world.start()
    await world.drive_to_the_end()
    check(await world.history())
    assert await world.types() == [T.STARTED, T.SUCCEEDED]


async def test_a_follower_that_lags_does_not_stop_execute() -> None:
    world = World(script)
    await world.start()

    async def lagging(_: int, name: str) -> None:
        if name == "query_history":
            # The follower that answers has not seen `started` yet.
            world.bus._commits.clear()

    world.queue.entries.clear()
    await over(world, Wire(before=lagging)).execute("team-a", "source", instance_id=KEY.instance_id)
    assert list(world.queue.entries) == [KEY]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"namespace": "a.b"}, "a.b"),
        ({"script": ""}, "0 characters"),
        ({"script": "x" * 65_537}, "65537 characters"),
        ({"args": "x" * 300_000}, "300002 bytes"),
        ({"args": float("nan")}, "no JSON form"),
        ({"args": {1, 2}}, "no JSON form"),
        ({"args": nested(150)}, "deeper than"),
        ({"args": nested(5000)}, "deeper than"),
    ],
    ids=lambda value: None,
)
async def test_what_execute_cannot_accept(given: dict[str, Any], text: str) -> None:
    world = World(script)
    with pytest.raises(InvalidInput, match=text):
        await world.runner.execute(**({"namespace": "team-a", "script": "source"} | given))
    assert not world.queue.entries


@pytest.mark.parametrize("operation", ["push_instance_event", "enqueue"])
async def test_execute_gives_up_when_nats_does_not_answer(operation: str) -> None:
    world = World(script, request_seconds=0.01)

    async def before(_: int, name: str) -> None:
        if name == operation:
            await asyncio.Event().wait()

    with pytest.raises(Unavailable, match=f"{KEY.instance_id}.*did not answer within 0.01 s"):
        await over(world, Wire(before=before)).execute("team-a", "source", instance_id=KEY.instance_id)


async def test_cancel_asks_once_and_queues() -> None:
    world = World(script)
    await world.start()
    world.queue.entries.clear()
    assert [await world.runner.cancel(KEY, reason) for reason in ("first", "second")] == [True, True]
    events = await world.history()
    assert [(event.type, event.reason) for event in events[1:]] == [(T.CANCEL_REQUESTED, "first")]
    assert list(world.queue.entries) == [KEY]


async def test_cancel_of_what_has_ended_or_never_was() -> None:
    world = World(script)
    assert not await world.runner.cancel(KEY, "x")
    await world.start()
    await world.drive_once()
    assert not await world.runner.cancel(KEY, "x")
    assert await world.types() == [T.STARTED, T.SUCCEEDED]


async def test_cancel_goes_behind_what_others_append_meanwhile() -> None:
    world = World(script)
    await world.start()

    async def before(_: int, name: str) -> None:
        if name == "push_instance_event" and len(await world.history()) < 3:
            await world.append(T.CLAIMED)

    assert await over(world, Wire(before=before)).cancel(KEY, "x")
    assert await world.types() == [T.STARTED, T.CLAIMED, T.CLAIMED, T.CANCEL_REQUESTED]
    check(await world.history())


async def test_instances_without_an_id_get_one_each() -> None:
    world = World(script)
    drawn = {await world.runner.execute("team-a", "source") for _ in range(3)}
    assert len(drawn) == 3
    assert all(isinstance(one, UUID) for one in drawn)


@pytest.mark.parametrize(
    ("given", "stored_bytes"),
    [([{"a": 1, "b": 2}] * 15_500, 217_001), ("漢" * 50_000, 150_002), (Json.of("\U0001f600" * 60_000), 240_002)],
    ids=["compact", "Chinese", "emoji"],
)
async def test_an_input_is_as_large_as_its_compact_utf_8(given: Any, stored_bytes: int) -> None:
    world = World(script)
    drawn = await world.runner.execute("team-a", "source", args=given)
    (event,) = await world.bus.query_history(InstanceKey("team-a", drawn))
    assert event.input is not None
    assert len(event.input) == stored_bytes


async def test_an_input_over_the_cap_is_told_with_its_size_and_the_setting() -> None:
    with pytest.raises(InvalidInput, match=r"has 300002 bytes .* at most 262144 \(WORKFLOW_OPERATOR_PAYLOAD_BYTES\)"):
        await World(script).runner.execute("team-a", "source", args="漢" * 100_000)


async def test_a_null_input_is_told_from_none() -> None:
    world = World(script)
    drawn = await world.runner.execute("team-a", "source", args=Json.NULL)
    (event,) = await world.bus.query_history(InstanceKey("team-a", drawn))
    assert event.input == Json.NULL


async def test_an_instance_that_was_started_and_not_queued_can_be_queued_by_anybody() -> None:
    world = World(returns)
    await world.start()
    world.queue.entries.clear()
    assert await world.runner.requeue(KEY)
    assert not await world.runner.requeue(KEY)
    await world.drive_once()
    assert (await world.types())[-1] is EventType.SUCCEEDED
    # Of one that has ended nothing comes.
    assert await world.runner.requeue(KEY)
    await world.drive_once()
    assert await world.types() == [EventType.STARTED, EventType.SUCCEEDED]
    assert not world.queue.entries

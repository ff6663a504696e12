"""No object, ConfigMap or status that anybody can write stops the runs of others."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from yarl import URL

from tests.fakes.clock import FakeClock
from tests.reconcile.world import EXECUTOR, NOW, OTHER, RUN, UID, World
from workflow_operator.handlers.listing import read_on
from workflow_operator.handlers.session import Listener, slim_line
from workflow_operator.history import StatusValue
from workflow_operator.reconcile import Announcer, RunKey, nats_problem

Comes = Callable[[World, dict[str, Any]], Awaitable[None]]
VICTIM = RunKey("default", "victim", str(OTHER))

STATUS: dict[str, Any] = {"observedGeneration": 1, "phase": "Running"}
CONDITION = {
    "type": "Reconciling",
    "status": "True",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "reason": "Queued",
    "message": "m",
}

ENDED = STATUS | {"phase": "Complete", "conditions": [CONDITION | {"type": "Finished"}]}

STATUSES = {
    "text": "x",
    "a list": [],
    "empty": {},
    "an end, and no more": {"phase": "Failed", "conditions": [{"type": "Finished", "status": "True"}]},
    "an end of another's instance": ENDED | {"instanceID": str(OTHER)},
    "an end of no instance": ENDED | {"instanceID": ["x"] * 1000},
    "an odd phase": {"phase": [], "conditions": [{"type": "Finished", "status": "True"}]},
    "an unknown phase": STATUS | {"phase": "Melted"},
    "numbers beyond all bounds": STATUS | {"steps": 1e300, "historySequence": 1e300, "observedGeneration": 10**40},
    "a sequence beyond int64": STATUS | {"historySequence": 2**63},
    "the last sequence": STATUS | {"historySequence": 2**63 - 1, "instanceID": RUN.uid},
    "the year 9999, west": STATUS | {"startTime": "9999-12-31T23:59:59-14:00"},
    "the year 1, east": STATUS | {"completionTime": "0001-01-01T00:00:00+14:00"},
    "the year 0": STATUS | {"startTime": "0000-01-01T00:00:00Z"},
    "no time": STATUS | {"startTime": "yesterday"},
    "another's instance": STATUS | {"instanceID": str(OTHER)},
    "no instance": STATUS | {"instanceID": "../../etc"},
    "large conditions": STATUS | {"conditions": [CONDITION | {"message": "m" * 1_000_000}]},
    "odd conditions": STATUS | {"conditions": [CONDITION | {"type": 7, "reason": None}]},
    "the same condition often": STATUS | {"conditions": [CONDITION] * 1000},
    "conditions of objects": STATUS | {"conditions": {"a": 1}},
    "an odd error": STATUS | {"error": [1, {"name": 1}]},
    "large values": STATUS | {"memory": [[]] * 100_000, "output": {"": {}}},
    "an end without a word": STATUS | {"phase": "Failed"},
}

METADATA: dict[str, dict[str, Any]] = {
    "a version that is no number": {"resourceVersion": "v7-beta"},
    "a version beyond all bounds": {"resourceVersion": "9" * 5000},
    "a name at its limit": {"name": "a" * 253},
    "odd labels": {"labels": {"a": 7, "b": None}},
    "no labels": {"labels": None},
    "odd annotations": {"annotations": [1]},
    "large annotations": {"annotations": {"a": "x" * 250_000}},
    "a generation of text": {"generation": "one"},
    "created in the year 9999": {"creationTimestamp": "9999-12-31T23:59:59-14:00"},
    "created some day": {"creationTimestamp": "some day"},
    "a uid that is none": {"uid": "no-uuid"},
}


@pytest.fixture
async def world() -> World:
    return World()


async def watched(world: World, run: dict[str, Any]) -> None:
    """The object as the watch hands it over; what it cannot read it leaves out."""
    listener = Listener(*[lambda _: None] * 3, world.objects.appeared, world.objects.knows, lambda _: None)
    line = slim_line(json.dumps({"type": "MODIFIED", "object": run}).encode(), listener)
    if line is None:
        return
    try:
        world.objects.object_changed(json.loads(line)["object"])
    except ValueError:
        return


async def listed(world: World, run: dict[str, Any]) -> None:
    """The object as a list of an operator that starts hands it over."""

    def over(runs: list[dict[str, Any]]) -> None:
        for each in runs:
            with suppress(Exception):
                world.objects.object_over(each)

    def get(url: URL) -> Any:
        raise AssertionError(f"{url} is of no use: there is one page")

    listener = Listener(
        lambda _: None, lambda _: None, over, world.objects.appeared, world.objects.knows, lambda _: None
    )
    body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [run]}).encode()
    for each in (await read_on(body, URL("http://localhost/runs"), get, listener))["items"]:
        with suppress(ValueError):
            world.objects.object_changed(each)


async def everything(world: World) -> None:
    """All that is done about the runs that are known, by every loop that walks over them."""
    for key in list(world.objects):
        # The loop logs what is raised, and tries that one again.
        with nullcontext() if key == VICTIM else suppress(Exception):
            await world.reconciler.reconcile(key)
    clock = FakeClock(NOW)
    world.outage.begin(nats_problem("nobody answers", refused=False), NOW - timedelta(hours=1))
    announcer = Announcer(world.objects, world.writer, world.outage, clock.now, clock.sleep)
    announcer.shares = world.share
    await clock.until(announcer.announce())
    world.outage.end()
    world.objects.phases()


async def assert_the_victim_is_served(world: World) -> None:
    world.objects.object_changed(world.cluster.create("victim", OTHER))
    await everything(world)
    assert any(each["namespace"] == "default" and each["origin"].name == "victim" for each in world.runner.executed)
    told = world.cluster.objects["default", "victim"]["status"]["conditions"]
    assert [each["reason"] for each in told] == ["NatsUnavailable"]


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES.keys())
@pytest.mark.parametrize("comes", [watched, listed])
async def test_a_forged_status_stops_nobody(world: World, status: Any, comes: Comes) -> None:
    run = world.cluster.create("run", UID)
    await comes(world, run | {"status": status})
    await assert_the_victim_is_served(world)


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES.keys())
@pytest.mark.parametrize("comes", [watched, listed])
async def test_a_status_that_is_forged_later_stops_nobody(world: World, status: Any, comes: Comes) -> None:
    await world.see()
    await world.project(2, executor=EXECUTOR)
    await comes(world, world.cluster.touch("run") | {"status": status})
    await assert_the_victim_is_served(world)
    await everything(world)


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA.keys())
@pytest.mark.parametrize("status", [STATUS, ENDED], ids=["going on", "over"])
@pytest.mark.parametrize("comes", [watched, listed])
async def test_odd_metadata_stop_nobody(
    world: World, metadata: dict[str, Any], status: dict[str, Any], comes: Comes
) -> None:
    run = world.cluster.create("run", UID)
    run["metadata"] |= metadata
    world.cluster.objects["default", run["metadata"]["name"]] = run
    await comes(world, run | {"status": status})
    await assert_the_victim_is_served(world)


CONFIG_MAPS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "null": {"data": None, "binaryData": None},
    "a number": {"data": {"main.js": 7}},
    "a list": {"data": ["main.js"]},
    "null in it": {"data": {"main.js": None}},
    "both": {"data": {"main.js": "1"}, "binaryData": {"main.js": "AA=="}},
    "large": {"data": {"main.js": "x" * 1_000_000}},
    "half of a character": {"data": {"main.js": "\ud800"}},
}


@pytest.mark.parametrize("found", CONFIG_MAPS.values(), ids=CONFIG_MAPS.keys())
async def test_an_odd_config_map_stops_nobody(world: World, found: dict[str, Any]) -> None:
    source = {"configMapKeyRef": {"name": "scripts", "key": "main.js"}}
    world.cluster.config_maps["default", "scripts"] = found
    world.objects.object_changed(world.cluster.create("run", UID, scriptFrom=source))
    await assert_the_victim_is_served(world)


@pytest.mark.parametrize("uid", [UID, OTHER, UUID(int=0)])
async def test_the_end_of_a_forged_run_is_no_end_of_another(world: World, uid: UUID) -> None:
    await world.see()
    await watched(world, world.cluster.create("forged", uid) | {"status": STATUS | {"instanceID": RUN.uid}})
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    assert world.cluster.objects["default", "run"]["status"]["phase"] == "Complete"

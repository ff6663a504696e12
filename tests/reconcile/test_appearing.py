"""A run that is created while the replica watches is started from what the watch has said of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.reconcile.world import NOW, World
from workflow_operator.history import StatusValue
from workflow_operator.reconcile import nats_problem

AWAY = nats_problem("nobody answers", refused=False)


@pytest.fixture
async def world() -> World:
    return World()


async def refuse(*_: Any) -> Any:
    raise AssertionError("nobody knows of the run")


async def test_a_run_that_appears_is_started_without_asking_anybody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.bus, "query_statuses", refuse)
    await world.appears(script="function main() {}", input={"a": None})
    [executed] = world.runner.executed
    assert (executed["script"], executed["args"]) == ("function main() {}", {"a": None})
    assert (world.cluster.reads, world.cluster.looks) == (0, 0)


async def test_what_cannot_be_started_at_once_is_read_when_it_can(world: World) -> None:
    await world.appears(scriptFrom={"configMapKeyRef": {"name": "scripts", "key": "main.js"}})
    world.cluster.config_maps["default", "scripts"] = {"data": {"main.js": "1"}}
    await world.reconcile()
    assert ([each["script"] for each in world.runner.executed], world.cluster.reads) == (["1"], 1)


async def test_what_was_there_before_is_read_and_asked_for(world: World) -> None:
    await world.see()
    assert (len(world.runner.executed), world.cluster.reads) == (1, 1)


async def test_that_it_was_begun_is_written_once_that_has_lasted(world: World) -> None:
    await world.appears(script="1")
    for seconds, written in ((0, 0), (9, 0), (10, 1), (11, 1)):
        world.now = NOW + timedelta(seconds=seconds)
        await world.reconcile()
        assert len(world.cluster.writes) == written, seconds
    assert world.cluster.writes[0]["conditions"][0]["reason"] == "Starting"


async def test_an_outage_is_told_of_at_once_where_a_run_was_begun_before_it(world: World) -> None:
    world.outage.begin(AWAY, NOW - timedelta(minutes=1))
    await world.appears(script="1")
    assert [each["conditions"][0]["reason"] for each in world.cluster.writes] == [AWAY.reason]


async def test_the_watch_may_be_sooner_than_the_answer_to_a_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.appears(script="1")
    put, known = world.cluster.put_status, []

    async def answered_late(*write: Any) -> str:
        version = await put(*write)
        known.append(world.objects.knows(world.cluster.objects["default", "run"]))
        return version

    monkeypatch.setattr(world.cluster, "put_status", answered_late)
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    assert (known, world.phases) == ([True], ["Complete"])

"""Instances whose object was deleted while nobody watched."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.clock import settle
from tests.reconcile.world import INSTANCE, NOW, OTHER, UID, World, instance
from workflow_operator.history import InstanceKey, InstanceStatus, Origin, StatusValue
from workflow_operator.history.errors import UnknownFormat
from workflow_operator.reconcile import OrphanSweeper
from workflow_operator.reconcile.orphans import PERIOD_SECONDS, YOUNG_SECONDS

AGE = timedelta(seconds=YOUNG_SECONDS)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
def sweeper(world: World) -> OrphanSweeper:
    return OrphanSweeper(world.cluster, world.runner, world.share, "this-cluster", lambda: NOW + AGE)


def pending(cluster: str = "this-cluster", **fields: Any) -> InstanceStatus:
    return instance(1, origin=Origin(cluster=cluster, name="run"), **fields)


async def test_an_instance_without_its_object_is_cancelled(world: World, sweeper: OrphanSweeper) -> None:
    sweeper.observe(pending())
    await sweeper.sweep()
    assert world.runner.cancelled == [INSTANCE]


async def test_a_history_that_cannot_be_read_is_told_of_and_keeps_no_other_from_being_swept(
    world: World, sweeper: OrphanSweeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = InstanceKey("default", OTHER)
    cancel = world.runner.cancel

    async def fail_for_one(key: InstanceKey, reason: str) -> bool:
        if key == unreadable:
            raise UnknownFormat("an event of a newer release")
        return await cancel(key, reason)

    monkeypatch.setattr(world.runner, "cancel", fail_for_one)
    sweeper.observe(pending().replace(instance_id=OTHER))
    sweeper.observe(pending())
    await sweeper.sweep()
    assert world.runner.cancelled == [INSTANCE]
    assert f"instance {unreadable}: not cancelled: an event of a newer release" in caplog.text


async def test_an_object_recreated_under_the_name_is_another(world: World, sweeper: OrphanSweeper) -> None:
    world.cluster.create("run", OTHER)
    sweeper.observe(pending())
    await sweeper.sweep()
    assert world.runner.cancelled == [INSTANCE]


async def test_an_object_that_is_there_is_left(world: World, sweeper: OrphanSweeper) -> None:
    world.cluster.create("run", UID)
    sweeper.observe(pending())
    await sweeper.sweep()
    assert world.runner.cancelled == []


async def test_a_list_that_lags_is_not_believed(
    world: World, sweeper: OrphanSweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> frozenset[str]:
        return frozenset()

    world.cluster.create("run", UID)
    monkeypatch.setattr(world.cluster, "run_uids", nothing)
    sweeper.observe(pending())
    await sweeper.sweep()
    assert (world.runner.cancelled, world.cluster.looks) == ([], 1)


async def test_of_few_each_is_asked_for_and_of_many_a_list(
    world: World, sweeper: OrphanSweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = 0
    run_uids = world.cluster.run_uids

    async def counted() -> frozenset[str]:
        nonlocal lists
        lists += 1
        return await run_uids()

    monkeypatch.setattr(world.cluster, "run_uids", counted)
    world.cluster.create("run", UID)
    sweeper.observe(pending())
    await sweeper.sweep()
    assert (lists, world.cluster.looks) == (0, 1)
    for number in range(50):
        sweeper.observe(pending().replace(instance_id=UUID(int=number)))
    await sweeper.sweep()
    assert (lists, world.cluster.looks) == (1, 51), "what the list holds is not asked for"
    assert len(world.runner.cancelled) == 50


async def test_what_has_just_begun_is_looked_for_once_it_is_older(world: World) -> None:
    now = NOW
    sweeper = OrphanSweeper(world.cluster, world.runner, world.share, "this-cluster", lambda: now)
    sweeper.observe(pending())
    await sweeper.sweep()
    assert (world.runner.cancelled, world.cluster.looks) == ([], 0)
    now = NOW + AGE
    await sweeper.sweep()
    assert world.runner.cancelled == [INSTANCE]


@pytest.mark.parametrize(("age", "pause"), [(AGE, PERIOD_SECONDS), (timedelta(), YOUNG_SECONDS)])
async def test_the_next_look_is_sooner_while_some_are_young(
    world: World, monkeypatch: pytest.MonkeyPatch, age: timedelta, pause: float
) -> None:
    pauses: list[float] = []

    async def wait_for(waiting: Any, seconds: float) -> None:
        waiting.close()
        pauses.append(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr("workflow_operator.reconcile.orphans.asyncio.wait_for", wait_for)
    sweeper = OrphanSweeper(world.cluster, world.runner, world.share, "this-cluster", lambda: NOW + age)
    sweeper.observe(pending())
    running = asyncio.create_task(sweeper.run())
    await settle()
    running.cancel()
    assert pauses == [pause]


async def test_a_gained_share_is_swept_at_once(world: World, sweeper: OrphanSweeper) -> None:
    world.share.mine = False
    sweeper.observe(pending())
    running = asyncio.create_task(sweeper.run())
    await settle()
    assert world.runner.cancelled == []
    world.share.mine = True
    sweeper.shares_changed()
    await settle()
    assert world.runner.cancelled == [INSTANCE]
    running.cancel()


@pytest.mark.parametrize("why", ["another cluster", "ended", "another replica's"])
async def test_what_is_not_ours_to_judge(world: World, sweeper: OrphanSweeper, why: str) -> None:
    sweeper.observe(pending(cluster="another" if why == "another cluster" else "this-cluster"))
    if why == "ended":
        sweeper.observe(pending(status=StatusValue.COMPLETE, ended_at=NOW))
    world.share.mine = why != "another replica's"
    await sweeper.sweep()
    assert world.runner.cancelled == []

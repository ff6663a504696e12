"""Instances that go on although their object shows an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.clock import settle
from tests.reconcile.world import FINISHED, INSTANCE, NOW, OTHER, UID, World, instance
from workflow_operator.history import InstanceKey, InstanceStatus, Origin, StatusValue
from workflow_operator.history.errors import Unavailable
from workflow_operator.reconcile import OutlivedInstances


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def outlived(world: World) -> AsyncIterator[OutlivedInstances]:
    outlived = OutlivedInstances(world.objects, world.runner, grace_seconds=0)
    running = asyncio.create_task(outlived.run())
    yield outlived
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def pending(cluster: str = "this-cluster", name: str = "run") -> InstanceStatus:
    return instance(1, origin=Origin(cluster=cluster, name=name))


def ended(world: World, name: str = "run", uid: UUID = UID, **status: str) -> dict[str, Any]:
    """An object of that name that shows an end."""
    run = world.cluster.create(name, uid)
    run["status"] = {"observedGeneration": 1, "phase": "Complete", "conditions": [FINISHED], **status}
    world.objects.object_changed(run)
    return run


@pytest.mark.parametrize("cluster", ["this-cluster", "another-cluster"])
@pytest.mark.parametrize("object_first", [True, False])
async def test_it_is_cancelled(world: World, outlived: OutlivedInstances, cluster: str, object_first: bool) -> None:
    if object_first:
        ended(world)
    outlived.observe(pending(cluster))
    await settle()
    assert world.runner.cancelled == ([INSTANCE] if object_first else [])
    if not object_first:
        ended(world)
    await settle()
    assert world.runner.cancelled == [INSTANCE]


async def test_so_is_that_of_a_copy(world: World, outlived: OutlivedInstances) -> None:
    outlived.observe(pending())
    ended(world, uid=OTHER, instanceID=str(UID))
    await settle()
    assert world.runner.cancelled == [INSTANCE]


async def test_a_copy_that_is_gone_says_nothing(world: World, outlived: OutlivedInstances) -> None:
    world.objects.object_deleted(ended(world, uid=OTHER, instanceID=str(UID)))
    outlived.observe(pending())
    await settle()
    assert world.runner.cancelled == []


async def test_an_end_whose_status_is_on_its_way_is_waited_for(world: World, outlived: OutlivedInstances) -> None:
    outlived.observe(pending())
    ended(world)
    outlived.observe(instance(2, origin=pending().origin, status=StatusValue.COMPLETE, ended_at=NOW))
    await settle()
    assert world.runner.cancelled == []


async def test_nobody_else_can_end_it(world: World, outlived: OutlivedInstances) -> None:
    outlived.observe(pending())
    outlived.observe(instance(1))
    ended(world, name="another", uid=OTHER, instanceID=str(UID))
    world.objects.object_changed(world.cluster.create("run", UID))
    await settle()
    assert world.runner.cancelled == []


async def test_it_is_tried_again(world: World, outlived: OutlivedInstances, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[InstanceKey] = []
    failures: list[Exception] = [Unavailable("no answer"), ValueError("a bug")]

    async def cancel(key: InstanceKey, _: str) -> bool:
        if failures:
            raise failures.pop()
        done.append(key)
        return True

    monkeypatch.setattr(world.runner, "cancel", cancel)
    monkeypatch.setattr("workflow_operator.reconcile.objects.queue._FIRST_BACKOFF_SECONDS", 0.0)
    ended(world)
    outlived.observe(pending())
    await settle()
    await settle()
    assert (failures, done) == ([], [INSTANCE])

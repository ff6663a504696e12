"""What is measured of runs and their objects."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.reconcile.world import EXECUTOR, NOW, World
from workflow_operator import metrics
from workflow_operator.history import StatusValue
from workflow_operator.history.errors import Unavailable
from workflow_operator.metrics import MetricWrapperBase
from workflow_operator.reconcile import count_runs
from workflow_operator.reconcile.measures import COUNT_SECONDS


def value(metric: MetricWrapperBase, suffix: str = "", **labels: str) -> float:
    (family,) = metric.collect()
    name = f"{family.name}{suffix}"
    return sum(each.value for each in family.samples if each.name == name and each.labels == labels)


@pytest.fixture
async def world() -> World:
    return World()


async def test_an_end_is_measured_once_by_who_shows_it(world: World) -> None:
    def measured() -> tuple[float, ...]:
        return (
            value(metrics.RUN_DURATION, "_count", phase="Complete"),
            value(metrics.RUN_DURATION, "_sum", phase="Complete"),
            value(metrics.MIRROR_LAG, "_count"),
            value(metrics.MIRROR_LAG, "_sum"),
        )

    before = measured()
    await world.see()
    world.now = NOW + timedelta(seconds=40)
    await world.project(2, executor=EXECUTOR)
    ended = NOW + timedelta(seconds=60.5)
    world.now = ended + timedelta(seconds=2)
    world.cluster.touch("run")
    await world.project(3, status=StatusValue.COMPLETE, ended_at=ended)
    assert measured() == before, "it has not landed"
    await world.reconcile()
    await world.reconcile()
    assert tuple(now - was for now, was in zip(measured(), before, strict=True)) == (1, 60.5, 1, 2)


async def test_runs_are_counted_by_phase_in_the_share(world: World) -> None:
    def counted() -> dict[str, float]:
        (family,) = metrics.RUNS.collect()
        return {each.labels["phase"]: each.value for each in family.samples if each.value}

    clock = FakeClock(NOW)
    for number in range(3):
        world.objects.object_changed(world.cluster.create(f"run-{number}", uuid4()))
    await world.see()
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    counting = asyncio.create_task(count_runs(world.objects, world.share, clock.sleep))
    await settle()
    assert counted() == {"Pending": 3, "Complete": 1}
    world.objects.object_deleted(world.cluster.objects.pop(("default", "run")))
    await clock.advance(COUNT_SECONDS)
    assert counted() == {"Pending": 3}
    world.share.mine = False
    await clock.advance(COUNT_SECONDS)
    assert counted() == {}
    counting.cancel()


async def test_what_waits_and_what_fails_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(world.bus, "query_statuses", away)
    before = value(metrics.RECONCILE_ERRORS, "_total")
    world.objects.object_changed(world.cluster.create("run", uuid4()))
    assert value(metrics.RECONCILE_QUEUE_DEPTH) == 1
    working = asyncio.create_task(world.reconciler.run(1))
    await settle()
    assert value(metrics.RECONCILE_QUEUE_DEPTH) == 0
    assert value(metrics.RECONCILE_ERRORS, "_total") == before + 1
    working.cancel()

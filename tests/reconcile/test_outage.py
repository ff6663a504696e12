"""NATS is away, and the runs that wait for it say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.cluster import MemoryCluster
from tests.reconcile.world import EXECUTOR, NOW, RUN, UID, Share, World
from workflow_operator.history import StatusValue
from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.reconcile import Announcer, nats_problem
from workflow_operator.reconcile.objects.store import read
from workflow_operator.reconcile.showing.outage import GRACE, PACE_SECONDS, REFUSED_GRACE, UNSERVED, Outage, waits
from workflow_operator.resources.run import WorkflowRun

AWAY = nats_problem("NATS at nats://nats:4222: nobody answers", refused=False)
REFUSED = nats_problem("NATS at nats://nats:4222: the server does not accept user 'a'", refused=True)
SECOND = timedelta(seconds=1)


def shown(reason: str, kind: str = "Reconciling") -> dict[str, Any]:
    moment = "2026-01-01T00:00:00Z"
    condition = {"type": kind, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": moment}
    return {"observedGeneration": 1, "phase": "Pending", "conditions": [condition]}


def run_with(status: dict[str, Any]) -> WorkflowRun:
    run = MemoryCluster().create("run", UID)
    return read(run | {"status": status or run["status"]})[0]


STARTED = {"observedGeneration": 1, "phase": "Running", "instanceID": RUN.uid}


@pytest.mark.parametrize(
    ("status", "owned", "expected"),
    [
        pytest.param({}, True, True, id="in the share"),
        pytest.param({}, False, False, id="in another's"),
        pytest.param(STARTED, True, True, id="started, in the share"),
        pytest.param({}, None, True, id="share unknown, and nobody has begun it"),
        pytest.param(STARTED, None, False, id="share unknown, and somebody has begun it"),
        pytest.param(shown("ConfigMapNotFound"), True, False, id="waits for something else"),
        pytest.param(shown("InvalidSpec", "Stalled"), True, False, id="stalled"),
        pytest.param(shown("NatsUnavailable"), True, False, id="says so"),
        pytest.param(shown("NatsRefused"), True, True, id="says another reason"),
        pytest.param(shown("Queued"), True, True, id="was queued"),
    ],
)
def test_waits(status: dict[str, Any], owned: bool | None, expected: bool) -> None:
    assert waits(run_with(status), AWAY, NOW, owned=owned) is expected


def test_a_young_run_may_be_served_by_others() -> None:
    run = run_with({})
    created = run.metadata.creation_timestamp
    ages = (UNSERVED - SECOND, UNSERVED)
    assert [waits(run, AWAY, created + age, owned=None) for age in ages] == [False, True]
    assert waits(run, AWAY, created, owned=True)


@pytest.mark.parametrize("problem", [AWAY, REFUSED], ids=lambda problem: problem.reason)
def test_a_run_is_not_stalled_by_it(problem: Any) -> None:
    assert not problem.stalled
    assert "nats://nats:4222" in problem.message


def test_an_outage_counts_once_it_lasts() -> None:
    outage = Outage()
    assert outage.lasting(NOW) is None
    outage.begin(AWAY, NOW)
    outage.begin(REFUSED, NOW + GRACE / 2)
    assert outage.lasting(NOW + GRACE - SECOND) is None
    assert outage.lasting(NOW + GRACE) == REFUSED
    outage.end()
    assert outage.lasting(NOW + GRACE) is None
    outage.begin(AWAY, NOW + GRACE)
    assert outage.lasting(NOW + GRACE) is None, "it is another one"


def test_what_jetstream_refuses_counts_soon_and_holds_nothing_up() -> None:
    outage = Outage()
    assert not outage.refusing("full (10047)", NOW)
    assert not outage.refusing("full, for another run", NOW + SECOND)
    assert outage.lasting(NOW + SECOND) is None
    problem = outage.lasting(NOW + REFUSED_GRACE)
    assert problem is not None
    assert (problem.reason, problem.stalled, "full (10047)" in problem.message) == ("StorageFull", False, True)
    assert outage._over.is_set(), "what is refused is tried on"
    outage.begin(AWAY, NOW)
    assert outage.lasting(NOW + GRACE) == AWAY, "an outage says more"
    outage.end()
    assert outage.refusing(None, NOW)
    assert not outage.refusing(None, NOW)
    assert outage.lasting(NOW + GRACE) is None


async def test_a_run_that_has_begun_says_so_too_and_keeps_its_values() -> None:
    world = World()
    await world.see()
    await world.project(2, executor=EXECUTOR, memory={"a": 1})
    world.now = NOW + 2 * SECOND
    await world.reconcile()
    world.outage.refusing("full (10047)", world.now)
    world.now = NOW + 20 * SECOND
    await world.reconcile()
    last = world.cluster.writes[-1]
    assert [(each["type"], each["reason"]) for each in last["conditions"]] == [("Reconciling", "StorageFull")]
    assert (last["phase"], last["memory"]) == ("Running", {"a": 1})
    world.outage.refusing(None, world.now)
    world.now = NOW + 40 * SECOND
    await world.reconcile()
    assert world.cluster.writes[-1]["conditions"][0]["reason"] == "Executing"


class TestAnnouncer:
    RUNS = 20

    @pytest.fixture
    async def clock(self) -> FakeClock:
        return FakeClock(NOW)

    @pytest.fixture
    async def world(self, clock: FakeClock) -> World:
        world = World()
        for number in range(self.RUNS):
            world.objects.object_changed(world.cluster.create(f"run-{number}", uuid4()))
        return world

    @pytest.fixture
    async def announcer(self, world: World, clock: FakeClock) -> AsyncIterator[Announcer]:
        announcer = Announcer(world.objects, world.writer, world.outage, clock.now, clock.sleep)
        announcer.shares = world.share
        running = asyncio.create_task(announcer.run())
        yield announcer
        running.cancel()

    def reasons(self, world: World) -> list[str]:
        return [each["conditions"][0]["reason"] for each in world.cluster.writes]

    @pytest.mark.usefixtures("announcer")
    async def test_every_run_says_so_once_and_at_a_pace(self, world: World, clock: FakeClock) -> None:
        world.outage.begin(AWAY, clock.now())
        await clock.advance(GRACE.total_seconds() - 1)
        assert world.cluster.writes == []
        await clock.advance(2)
        assert 1 <= len(world.cluster.writes) <= 1 + 2 / PACE_SECONDS
        assert len(world.cluster.writes) < self.RUNS
        await clock.advance(600)
        assert self.reasons(world) == ["NatsUnavailable"] * self.RUNS
        assert {each["phase"] for each in world.cluster.writes} == {"Pending"}

    @pytest.mark.usefixtures("announcer")
    async def test_what_another_replica_knows_better_is_left(self, world: World, clock: FakeClock) -> None:
        world.outage.begin(AWAY, clock.now())
        await clock.advance(60)
        run = world.cluster.objects["default", "run-0"]
        run["status"] = STARTED
        world.objects.object_changed(world.cluster.touch("run-0"))
        await clock.advance(600)
        assert len(world.cluster.writes) == self.RUNS
        assert run["status"] == STARTED

    @pytest.mark.usefixtures("announcer")
    async def test_another_outage_is_told_too(self, world: World, clock: FakeClock) -> None:
        world.outage.begin(AWAY, clock.now())
        await clock.advance(60)
        world.outage.end()
        await clock.advance(60)
        for name in ("run-0", "run-1"):
            world.cluster.objects["default", name]["status"] = STARTED
            world.objects.object_changed(world.cluster.touch(name))
        world.outage.begin(AWAY, clock.now())
        await clock.advance(60)
        assert len(world.cluster.writes) == self.RUNS + 2

    @pytest.mark.usefixtures("announcer")
    async def test_another_reason_is_told_too(self, world: World, clock: FakeClock) -> None:
        world.outage.begin(AWAY, clock.now())
        await clock.advance(60)
        world.outage.begin(REFUSED, clock.now())
        await clock.advance(60)
        assert self.reasons(world) == ["NatsUnavailable"] * self.RUNS + ["NatsRefused"] * self.RUNS

    @pytest.mark.usefixtures("announcer")
    async def test_nothing_more_is_said_once_it_is_over(self, world: World, clock: FakeClock) -> None:
        world.outage.begin(AWAY, clock.now())
        await clock.advance(GRACE.total_seconds() + 2)
        world.outage.end()
        said = len(world.cluster.writes)
        await clock.advance(600)
        assert 0 < said == len(world.cluster.writes) < self.RUNS

    async def test_runs_in_the_shares_of_others_are_left_to_them(
        self, world: World, clock: FakeClock, announcer: Announcer
    ) -> None:
        world.share.mine = False
        world.outage.begin(AWAY, clock.now())
        await clock.advance(60)
        announcer.shares = Share()
        await clock.advance(60)
        assert len(world.cluster.writes) == self.RUNS

    @pytest.mark.usefixtures("announcer")
    async def test_an_api_server_that_is_away_is_not_asked_without_end(
        self, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = 0

        async def away(*_: object, **_options: object) -> None:
            nonlocal asked
            asked += 1
            raise Unavailable("no answer")

        with monkeypatch.context() as patched:
            patched.setattr(world.cluster, "put_status", away)
            world.outage.begin(AWAY, clock.now())
            await clock.advance(100)
            assert 1 < asked <= 30
        await clock.advance(100)
        assert self.reasons(world) == ["NatsUnavailable"] * self.RUNS

    @pytest.mark.usefixtures("announcer")
    @pytest.mark.parametrize("refusal", [InvalidInput("not this one"), ValueError("what is written is not read")])
    async def test_a_run_that_refuses_its_status_does_not_hold_up_the_others(
        self, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, refusal: Exception
    ) -> None:
        put = world.cluster.put_status

        async def refuse_one(namespace: str, name: str, *rest: Any) -> str:
            if name == "run-3":
                raise refusal
            return await put(namespace, name, *rest)

        monkeypatch.setattr(world.cluster, "put_status", refuse_one)
        world.outage.begin(AWAY, clock.now())
        await clock.advance(600)
        assert len(world.cluster.writes) == self.RUNS - 1


class TestReconciling:
    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        world = World()
        running = asyncio.create_task(world.reconciler.run(2))
        yield world
        running.cancel()

    async def test_nothing_is_decided_while_nats_is_away(self, world: World) -> None:
        world.outage.begin(AWAY, NOW)
        world.objects.object_changed(world.cluster.create("run", uuid4()))
        await settle()
        assert world.runner.executed == []
        world.outage.end()
        await settle()
        assert len(world.runner.executed) == 1

    async def test_the_condition_goes_with_the_outage(self, world: World) -> None:
        await world.see()
        run = read(world.cluster.objects["default", "run"])[0]
        announcer = Announcer(world.objects, world.writer, world.outage, lambda: NOW, asyncio.sleep)
        announcer.shares = world.share
        world.outage.begin(AWAY, NOW - GRACE)
        await announcer.announce()
        assert run.metadata.resource_version != world.version
        world.outage.end()
        await world.project(2, executor=EXECUTOR)
        await settle()
        world.now += timedelta(seconds=2)
        await world.reconcile()
        await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
        reasons = [[each["reason"] for each in written["conditions"]] for written in world.cluster.writes]
        assert reasons == [["NatsUnavailable"], ["Executing"], ["Succeeded", "Succeeded"]]

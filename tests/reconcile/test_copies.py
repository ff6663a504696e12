"""Objects that were restored from a backup: their uid is new, and their status names the instance of the original."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.cluster import MemoryCluster
from tests.fakes.records import event
from tests.fakes.records import status as instance_status
from tests.reconcile.world import EXECUTOR, FINISHED, INSTANCE, NOW, OTHER, UID, World, instance
from workflow_operator.history import EventType, InstanceKey, InstanceStatus, Origin, StatusValue
from workflow_operator.reconcile import OrphanSweeper, RunKey
from workflow_operator.reconcile.objects.store import instance_of, is_copy, key_of, read

COPY = RunKey("default", "run", str(OTHER))
ITS_OWN = InstanceKey("default", OTHER)
ORIGIN = Origin(cluster="the-cluster-before", name="run")
SHOWN: dict[str, Any] = {"observedGeneration": 1, "phase": "Running", "instanceID": str(UID), "steps": 3}


def later() -> datetime:
    return NOW + timedelta(minutes=1)


def asleep(**fields: Any) -> InstanceStatus:
    return instance(5, executor=EXECUTOR, steps=3, **({"origin": ORIGIN} | fields))


class Restored(World):
    """A copy named ``run`` of an object with the uid ``UID``."""

    async def restore(self, **status: Any) -> None:
        run = self.cluster.create("run", OTHER)
        self.cluster.objects["default", "run"]["status"] = run["status"] = SHOWN | status
        self.objects.object_changed(run)
        await self.reconcile()

    async def reconcile(self) -> None:
        await self.reconciler.reconcile(COPY)

    async def history(self, origin: Origin = ORIGIN) -> None:
        first = await self.bus.push_instance_event(event(INSTANCE, origin=origin), 0)
        await self.bus.push_instance_event(event(INSTANCE, EventType.CLAIMED, executor=EXECUTOR), first.sequence)

    async def delete(self) -> None:
        self.objects.object_deleted(self.cluster.objects.pop(("default", "run")))
        await self.reconcile()

    @property
    def stalled(self) -> list[str]:
        conditions = self.cluster.writes[-1]["conditions"]
        return [each["reason"] for each in conditions if each["type"] == "Stalled"]


@pytest.fixture
async def world() -> Restored:
    return Restored()


@pytest.mark.parametrize(
    ("uid", "named", "instance", "copied"),
    [
        pytest.param(UID, None, INSTANCE, False, id="never started"),
        pytest.param(UID, str(UID), INSTANCE, False, id="an original"),
        pytest.param(OTHER, str(UID), INSTANCE, True, id="a copy"),
        pytest.param(OTHER, str(UID).upper(), INSTANCE, True, id="a copy, spelt otherwise"),
        pytest.param(OTHER, "../../etc", None, None, id="no instance at all"),
    ],
)
def test_which_instance_an_object_stands_for(
    uid: UUID, named: str | None, instance: InstanceKey | None, copied: bool | None
) -> None:
    run = MemoryCluster().create("run", uid)
    if named is not None:
        run["status"]["instanceID"] = named
    parsed = read(run)[0]
    assert instance_of(parsed) == instance
    if instance is not None:
        assert is_copy(key_of(parsed), instance) is copied


@pytest.mark.parametrize("phase", ["Complete", "Failed", "Cancelled"])
async def test_a_finished_run_is_left_alone(world: Restored, phase: str) -> None:
    await world.restore(phase=phase, conditions=[FINISHED])
    await world.delete()
    assert (world.runner.executed, world.runner.cancelled, world.cluster.writes) == ([], [], [])


async def test_an_unfinished_run_goes_on_as_the_instance_that_its_status_names(world: Restored) -> None:
    await world.bus.write_status(asleep())
    await world.restore()
    assert world.cluster.writes[-1]["instanceID"] == str(UID)
    await world.project(9, origin=ORIGIN, status=StatusValue.COMPLETE, ended_at=NOW, steps=4)
    assert [(each["phase"], each["steps"]) for each in world.cluster.writes[-1:]] == [("Complete", 4)]
    assert world.runner.executed == []


async def test_an_instance_without_a_history_is_not_run_again(world: Restored) -> None:
    await world.restore()
    assert (world.stalled, world.runner.executed) == (["HistoryLost"], [])
    assert world.cluster.writes[-1] | {"conditions": []} == SHOWN | {"conditions": []}


async def test_a_status_that_is_not_folded_yet_is_waited_for(world: Restored) -> None:
    await world.history()
    await world.restore(conditions=[])
    assert world.runner.executed == []
    assert all("Stalled" not in str(each) for each in world.cluster.writes)


@pytest.mark.parametrize(
    "origin", [Origin(cluster="this-cluster", name="another"), None], ids=["another's", "nobody's"]
)
async def test_an_instance_of_another_run_is_neither_shown_nor_cancelled(
    world: Restored, origin: Origin | None
) -> None:
    await world.bus.write_status(asleep(origin=origin, memory="a secret of the other run"))
    if origin is not None:
        await world.history(origin)
    await world.restore()
    assert world.stalled == ["ForeignInstance"]
    assert "secret" not in str(world.cluster.writes)
    await world.delete()
    assert (world.runner.executed, world.runner.cancelled) == ([], [])


async def test_what_names_no_instance_is_told_and_not_run(world: Restored) -> None:
    await world.restore(instanceID="../../etc")
    assert world.stalled == ["ForeignInstance"]
    await world.delete()
    assert (world.runner.executed, world.runner.cancelled) == ([], [])


async def test_deleting_the_copy_cancels_the_instance(world: Restored) -> None:
    await world.history()
    await world.restore()
    await world.delete()
    assert world.runner.cancelled == [INSTANCE]


async def test_the_run_that_was_copied_goes_on_beside_a_false_copy(world: Restored) -> None:
    original = RunKey("default", "original", str(UID))
    await world.bus.write_status(asleep(origin=Origin(cluster="this-cluster", name="original")))
    world.objects.object_changed(world.cluster.create("original", UID))
    await world.restore()
    world.reconciler.status_changed(
        asleep(origin=Origin(cluster="this-cluster", name="original"), status=StatusValue.COMPLETE, ended_at=NOW)
    )
    await world.reconciler.reconcile(original)
    await world.reconcile()
    phases = {name: run["status"]["phase"] for (_, name), run in world.cluster.objects.items()}
    assert phases == {"original": "Complete", "run": "Running"}
    assert world.stalled == []


async def test_a_status_that_arrives_late_leaves_the_instance_of_the_uid(world: Restored) -> None:
    world.objects.object_changed(world.cluster.create("run", OTHER))
    run = world.cluster.touch("run")
    world.cluster.objects["default", "run"]["status"] = run["status"] = SHOWN
    world.objects.object_changed(run)
    assert world.objects.standing_for(ITS_OWN) == ()
    assert world.objects.standing_for(INSTANCE) == (COPY,)
    world.objects.object_deleted(run)
    assert world.objects.standing_for(INSTANCE) == ()


async def test_a_status_that_arrives_late_is_believed_over_what_ran_before(world: Restored) -> None:
    world.objects.object_changed(world.cluster.create("run", OTHER))
    accident = instance_status(ITS_OWN, 2, created_at=NOW, origin=ORIGIN, executor=EXECUTOR)
    world.reconciler.status_changed(accident)
    await world.bus.write_status(asleep(status=StatusValue.COMPLETE, ended_at=NOW))
    run = world.cluster.touch("run")
    world.cluster.objects["default", "run"]["status"] = run["status"] = SHOWN
    world.objects.object_changed(run)
    await world.reconcile()
    assert [(each["phase"], each["instanceID"]) for each in world.cluster.writes] == [("Complete", str(UID))]


class TestRolledBack:
    """The history came from a backup that is older than what the object shows."""

    SHOWN = {"historySequence": 40}

    async def test_a_history_that_ends_before_is_mirrored(self, world: Restored) -> None:
        await world.history()
        await world.bus.write_status(asleep())
        await world.restore(**self.SHOWN)
        await world.project(7, origin=ORIGIN, status=StatusValue.COMPLETE, ended_at=NOW)
        last = world.cluster.writes[-1]
        assert (last["phase"], last["historySequence"]) == ("Complete", 40), "the API server refuses a lower one"

    async def test_a_status_that_lags_behind_its_history_is_not(self, world: Restored) -> None:
        await world.history()
        await world.bus.write_status(instance(1, origin=ORIGIN, executor=EXECUTOR, steps=1))
        await world.restore(historySequence=2)
        assert world.cluster.writes == []


class TestOrphans:
    @pytest.fixture
    def sweeper(self, world: Restored) -> OrphanSweeper:
        return OrphanSweeper(world.cluster, world.runner, world.share, "this-cluster", later, ("default",))

    async def test_a_copy_keeps_its_instance(self, world: Restored, sweeper: OrphanSweeper) -> None:
        await world.restore()
        sweeper.observe(asleep(origin=Origin(cluster="this-cluster", name="run")))
        await sweeper.sweep()
        assert (world.runner.cancelled, world.cluster.looks) == ([], 1)

    async def test_an_object_that_stands_for_another_instance_does_not(
        self, world: Restored, sweeper: OrphanSweeper
    ) -> None:
        await world.restore(instanceID=str(UUID(int=7)))
        sweeper.observe(asleep(origin=Origin(cluster="this-cluster", name="run")))
        await sweeper.sweep()
        assert world.runner.cancelled == [INSTANCE]

    async def test_an_object_that_cannot_be_read_keeps_its_instance(
        self, world: Restored, sweeper: OrphanSweeper
    ) -> None:
        world.cluster.create("run", OTHER)
        world.cluster.objects["default", "run"]["status"] = {"phase": "OfALaterRelease"}
        sweeper.observe(asleep(origin=Origin(cluster="this-cluster", name="run")))
        await sweeper.sweep()
        assert (world.runner.cancelled, world.cluster.looks) == ([], 1)

    async def test_what_is_not_in_a_watched_namespace_is_left(self, world: Restored) -> None:
        sweeper = OrphanSweeper(world.cluster, world.runner, world.share, "this-cluster", later, ("team-a", "team-b"))
        sweeper.observe(asleep(origin=Origin(cluster="this-cluster", name="run")))
        await sweeper.sweep()
        assert (world.runner.cancelled, world.cluster.looks) == ([], 0)

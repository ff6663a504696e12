"""The reconciler against a cluster, a bus and an engine in memory."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import settle
from tests.fakes.cluster import SCRIPT
from tests.fakes.records import event
from tests.reconcile.world import EXECUTOR, INSTANCE, NOW, OTHER, RUN, UID, World, instance
from workflow_operator.history import InstanceKey, InstanceStatus, Origin, StatusValue
from workflow_operator.history.errors import InvalidInput, NotSerializable, PayloadTooLarge, UnknownFormat
from workflow_operator.reconcile import OrphanSweeper


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_new_run_is_started_as_its_own_instance(world: World) -> None:
    await world.see(script=SCRIPT, entrypoint="go", input={"n": 1})
    [started] = world.runner.executed
    assert started == {
        "namespace": "default",
        "script": SCRIPT,
        "fn": "go",
        "args": {"n": 1},
        "origin": Origin(cluster="this-cluster", name="run", generation=1),
    }
    assert world.phases == []


async def test_a_run_that_ends_at_once_costs_one_write(world: World) -> None:
    await world.see()
    await world.project(2, executor=EXECUTOR)
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    await world.reconciler.reconcile(RUN)
    assert world.phases == ["Complete"]


async def test_a_short_run_costs_at_most_three(world: World) -> None:
    await world.see()
    for second in range(9):
        world.now = NOW + timedelta(seconds=second)
        await world.project(2 + second, executor=EXECUTOR, steps=second)
    await world.project(20, status=StatusValue.COMPLETE, ended_at=NOW, steps=9)
    assert world.phases == ["Running", "Complete"]


async def test_a_long_run_is_written_every_ten_seconds(world: World) -> None:
    await world.see()
    for second in range(60):
        world.now = NOW + timedelta(seconds=second)
        await world.project(2 + second, executor=EXECUTOR, steps=second)
    assert [written["steps"] for written in world.cluster.writes] == [2, 12, 22, 32, 42, 52]


async def test_runs_of_others_are_left_to_them_until_the_shares_change(world: World) -> None:
    world.share.mine = False
    await world.see()
    assert world.runner.executed == []
    world.share.mine = True
    world.reconciler.shares_changed()
    await world.reconciler.reconcile(RUN)
    assert len(world.runner.executed) == 1


async def test_an_instance_that_ran_before_this_replica_started_is_mirrored(world: World) -> None:
    await world.bus.write_status(instance(9, status=StatusValue.COMPLETE, ended_at=NOW))
    await world.see()
    assert (world.phases, world.runner.executed) == (["Complete"], [])


async def test_a_finished_run_is_left_alone(world: World) -> None:
    await world.see()
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    world.objects.object_changed(world.cluster.touch("run"))
    await world.reconciler.reconcile(RUN)
    assert (world.phases, len(world.runner.executed)) == (["Complete"], 1)


async def test_a_deleted_run_is_cancelled_once(world: World) -> None:
    await world.see()
    world.objects.object_deleted(world.cluster.objects.pop(("default", "run")))
    await world.reconciler.reconcile(RUN)
    await world.reconciler.reconcile(RUN)
    assert world.runner.cancelled == [INSTANCE]


async def test_deleting_a_finished_run_cancels_nothing(world: World) -> None:
    await world.see()
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    world.objects.object_deleted(world.cluster.objects.pop(("default", "run")))
    await world.reconciler.reconcile(RUN)
    assert world.runner.cancelled == []


async def test_deleting_a_run_that_ended_unseen_cancels_nothing(world: World) -> None:
    await world.see()
    run = world.cluster.objects.pop(("default", "run"))
    run["status"]["phase"] = "Complete"
    world.objects.object_deleted(run)
    await world.reconciler.reconcile(RUN)
    assert world.runner.cancelled == []


async def test_a_write_over_a_changed_object_looks_again_and_lands(world: World) -> None:
    await world.see()
    world.cluster.touch("run")
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    assert world.phases == []
    await world.reconciler.reconcile(RUN)
    assert world.phases == ["Complete"]


async def test_a_refusal_of_an_outdated_write_is_no_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.see()
    world.cluster.touch("run")
    with monkeypatch.context() as patched:
        patched.setattr(world.cluster, "patch_status", refuse)
        await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    await world.reconciler.reconcile(RUN)
    assert world.phases == ["Complete"]


async def test_a_refusal_of_a_write_to_the_object_as_it_is_is_raised(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.see()
    monkeypatch.setattr(world.cluster, "patch_status", refuse)
    with pytest.raises(InvalidInput, match="historySequence never decreases"):
        await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)


async def refuse(*_: object) -> None:
    raise InvalidInput("status.historySequence never decreases")


async def test_a_write_to_a_recreated_object_never_lands(world: World) -> None:
    await world.see()
    world.cluster.create("run", OTHER)
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    await world.reconciler.reconcile(RUN)
    assert world.phases == []
    assert world.runner.cancelled == [INSTANCE], "the object of this instance is gone"


async def test_a_missing_config_map_is_told_and_waited_for(world: World) -> None:
    await world.see(scriptFrom={"configMapKeyRef": {"name": "scripts", "key": "main.js"}})
    [written] = world.cluster.writes
    assert written["phase"] == "Pending"
    assert written["conditions"][0]["message"] == (
        "ConfigMap default/scripts does not exist; the run starts when it appears"
    )
    world.cluster.config_maps["default", "scripts"] = {"data": {"main.js": SCRIPT}}
    await world.reconciler.reconcile(RUN)
    assert [started["script"] for started in world.runner.executed] == [SCRIPT]


@pytest.mark.parametrize(
    ("config_map", "condition", "words"),
    [
        ({}, "Reconciling", "ConfigMap default/scripts has no key 'main.js' in data"),
        ({"data": {"main.js": ""}}, "Stalled", "the script has 0 characters; expected 1 to 65536"),
        ({"data": {"main.js": "x" * 65537}}, "Stalled", "the script has 65537 characters; expected 1 to 65536"),
    ],
)
async def test_a_config_map_without_a_usable_script(
    world: World, config_map: dict[str, Any], condition: str, words: str
) -> None:
    world.cluster.config_maps["default", "scripts"] = config_map
    await world.see(scriptFrom={"configMapKeyRef": {"name": "scripts", "key": "main.js"}})
    [written] = world.cluster.writes
    assert written["conditions"][0]["type"] == condition
    assert words in written["conditions"][0]["message"]


async def test_what_the_engine_refuses_is_told(world: World) -> None:
    world.runner.refusal = InvalidInput("the input is too large")
    await world.see()
    assert [c["message"] for c in world.cluster.writes[0]["conditions"]] == ["the input is too large"]


def stalled(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["reason"], each["message"]) for each in status["conditions"] if each["type"] == "Stalled"]


@pytest.mark.parametrize("refusal", [PayloadTooLarge("1 MiB at most"), NotSerializable("too deep")])
async def test_what_no_history_can_hold_is_told(world: World, refusal: Exception) -> None:
    world.runner.refusal = refusal
    await world.see()
    assert stalled(world.cluster.writes[0]) == [("InvalidInput", str(refusal))]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"script": SCRIPT, "input": nested(101)}, "nested deeper than 100 levels"),
        ({"script": SCRIPT, "input": nested(20_000)}, "nested deeper than 100 levels"),
        ({"script": ["of a later release"]}, "Input should be a valid string"),
    ],
)
async def test_a_spec_that_cannot_be_read_is_told_and_not_run(world: World, spec: dict[str, Any], words: str) -> None:
    run = world.cluster.create("run", UID)
    run["spec"] = spec
    world.objects.object_changed(run)
    await world.reconciler.reconcile(RUN)
    [(reason, message)] = stalled(world.cluster.writes[0])
    assert (reason, words in message) == ("InvalidSpec", True)
    assert world.runner.executed == []


async def test_the_deepest_input_that_a_history_holds_is_run(world: World) -> None:
    await world.see(script=SCRIPT, input=nested(98))
    assert len(world.runner.executed) == 1


async def test_a_run_whose_history_is_gone_is_told_of_and_not_run_again(world: World) -> None:
    await world.see()
    world.now = NOW + timedelta(seconds=1)
    await world.project(5, executor=EXECUTOR, steps=3)
    world.now = NOW + timedelta(seconds=9)
    await world.reconciler.reconcile(RUN)
    started = len(world.runner.executed)
    world.reconciler.transport_changed()
    await world.reconciler.reconcile(RUN)
    first, second = world.cluster.writes
    assert [reason for reason, _ in stalled(second)] == ["HistoryLost"]
    assert {name: second[name] for name in first if name != "conditions"} == {
        name: first[name] for name in first if name != "conditions"
    }
    assert len(world.runner.executed) == started


async def test_a_run_whose_status_alone_is_gone_is_waited_for(world: World) -> None:
    await world.see()
    world.now = NOW + timedelta(seconds=1)
    await world.project(5, executor=EXECUTOR)
    world.now = NOW + timedelta(seconds=9)
    await world.reconciler.reconcile(RUN)
    await world.bus.push_instance_event(event(INSTANCE), 0)
    world.reconciler.transport_changed()
    world.now = NOW + timedelta(seconds=60)
    await world.reconciler.reconcile(RUN)
    assert [stalled(each) for each in world.cluster.writes] == [[] for _ in world.cluster.writes]
    assert len(world.runner.executed) == 1


async def test_an_older_sighting_does_not_undo_a_newer_one(world: World) -> None:
    old = world.cluster.create("run", UID)
    world.objects.object_changed(world.cluster.touch("run"))
    world.objects.object_changed(old)
    await world.reconciler.reconcile(RUN)
    await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    assert world.cluster.gets == 0, "a write with the old version would have had to look again"


async def test_a_deletion_that_another_replica_has_acted_on_is_forgotten(world: World) -> None:
    world.share.mine = False
    run = world.cluster.create("run", UID)
    world.objects.object_changed(run)
    world.objects.object_deleted(run)
    assert list(world.objects) == [RUN]
    cancelled = {"status": StatusValue.CANCELLED, "ended_at": NOW, "origin": Origin(cluster="c", name="run")}
    world.reconciler.status_changed(instance(2, **cancelled))
    assert list(world.objects) == []


class TestOrphans:
    @pytest.fixture
    def sweeper(self, world: World) -> OrphanSweeper:
        return OrphanSweeper(world.cluster, world.runner, world.share, "this-cluster")

    def pending(self, cluster: str = "this-cluster", **fields: Any) -> InstanceStatus:
        return instance(1, origin=Origin(cluster=cluster, name="run"), **fields)

    async def test_an_instance_without_its_object_is_cancelled(self, world: World, sweeper: OrphanSweeper) -> None:
        sweeper.observe(self.pending())
        await sweeper.sweep()
        assert world.runner.cancelled == [INSTANCE]

    async def test_a_history_that_cannot_be_read_is_told_of_and_keeps_no_other_from_being_swept(
        self, world: World, sweeper: OrphanSweeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        unreadable = InstanceKey("default", OTHER)
        cancel = world.runner.cancel

        async def fail_for_one(key: InstanceKey, reason: str) -> bool:
            if key == unreadable:
                raise UnknownFormat("an event of a newer release")
            return await cancel(key, reason)

        monkeypatch.setattr(world.runner, "cancel", fail_for_one)
        sweeper.observe(self.pending().replace(instance_id=OTHER))
        sweeper.observe(self.pending())
        await sweeper.sweep()
        assert world.runner.cancelled == [INSTANCE]
        assert f"instance {unreadable}: not cancelled: an event of a newer release" in caplog.text

    async def test_an_object_recreated_under_the_name_is_another(self, world: World, sweeper: OrphanSweeper) -> None:
        world.cluster.create("run", OTHER)
        sweeper.observe(self.pending())
        await sweeper.sweep()
        assert world.runner.cancelled == [INSTANCE]

    async def test_an_object_that_is_there_is_left(self, world: World, sweeper: OrphanSweeper) -> None:
        world.cluster.create("run", UID)
        sweeper.observe(self.pending())
        await sweeper.sweep()
        assert world.runner.cancelled == []

    async def test_a_list_that_lags_is_not_believed(
        self, world: World, sweeper: OrphanSweeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def nothing() -> frozenset[str]:
            return frozenset()

        world.cluster.create("run", UID)
        monkeypatch.setattr(world.cluster, "run_uids", nothing)
        sweeper.observe(self.pending())
        await sweeper.sweep()
        assert (world.runner.cancelled, world.cluster.gets) == ([], 1)

    async def test_a_gained_share_is_swept_at_once(self, world: World, sweeper: OrphanSweeper) -> None:
        world.share.mine = False
        sweeper.observe(self.pending())
        running = asyncio.create_task(sweeper.run())
        await settle()
        assert world.runner.cancelled == []
        world.share.mine = True
        sweeper.shares_changed()
        await settle()
        assert world.runner.cancelled == [INSTANCE]
        running.cancel()

    @pytest.mark.parametrize("why", ["another cluster", "ended", "another replica's"])
    async def test_what_is_not_ours_to_judge(self, world: World, sweeper: OrphanSweeper, why: str) -> None:
        sweeper.observe(self.pending(cluster="another" if why == "another cluster" else "this-cluster"))
        if why == "ended":
            sweeper.observe(self.pending(status=StatusValue.COMPLETE, ended_at=NOW))
        world.share.mine = why != "another replica's"
        await sweeper.sweep()
        assert world.runner.cancelled == []

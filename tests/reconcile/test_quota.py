"""Which runs of a namespace may begin."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.fakes.records import status as instance_status
from tests.reconcile.world import NOW, World
from workflow_operator.history import InstanceKey, InstanceStatus, Origin, StatusValue
from workflow_operator.reconcile import NamespaceQuota, QuotaLimits, RunKey

MIB = 1024 * 1024


def key(number: int, namespace: str = "a") -> RunKey:
    return RunKey(namespace, f"run-{number}", str(UUID(int=number)))


def seen(number: int, *, over: bool = False, size: int | None = 0, cluster: str = "here") -> InstanceStatus:
    end = {"status": StatusValue.COMPLETE, "ended_at": NOW} if over else {}
    origin = Origin(cluster=cluster, name=f"run-{number}")
    return instance_status(InstanceKey("a", UUID(int=number)), 1, origin=origin, history_bytes=size, **end)


class Room:
    """A quota, and the runs that it woke. Run n is n seconds younger than run 0."""

    def __init__(self, active: int = 2, size: int = 10 * MIB, started_objects: int = 0) -> None:
        self.started_objects = started_objects
        self.quota = NamespaceQuota(QuotaLimits(active, size), "here", lambda _: self.started_objects)
        self.woken: list[str] = []
        self.quota.on_room(lambda run: self.woken.append(run.name))
        self.quota.all_counted()

    def admits(self, number: int, namespace: str = "a") -> bool:
        return self.quota.admit(key(number, namespace), NOW + timedelta(seconds=number)) is None


def test_what_is_over_the_limit_waits_and_says_why() -> None:
    room = Room()
    assert [room.admits(number) for number in (1, 2, 3)] == [True, True, False]
    problem = room.quota.admit(key(3), NOW)
    assert problem is not None
    assert (problem.reason, problem.stalled, problem.failed) == ("QuotaExceeded", False, False)
    assert "namespace a has 2 active runs; at most 2" in problem.message
    assert "WORKFLOW_OPERATOR_NAMESPACE_ACTIVE_RUNS" in problem.message
    assert room.admits(4, "b"), "another namespace has its own"


def test_a_run_that_was_admitted_stays_so() -> None:
    room = Room(active=1)
    assert [room.admits(1), room.admits(1)] == [True, True]


def test_an_end_wakes_the_oldest_one_and_no_other() -> None:
    room = Room()
    for number in (1, 2, 5, 4, 3):
        room.admits(number)
    room.quota.observe(seen(1))
    assert room.woken == []
    room.quota.observe(seen(1, over=True))
    assert room.woken == ["run-3"]
    assert not room.admits(4), "the room is for an older one"
    assert room.admits(3)
    room.quota.observe(seen(1, over=True))
    assert room.woken == ["run-3"], "told twice of the same end"


def test_a_younger_run_does_not_pass_those_that_wait() -> None:
    room = Room(active=1)
    room.admits(1)
    room.admits(2)
    room.quota.observe(seen(1, over=True))
    assert not room.admits(9)
    assert room.admits(2)


def test_runs_that_other_replicas_started_count() -> None:
    room = Room()
    for number in (1, 2):
        room.quota.observe(seen(number))
    assert not room.admits(3)


def test_instances_of_another_cluster_do_not() -> None:
    room = Room(active=1)
    room.quota.observe(seen(1, cluster="there"))
    assert room.admits(2)


def test_bytes_of_active_histories_are_bounded() -> None:
    room = Room(active=100)
    room.quota.observe(seen(1, size=6 * MIB))
    assert room.admits(2)
    room.quota.observe(seen(2, size=4 * MIB))
    problem = room.quota.admit(key(3), NOW)
    assert problem is not None
    assert "have 10 MiB; new ones begin below 10 MiB (WORKFLOW_OPERATOR_NAMESPACE_HISTORY_BYTES)" in problem.message
    room.quota.observe(seen(1, over=True, size=6 * MIB))
    assert room.woken == ["run-3"]
    assert room.admits(3)


def test_sizes_that_an_older_release_did_not_count_are_none() -> None:
    room = Room(active=100, size=1)
    room.quota.observe(seen(1, size=None))
    assert room.admits(2)


def test_an_object_that_goes_makes_room_only_if_it_had_not_begun() -> None:
    room = Room(active=1)
    room.admits(1)
    room.admits(2)
    room.quota.forget(key(2))
    room.quota.forget(key(1))
    assert (room.woken, room.admits(3)) == ([], True)
    room.quota.observe(seen(3, size=7))
    room.quota.forget(key(3))
    assert not room.admits(4), "its instance is still being cancelled"


def test_an_object_that_shows_an_end_makes_room_though_its_status_was_missed() -> None:
    room = Room(active=1)
    room.quota.observe(seen(1, size=7))
    assert not room.admits(2)
    room.quota.ended(key(1))
    assert (room.woken, room.admits(2)) == (["run-2"], True)


def test_before_all_are_counted_the_objects_tell() -> None:
    room = Room()
    quota = NamespaceQuota(QuotaLimits(2, MIB), "here", lambda _: room.started_objects)
    woken: list[RunKey] = []
    quota.on_room(woken.append)
    room.started_objects = 2
    assert quota.admit(key(3), NOW) is not None
    quota.observe(seen(1))
    quota.all_counted()
    assert woken == [key(3)]
    assert quota.admit(key(3), NOW) is None


def test_runs_that_others_have_by_now_hold_up_nobody() -> None:
    room = Room(active=1)
    for number in (1, 2, 3):
        room.admits(number)
    room.quota.shares_changed()
    room.quota.observe(seen(1, over=True))
    assert room.admits(3)


def test_nothing_is_kept_of_a_namespace_that_is_empty() -> None:
    room = Room()
    for number in range(1, 50):
        room.admits(number)
        room.quota.observe(seen(number, over=True))
        room.quota.forget(key(number))
    assert not room.quota._namespaces


def test_who_leaves_while_others_wait_makes_way_for_them() -> None:
    room = Room(active=1)
    room.admits(1)
    for number in (2, 3):
        assert not room.admits(number)
    room.quota.observe(seen(1, over=True))
    assert (room.woken, room.admits(3)) == (["run-2"], False)
    room.quota.forget(key(2))
    assert (room.woken, room.admits(3)) == (["run-2", "run-3"], True)


def test_thousands_that_wait_are_not_searched_for_each_that_goes() -> None:
    compared = 0

    class Name(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str(self) == str(other)

        __hash__ = str.__hash__

    room = Room(active=1)
    room.admits(1)
    waiting = [RunKey("a", Name(f"run-{number}"), str(UUID(int=number))) for number in range(2, 2002)]
    for number, each in enumerate(waiting):
        assert room.quota.admit(each, NOW + timedelta(seconds=number)) is not None
    compared = 0
    for each in waiting:
        room.quota.forget(each)
    assert compared < 20 * len(waiting)


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_run_over_the_quota_waits_says_so_and_begins_when_there_is_room(world: World) -> None:
    origin = Origin(cluster="this-cluster", name="other")
    others = [instance_status(InstanceKey("default", UUID(int=n)), 1, origin=origin) for n in range(10)]
    for each in others:
        world.quota.observe(each)
    world.quota.all_counted()
    await world.see()
    [written] = world.cluster.writes
    assert (written["phase"], written["conditions"][0]["reason"]) == ("Pending", "QuotaExceeded")
    assert (world.runner.executed, world.cluster.reads) == ([], 0), "nothing is read or recorded"
    world.quota.observe(others[0].replace(status=StatusValue.COMPLETE, ended_at=NOW))
    await world.reconcile()
    assert len(world.runner.executed) == 1


FORGED = [
    {"observedGeneration": 1, "phase": "Pending", "instanceID": "no-instance"},
    {"observedGeneration": 1, "phase": "Pending", "instanceID": str(UUID(int=99))},
    {"observedGeneration": 1, "phase": "Melted"},
]


@pytest.mark.parametrize("status", FORGED, ids=["no instance", "no history", "unreadable"])
async def test_a_waiting_run_with_a_forged_status_holds_up_none_behind_it(
    world: World, status: dict[str, object]
) -> None:
    origin = Origin(cluster="this-cluster", name="other")
    others = [instance_status(InstanceKey("default", UUID(int=n)), 1, origin=origin) for n in range(10)]
    for each in others:
        world.quota.observe(each)
    world.quota.all_counted()
    await world.see()
    later = RunKey("default", "later", str(UUID(int=77)))
    assert world.quota.admit(later, NOW + timedelta(days=1)) is not None
    world.objects.object_changed(world.cluster.touch("run") | {"status": status})
    await world.reconcile()
    world.quota.observe(others[0].replace(status=StatusValue.COMPLETE, ended_at=NOW))
    assert world.quota.admit(later, NOW + timedelta(days=1)) is None

"""What a replica remembers of the objects that it has seen."""

import json
from typing import Any

import pytest

from tests.fakes.cluster import MemoryCluster
from tests.reconcile.world import FINISHED, OTHER, RUN, UID
from workflow_operator.history import InstanceKey
from workflow_operator.reconcile import ObjectStore, RunKey
from workflow_operator.resources.run import Phase
from workflow_operator.resources.sighting import shows_end


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


def over(run: dict[str, Any]) -> dict[str, Any]:
    return run | {"status": {"observedGeneration": 1, "phase": "Complete", "conditions": [FINISHED]}}


def test_a_run_that_appears_begins_first_once(cluster: MemoryCluster) -> None:
    objects = ObjectStore()
    objects.object_changed(cluster.create("run", UID), appeared=True)
    objects.object_changed(cluster.touch("run"))
    assert [objects.begins_first(RUN), objects.begins_first(RUN)] == [True, False]


@pytest.mark.parametrize("appeared", [False, True])
def test_a_run_that_was_listed_has_not_appeared(cluster: MemoryCluster, appeared: bool) -> None:
    objects = ObjectStore()
    objects.object_changed(cluster.create("run", UID))
    objects.object_changed(cluster.touch("run"), appeared=appeared)
    assert not objects.begins_first(RUN)


def test_nothing_is_kept_of_an_appearance_whose_run_is_gone_or_over(cluster: MemoryCluster) -> None:
    objects = ObjectStore()
    run = cluster.create("run", UID)
    objects.object_changed(run, appeared=True)
    objects.object_deleted(run)
    assert not objects.begins_first(RUN)
    objects = ObjectStore()
    objects.object_changed(cluster.touch("run"), appeared=True)
    objects.object_changed(over(cluster.touch("run")))
    assert not objects.begins_first(RUN)


def text(run: dict[str, Any]) -> memoryview:
    return memoryview(json.dumps(run).encode())


def seen(objects: ObjectStore, run: dict[str, Any]) -> None:
    objects.appeared(run, text(run))
    objects.object_changed(run, appeared=True)


def test_the_text_of_what_appears_is_kept_once(cluster: MemoryCluster) -> None:
    objects = ObjectStore()
    run = cluster.create("run", UID)
    seen(objects, run)
    assert [objects.take_text(RUN), objects.take_text(RUN)] == [bytes(text(run)), None]


@pytest.mark.parametrize("what", ["changed", "over", "deleted", "left to others"])
def test_a_text_is_dropped_with_what_it_was_kept_for(cluster: MemoryCluster, what: str) -> None:
    objects = ObjectStore()
    run = cluster.create("run", UID)
    seen(objects, run)
    match what:
        case "changed":
            objects.object_changed(cluster.touch("run"))
        case "over":
            objects.object_changed(over(cluster.touch("run")))
        case "deleted":
            objects.object_deleted(run)
        case _:
            objects.left_to_others(RUN)
    assert objects.take_text(RUN) is None
    assert objects.is_new(RUN) is (what == "changed")


@pytest.mark.parametrize("run", [{"metadata": {}}, {"metadata": {"uid": "u"}}])
def test_what_has_no_name_is_not_known(run: dict[str, Any]) -> None:
    objects = ObjectStore()
    objects.appeared(run, text(run))
    assert not objects.knows(run)


def test_a_change_is_known_once_it_was_taken_in(cluster: MemoryCluster) -> None:
    objects = ObjectStore()
    objects.object_changed(cluster.create("run", UID))
    changed = cluster.touch("run")
    assert not objects.knows(changed)
    objects.object_changed(changed)
    assert objects.knows(changed)
    assert not objects.knows(cluster.touch("run"))


def test_no_change_of_a_run_that_is_over_is_news(cluster: MemoryCluster) -> None:
    objects = ObjectStore()
    cluster.create("run", UID)
    objects.object_changed(over(cluster.touch("run")))
    assert objects.knows(over(cluster.touch("run")))


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="its own instance"),
        pytest.param({"instanceID": str(UID)}, id="its own instance, and says so"),
        pytest.param({"instanceID": str(OTHER)}, id="a copy"),
        pytest.param({"instanceID": "none"}, id="no instance"),
        pytest.param({"phase": "Failed"}, id="failed"),
    ],
)
@pytest.mark.parametrize("before", ["nothing", "appeared", "going on", "over", "deleted", "later"])
def test_a_run_that_a_list_shows_as_over_is_as_over_as_any(
    cluster: MemoryCluster, before: str, status: dict[str, Any]
) -> None:
    ways = ObjectStore(), ObjectStore()
    told: list[list[RunKey]] = [[], []]
    run = cluster.create("run", UID)
    for objects, keys in zip(ways, told, strict=True):
        objects.on_change(keys.append)
        if before == "appeared":
            seen(objects, run)
        elif before != "nothing":
            objects.object_changed(over(run) if before == "over" else run)
        if before == "deleted":
            objects.object_deleted(run)
    ended = over(cluster.touch("run"))
    ended["status"] |= status
    if before == "later":
        for objects in ways:
            objects.object_changed(cluster.touch("run"))
    assert shows_end(ended)
    ways[0].object_changed(ended)
    ways[1].object_over(ended)

    def found(objects: ObjectStore) -> list[object]:
        instances = [InstanceKey(RUN.namespace, each) for each in (UID, OTHER)]
        return [
            objects.phases(),
            list(objects),
            objects.is_over(RUN),
            objects.is_new(RUN),
            objects.take_text(RUN),
            [objects.shows_end_of(each, RUN.name) for each in instances],
            [objects.standing_for(each) for each in instances],
        ]

    assert found(ways[0]) == found(ways[1])
    assert told[0] == told[1]


def test_what_is_being_written_is_known_before_it_is_answered(cluster: MemoryCluster) -> None:
    objects = ObjectStore()
    objects.object_changed(cluster.create("run", UID))
    run = objects.get(RUN)
    assert run is not None
    status = run.status.model_copy(update={"history_sequence": 7, "phase": Phase.RUNNING})

    def shown(phase: str, sequence: int) -> dict[str, Any]:
        return cluster.touch("run") | {"status": {"phase": phase, "historySequence": sequence}}

    with objects.writing(run, status):
        assert not objects.knows(cluster.touch("run")), "somebody else was first"
        assert not objects.knows(shown("Running", 6))
        assert not objects.knows(shown("Pending", 7))
        assert objects.knows(shown("Running", 7))
        assert not objects.knows(shown("Running", 7)), "somebody else has changed it since"
    with objects.writing(run, status):
        pass
    assert not objects.knows(shown("Running", 7))

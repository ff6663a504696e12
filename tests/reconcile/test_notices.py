"""What is worth a Kubernetes Event, and how it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from tests.fakes.clock import settle
from tests.fakes.cluster import MemoryCluster
from tests.reconcile.world import NOW, UID, World
from workflow_operator.history import ErrorInfo, StatusValue
from workflow_operator.history.errors import Unavailable
from workflow_operator.reconcile.showing.notices import MAX_WAITING, Notice, Reporter, clipped, event, notice
from workflow_operator.resources.run import Condition, ConditionStatus, ConditionType, ObjectMeta, Phase, RunStatus


def status(phase: Phase, *conditions: tuple[ConditionType, str], message: str = "why") -> RunStatus:
    return RunStatus(
        observed_generation=1,
        phase=phase,
        conditions=tuple(
            Condition(type=kind, status=ConditionStatus.TRUE, last_transition_time=NOW, reason=reason, message=message)
            for kind, reason in conditions
        ),
    )


def working(reason: str) -> RunStatus:
    return status(Phase.RUNNING, (ConditionType.RECONCILING, reason))


def stalled(reason: str) -> RunStatus:
    return status(Phase.PENDING, (ConditionType.STALLED, reason))


UNSEEN = status(Phase.PENDING)
COMPLETE = status(Phase.COMPLETE, (ConditionType.COMPLETE, "Succeeded"), (ConditionType.FINISHED, "Succeeded"))
FAILED = status(
    Phase.FAILED,
    (ConditionType.FAILED, "MemoryLimit"),
    (ConditionType.STALLED, "MemoryLimit"),
    (ConditionType.FINISHED, "MemoryLimit"),
)
CANCELLED = status(Phase.CANCELLED, (ConditionType.FINISHED, "Cancelled"))
NO_SCRIPT = working("ConfigMapNotFound")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(UNSEEN, working("Executing"), None, id="it runs"),
        pytest.param(working("Executing"), working("Sleeping"), None, id="it sleeps"),
        pytest.param(UNSEEN, COMPLETE, Notice("Normal", "Complete", "why", "Execute"), id="complete"),
        pytest.param(working("Sleeping"), FAILED, Notice("Warning", "Failed", "why", "Execute"), id="failed"),
        pytest.param(working("Cancelling"), CANCELLED, Notice("Normal", "Cancelled", "why", "Execute"), id="cancelled"),
        pytest.param(COMPLETE, COMPLETE, None, id="over already"),
        pytest.param(
            UNSEEN, NO_SCRIPT, Notice("Warning", "ConfigMapNotFound", "why", "Reconcile"), id="waits for its script"
        ),
        pytest.param(NO_SCRIPT, NO_SCRIPT, None, id="still waits"),
        pytest.param(
            NO_SCRIPT,
            working("ConfigMapKeyNotFound"),
            Notice("Warning", "ConfigMapKeyNotFound", "why", "Reconcile"),
            id="waits for something else",
        ),
        pytest.param(NO_SCRIPT, working("Starting"), None, id="trouble is over"),
        pytest.param(
            working("Executing"),
            stalled("HistoryLost"),
            Notice("Warning", "HistoryLost", "why", "Reconcile"),
            id="stalled",
        ),
        pytest.param(
            NO_SCRIPT,
            stalled("ConfigMapNotFound"),
            None,
            id="the same reason in another condition",
        ),
        pytest.param(NO_SCRIPT, COMPLETE, Notice("Normal", "Complete", "why", "Execute"), id="the end of trouble"),
    ],
)
def test_notice(before: RunStatus, after: RunStatus, told: Notice | None) -> None:
    assert notice(before, after) == told


def meta(name: str = "run", resource_version: str = "255") -> ObjectMeta:
    return ObjectMeta(
        name=name,
        namespace="default",
        uid=str(UID),
        resource_version=resource_version,
        generation=1,
        creation_timestamp=NOW,
    )


def test_an_event_names_its_object() -> None:
    told = Notice("Warning", "Failed", "Error: no", "Execute")
    assert event(meta(), told, "replica-1", datetime.fromisoformat("2026-01-01T13:00:00.5+01:00")) == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "run.ff", "namespace": "default"},
        "regarding": {
            "apiVersion": "workflow-operator.dev/v1alpha1",
            "kind": "WorkflowRun",
            "namespace": "default",
            "name": "run",
            "uid": str(UID),
            "resourceVersion": "255",
        },
        "type": "Warning",
        "reason": "Failed",
        "action": "Execute",
        "note": "Error: no",
        "eventTime": "2026-01-01T12:00:00.500000Z",
        "reportingController": "workflow-operator.dev/operator",
        "reportingInstance": "replica-1",
    }


def test_an_event_stays_within_what_the_api_server_takes() -> None:
    told = Notice("Warning", "R" * 200, "é" * 4000, "Execute")
    made = event(meta("a" * 240 + "." + "b" * 12, "1048576"), told, "r" * 300, NOW)
    assert made["metadata"]["name"] == "a" * 240 + ".bbbbb.100000"
    assert (len(made["reason"]), len(made["reportingInstance"])) == (128, 128)
    assert len(made["note"].encode()) <= 1024
    assert made["note"].endswith("é…")


@pytest.mark.parametrize(
    ("name", "shown"), [("a" * 247, "a" * 246), ("a" * 245 + ".bb", "a" * 245), ("a" * 245 + "-bb", "a" * 245)]
)
def test_a_cut_name_is_still_a_name(name: str, shown: str) -> None:
    assert event(meta(name, "1048576"), Notice("Normal", "r", "n", "a"), "r", NOW)["metadata"]["name"] == (
        f"{shown}.100000"
    )


@pytest.mark.parametrize(
    ("text", "shown"), [("abcdef", "abcdef"), ("abcdefg", "abc…"), ("ééé", "ééé"), ("éééé", "é…"), ("", "")]
)
def test_clipped(text: str, shown: str) -> None:
    assert clipped(text, 6) == shown


class TestReporter:
    @pytest.fixture
    async def cluster(self) -> MemoryCluster:
        return MemoryCluster()

    @pytest.fixture
    async def reporter(self, cluster: MemoryCluster) -> AsyncIterator[Reporter]:
        reporter = Reporter(cluster, "replica-1", lambda: NOW, problems_only=False)
        running = asyncio.create_task(reporter.run())
        yield reporter
        running.cancel()

    async def test_what_cannot_be_written_is_logged_and_left(
        self,
        cluster: MemoryCluster,
        reporter: Reporter,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        create = cluster.create_event

        async def fail(_: Any) -> None:
            monkeypatch.setattr(cluster, "create_event", create)
            raise Unavailable("429: later")

        monkeypatch.setattr(cluster, "create_event", fail)
        for version in ("1", "2"):
            reporter.tell(meta(resource_version=version), Notice("Normal", "Complete", "well", "Execute"))
        await settle()
        assert [each["metadata"]["name"] for each in cluster.events] == ["run.2"]
        assert "run default/run: no Event: 429: later" in caplog.text

    async def test_what_goes_well_is_told_where_it_is_asked_for(self, cluster: MemoryCluster) -> None:
        for problems_only in (True, False):
            reporter = Reporter(cluster, "replica-1", lambda: NOW, problems_only=problems_only)
            for version, kind in (("1", "Normal"), ("2", "Warning")):
                reporter.tell(meta(resource_version=version), Notice(kind, "Reason", "words", "Execute"))
            running = asyncio.create_task(reporter.run())
            await settle()
            running.cancel()
        assert [each["type"] for each in cluster.events] == ["Warning", "Normal", "Warning"]

    async def test_too_many_are_dropped(self, caplog: pytest.LogCaptureFixture) -> None:
        reporter = Reporter(MemoryCluster(), "replica-1", lambda: NOW, problems_only=False)
        for _ in range(MAX_WAITING + 1):
            reporter.tell(meta(), Notice("Normal", "Complete", "well", "Execute"))
        assert [record.getMessage() for record in caplog.records] == [
            f"run default/run: no Event Complete: {MAX_WAITING} wait already"
        ]


class TestRuns:
    """Who wrote the status tells of it, once."""

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        world = World()
        running = asyncio.create_task(world.reporter.run())
        yield world
        running.cancel()

    async def told(self, world: World) -> list[tuple[str, str]]:
        await settle()
        return [(each["type"], each["reason"]) for each in world.cluster.events]

    async def test_trouble_and_end(self, world: World) -> None:
        await world.see(scriptFrom={"configMapKeyRef": {"name": "scripts", "key": "main.js"}})
        for _ in range(3):
            await world.reconcile()
        world.cluster.config_maps["default", "scripts"] = {"data": {"main.js": "1"}}
        await world.reconcile()
        error = ErrorInfo(name="Error", message="no")
        await world.project(2, status=StatusValue.FAILED, ended_at=NOW, error=error)
        assert await self.told(world) == [("Warning", "ConfigMapNotFound"), ("Warning", "Failed")]
        assert world.cluster.events[1]["note"] == "Error: no"
        assert world.cluster.events[1]["regarding"]["resourceVersion"] == world.version

    async def test_a_status_that_did_not_land_is_not_told_of(self, world: World) -> None:
        await world.see()
        world.cluster.touch("run")
        await world.project(2, status=StatusValue.COMPLETE, ended_at=NOW)
        assert (world.phases, await self.told(world)) == ([], [])

    async def test_another_replica_and_a_later_start_say_nothing(self, world: World) -> None:
        await world.see()
        await world.project(2, status=StatusValue.COMPLETE, ended_at=NOW)
        assert await self.told(world) == [("Normal", "Complete")]
        another = World(world.cluster)
        another.objects.object_changed(world.cluster.touch("run"))
        await another.project(2, status=StatusValue.COMPLETE, ended_at=NOW)
        assert await self.told(world) == [("Normal", "Complete")]

"""The reconciler against a cluster, a bus and an engine in memory."""

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.cluster import SCRIPT
from tests.fakes.records import event
from tests.reconcile.world import EXECUTOR, FINISHED, INSTANCE, NOW, OTHER, RUN, UID, World, instance
from workflow_operator.history import Origin, StatusValue
from workflow_operator.history.errors import InvalidInput, NotSerializable, PayloadTooLarge


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
        "first": False,
        "suspended": False,
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


@pytest.mark.parametrize("appeared", [True, False])
async def test_only_a_run_that_was_seen_to_appear_is_begun_for_the_first_time(world: World, appeared: bool) -> None:
    world.objects.object_changed(world.cluster.create("run", UID), appeared=appeared)
    await world.reconcile()
    await world.reconcile()
    assert [each["first"] for each in world.runner.executed] == [appeared, False]


async def test_what_was_another_replicas_when_it_appeared_may_have_been_begun_there(world: World) -> None:
    world.share.mine = False
    world.objects.object_changed(world.cluster.create("run", UID), appeared=True)
    await world.reconcile()
    world.share.mine = True
    await world.reconcile()
    assert [each["first"] for each in world.runner.executed] == [False]


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
    run["status"] |= {"phase": "Complete", "conditions": [FINISHED]}
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
        patched.setattr(world.cluster, "put_status", refuse)
        await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)
    await world.reconciler.reconcile(RUN)
    assert world.phases == ["Complete"]


async def test_a_refusal_of_a_write_to_the_object_as_it_is_is_raised(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.see()
    monkeypatch.setattr(world.cluster, "put_status", refuse)
    with pytest.raises(InvalidInput, match="historySequence never decreases"):
        await world.project(3, status=StatusValue.COMPLETE, ended_at=NOW)


async def refuse(*_: object, **_options: object) -> None:
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


def stalled(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["reason"], each["message"]) for each in status["conditions"] if each["type"] == "Stalled"]


def assert_failed(world: World, reason: str, words: str) -> None:
    """The run is over, and says all that belongs to an end."""
    [written] = world.cluster.writes
    assert [each["type"] for each in written["conditions"]] == ["Failed", "Stalled", "Finished"]
    assert {each["reason"] for each in written["conditions"]} == {reason}
    assert (written["phase"], written["completionTime"]) == ("Failed", "2026-01-01T12:00:00Z")
    assert (written["error"]["name"], words in written["error"]["message"]) == (reason, True), written["error"]
    assert RUN not in world.objects


@pytest.mark.parametrize(
    "refusal", [PayloadTooLarge("1 MiB at most"), NotSerializable("too deep"), InvalidInput("no such script")]
)
async def test_what_no_history_can_hold_has_failed(world: World, refusal: Exception) -> None:
    world.runner.refusal = refusal
    await world.see()
    assert_failed(world, type(refusal).__name__, str(refusal))


def raw(spec: str) -> bytes:
    return f'{{"metadata": {{"uid": "{UID}"}}, "spec": {spec}}}'.encode()


def with_input(text: str) -> str:
    return f'{{"script": "function main() {{}}", "input": {text}}}'


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param(
            with_input("[" + "[]," * 90_000 + "[]]"),
            "PayloadTooLarge",
            "spec.input has 270004 bytes as JSON; expected at most 262144 (WORKFLOW_OPERATOR_PAYLOAD_BYTES)",
            id="larger than the cap",
        ),
        pytest.param(with_input("[" * 101 + "]" * 101), "NotSerializable", "deeper than 100 levels", id="101 levels"),
        pytest.param(with_input("[" * 9000 + "]" * 9000), "InvalidInput", "spec cannot be read", id="9000 levels"),
        pytest.param(with_input("1e999"), "NotSerializable", "larger than 1.8e308", id="a number that is none"),
        pytest.param('{"script": ["of a later release"]}', "InvalidInput", "valid string", id="script is a list"),
        pytest.param('{"scriptFrom": {"url": "x"}}', "InvalidInput", "Field required", id="another source"),
        pytest.param("{}", "InvalidInput", "neither script nor scriptFrom", id="no source"),
        pytest.param('"spec"', "InvalidInput", "spec cannot be read", id="text"),
    ],
)
async def test_a_run_whose_own_spec_is_at_fault_has_failed(world: World, spec: str, reason: str, words: str) -> None:
    run = world.cluster.create("run", UID)
    world.cluster.objects["default", "run"]["raw"] = raw(spec)
    world.objects.object_changed(run)
    await world.reconcile()
    assert_failed(world, reason, words)
    assert world.runner.executed == []


async def test_what_was_started_under_other_limits_goes_on(world: World) -> None:
    await world.bus.push_instance_event(event(INSTANCE), 0)
    world.runner.refusal = PayloadTooLarge("1 MiB at most")
    await world.see()
    assert world.cluster.writes == []


@pytest.mark.parametrize("text", ['"' + "\\u003c" * 200_000 + '"', '"' + "漢" * 80_000 + '"', "[" * 100 + "]" * 100])
async def test_an_input_counts_as_its_author_wrote_it(world: World, text: str) -> None:
    run = world.cluster.create("run", UID)
    world.cluster.objects["default", "run"]["raw"] = raw(with_input(text))
    world.objects.object_changed(run)
    await world.reconcile()
    assert len(world.runner.executed) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("function".encode("utf-16"), "because it is no UTF-8 text: save the file as UTF-8"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}é".encode("utf-16-be"), "because it is no UTF-8 text"),
        ("// é".encode("latin-1"), "because it is no UTF-8 text"),
        ("function main() {} // é".encode(), "though it is UTF-8 text: put it into data, as it is"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}// é".encode(), "though it is UTF-8 text"),
    ],
)
async def test_a_script_in_binary_data_is_told_of(world: World, data: bytes, words: str) -> None:
    world.cluster.config_maps["default", "scripts"] = {"binaryData": {"report.js": b64encode(data).decode()}}
    await world.see(scriptFrom={"configMapKeyRef": {"name": "scripts", "key": "report.js"}})
    [(reason, message)] = stalled(world.cluster.writes[0])
    assert reason == "InvalidScript"
    assert f"key 'report.js' is in binaryData, {words}" in message


@pytest.mark.parametrize("inline", [True, False])
async def test_a_byte_order_mark_is_no_part_of_a_script(world: World, inline: bool) -> None:
    marked = "\N{ZERO WIDTH NO-BREAK SPACE}" + SCRIPT
    world.cluster.config_maps["default", "scripts"] = {"data": {"main.js": marked}}
    source = {"configMapKeyRef": {"name": "scripts", "key": "main.js"}}
    await world.see(**({"script": marked} if inline else {"scriptFrom": source}))
    assert [started["script"] for started in world.runner.executed] == [SCRIPT]


async def test_an_object_is_read_when_its_run_starts_and_not_kept(world: World) -> None:
    await world.see(script=SCRIPT + " " * 60_000, input="x" * 100_000)
    await world.project(2, executor=EXECUTOR, memory="x" * 10_000)
    world.now += timedelta(seconds=60)
    await world.reconcile()
    kept = world.objects.get(RUN)
    assert (kept is not None, len(repr(kept)) < 4_000, world.cluster.reads) == (True, True, 1)


async def test_an_instance_that_was_started_and_not_queued_is_queued_again_once(world: World) -> None:
    await world.see()
    await world.project(1)
    assert world.runner.requeued == []
    for seconds in (2, 3, 60):
        world.now = NOW + timedelta(seconds=seconds)
        await world.reconcile()
    assert world.runner.requeued == [INSTANCE]


@pytest.mark.parametrize(
    ("phase", "kinds"),
    [
        ("Cancelled", ["Finished"]),
        ("Complete", ["Complete", "Finished"]),
        ("Failed", ["Failed", "Stalled", "Finished"]),
    ],
)
async def test_a_phase_that_somebody_set_is_an_end(world: World, phase: str, kinds: list[str]) -> None:
    await world.see()
    await world.project(2, executor=EXECUTOR, parked=True, wake_at=NOW + timedelta(hours=1), memory={"kept": 1})
    world.now = NOW + timedelta(seconds=2)
    await world.reconcile()
    world.cluster.objects["default", "run"]["status"]["phase"] = phase
    world.objects.object_changed(world.cluster.touch("run"))
    await world.reconcile()
    last = world.cluster.writes[-1]
    assert [each["type"] for each in last["conditions"]] == kinds
    assert (last["phase"], last["completionTime"], last["memory"]) == (phase, "2026-01-01T12:00:02Z", {"kept": 1})
    assert f"somebody other than the operator set status.phase to {phase}" in last["conditions"][0]["message"]
    assert (world.runner.cancelled, RUN in world.objects) == ([INSTANCE], False)
    assert "backup" not in world.runner.reasons[0]


async def test_what_cannot_be_read_of_a_status_is_left_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = world.cluster.create("run", UID)
    world.objects.object_changed(run | {"status": {"phase": "OfALaterRelease"}})
    await world.reconcile()
    assert (world.runner.executed, world.cluster.writes) == ([], [])
    assert "run default/run: left alone: status cannot be read" in caplog.text


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
    assert world.cluster.looks == 0, "a write with the old version would have had to look again"


async def test_a_deletion_that_another_replica_has_acted_on_is_forgotten(world: World) -> None:
    world.share.mine = False
    run = world.cluster.create("run", UID)
    world.objects.object_changed(run)
    world.objects.object_deleted(run)
    assert list(world.objects) == [RUN]
    cancelled = {"status": StatusValue.CANCELLED, "ended_at": NOW, "origin": Origin(cluster="c", name="run")}
    world.reconciler.status_changed(instance(2, **cancelled))
    assert list(world.objects) == []

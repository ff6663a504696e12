"""Replicas that die, or are told to end, in the middle of runs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, takewhile

import pytest

from dev.stack import Process
from tests.e2e.conftest import running
from tests.e2e.scripts import QUICK, STEPS, TICKING, sleeper
from tests.e2e.test_executor_e2e import metrics_of
from tests.e2e.world import (
    Handover,
    History,
    JsonObject,
    World,
    assert_sound,
    drivers,
    ends_with,
    handovers,
    key_of,
    transitions,
)
from tests.fakes.events import plain
from workflow_operator.history import EventType, InstanceKey

pytestmark = pytest.mark.e2e

RUNS = 6
TAKEOVER_SECONDS = 10.0
REDELIVERY_SECONDS = 6.0
"""How long the queue waits for an executor that fell silent."""

NAMES = [f"run-{number}" for number in range(RUNS)]


def test_a_killed_operator_is_replaced_and_nothing_recorded_is_done_again(world: World) -> None:
    keys = start(world)
    victim = busiest(world, keys)
    victim.kill()

    histories = finished(world, keys)
    assert_taken_over(world, histories, victim, TAKEOVER_SECONDS)


def test_an_operator_told_to_end_hands_over_at_once(world: World) -> None:
    keys = start(world)
    leaving = busiest(world, keys)
    leaving.terminate()
    assert leaving.wait() == 0

    histories = finished(world, keys)
    assert_taken_over(world, histories, leaving, REDELIVERY_SECONDS / 2)


def test_a_projector_that_ends_leaves_its_work_to_the_other(world: World) -> None:
    keys = start(world)
    killed, told = running(world.stack.projectors)
    told.terminate()
    assert told.wait() == 0
    replacement = world.stack.add_projector()
    killed.kill()

    finished(world, keys)
    assert running(world.stack.projectors) == [replacement]


def test_two_operators_share_the_runs_and_none_stalls(world: World) -> None:
    # More than one operator has slots for.
    names = [f"run-{number:02}" for number in range(24)]
    script = "function main() { for (let n = 0; n < 4; n++) { transition(f, n); sleep(1) } } function f() {}"
    world.apply(*((name, {"script": script}) for name in names))
    histories = world.histories(map(key_of, world.ended(names).values()))
    for history in histories.values():
        assert_sound(history)
        assert history[-1].type is EventType.SUCCEEDED
        pauses = [(event.time - before.time).total_seconds() for before, event in pairwise(history)]
        # A run that somebody forgot goes on only when the queue delivers it again.
        assert max(pauses) < REDELIVERY_SECONDS, [(event.type, event.time) for event in history]
    assert len({name for history in histories.values() for name in drivers(history)}) == len(
        running(world.stack.operators)
    )


FLOATING = """
function main(items) {
  items.forEach(async (item) => {
    await null;
    for (let n = 1; n <= 3; n++) { transition(store, item * 10 + n); sleep(1); }
  });
  return "returned";
}
function store(memory) { return memory }
"""


def test_what_goes_on_after_the_return_survives_a_kill(world: World) -> None:
    world.apply(("floating", {"script": FLOATING, "input": [1, 2]}))
    key = world.key("floating")
    history = world.history_until(key, lambda events: transitions(events) >= 2, "two steps after the return")
    world.operator_of(drivers(history)[-1]).kill()

    status = world.ended(["floating"])["floating"]["status"]
    assert (status["phase"], status["output"], status["steps"]) == ("Complete", "returned", 12)
    history = world.history(key)
    assert_sound(history)
    assert len(drivers(history)) == 2
    stored = [plain(event.memory) for event in history if event.type is EventType.TRANSITION]
    assert stored == [11, 12, 13, 21, 22, 23]


COMPUTING = """
function main(input) {
  let sum = 0;
  for (let i = 0; i < input.work; i++) sum = (sum + i * 7) % 1000003;
  return transition(store, sum);
}
function store(sum) { return sum }
"""


def test_replicas_that_end_in_good_order_one_after_the_other_do_not_fail_the_run(world: World) -> None:
    executors = [world.stack.add_executor() for _ in range(5)]
    world.apply(("computing", {"script": COMPUTING, "input": {"work": 150_000_000}}))
    key = world.key("computing")
    world.history_until(key, lambda events: len(events) >= 1, "started")
    leaving = world.until(lambda: holder(world), "somebody drives it")
    for number in range(6):
        leaving.terminate()
        history = world.history_until(key, lambda events, claims=number + 1: len(claims_of(events)) >= claims, "taken")
        leaving = replica_of(world, drivers(history)[-1])

    world.stack.add_operator()
    run = world.ended(["computing"])["computing"]
    assert run["status"]["phase"] == "Complete", run["status"]
    history = world.history(key)
    assert_sound(history)
    assert [event.predecessor for event in claims_of(history)] == ["handOver"] * 6
    for executor in executors:
        executor.stop()


def test_a_script_that_ends_its_executors_is_given_up_at_the_limit(world: World) -> None:
    executors = [world.stack.add_executor() for _ in range(5)]
    world.apply(("killer", {"script": COMPUTING, "input": {"work": 400_000_000}}))
    key = world.key("killer")
    # A replica that is killed before that leaves nothing that could be counted.
    world.history_until(key, lambda events: len(events) >= 1, "started")
    driving = world.until(lambda: holder(world), "somebody drives it")
    for number in range(6):
        driving.kill()
        if number == 5:
            world.stack.add_operator()
        world.history_until(
            key, lambda events, number=number: len(events) > number + 1, "claimed or given up", within=90
        )
        history = world.history(key)
        if history[-1].terminal:
            break
        driving = replica_of(world, drivers(history)[-1])
    history = world.history_until(key, lambda events: events[-1].terminal, "given up")
    # The first one drove it where it started, which counts as a claim.
    assert [event.type for event in history] == [EventType.STARTED, *[EventType.CLAIMED] * 4, EventType.FAILED]
    error = history[-1].error
    assert error is not None
    assert error.name == "EngineCrash"
    assert "at 5 (setting crash_limit)" in error.message
    for executor in executors:
        executor.stop()


def claims_of(history: History) -> History:
    return [event for event in history if event.type is EventType.CLAIMED]


def replica_of(world: World, executor_id: str) -> Process:
    (found,) = [each for each in [*world.stack.operators, *world.stack.executors] if f"-{each.pid}-" in executor_id]
    return found


def holder(world: World) -> Process | None:
    """The replica whose slots are not all free: of a run that nothing but its start is recorded of."""
    for replica in [*running(world.stack.operators), *running(world.stack.executors)]:
        if "workflow_operator_executor_slots_used 1.0" in metrics_of(replica.health_url):
            return replica
    return None


def test_a_sleeping_run_needs_no_operator(world: World) -> None:
    world.apply(("run", {"script": sleeper(12)}))
    key = world.key("run")
    parked = world.history_until(key, ends_with(EventType.WAITING), "parked")
    world.until(lambda: world.held() == 0, "nobody holds it")
    for operator in running(world.stack.operators):
        operator.kill()
    world.stack.add_operator()

    run = world.ended(["run"])["run"]
    assert (run["status"]["phase"], run["status"]["output"]) == ("Complete", "after")
    history = world.history(key)
    assert_sound(history)
    woken = next(event for event in history if event.type is EventType.TIMER_FIRED)
    due = parked[-1].wake_at
    assert due is not None
    assert 0 <= (woken.time - due).total_seconds() < TAKEOVER_SECONDS
    assert len(drivers(history)) == 2
    assert world.script_lines(key) == ["before", "after"]


def test_a_sleeping_run_holds_no_slot(world: World) -> None:
    for operator in running(world.stack.operators):
        operator.stop()
    alone = world.stack.add_operator(WORKFLOW_OPERATOR_EXECUTOR_SLOTS="1")
    world.apply(("sleeper", {"script": sleeper(60)}))
    world.history_until(world.key("sleeper"), ends_with(EventType.WAITING), "parked")
    world.apply(("quick", {"script": QUICK}))
    assert world.ended(["quick"], within=45)["quick"]["status"]["phase"] == "Complete"
    condition = world.until(lambda: sleeping(world.run("sleeper")), "the object says that it sleeps")
    assert "; 1 step recorded" in condition["message"]
    alone.stop()


def start(world: World) -> list[InstanceKey]:
    """Runs that are in their middle when this returns."""
    world.apply(*((name, {"script": TICKING}) for name in NAMES))
    keys = [key_of(run) for run in world.runs().values()]

    def in_the_middle() -> bool:
        return all(transitions(history) >= 4 for history in world.histories(keys).values())

    world.until(in_the_middle, "every run has made four steps")
    return keys


def busiest(world: World, keys: list[InstanceKey]) -> Process:
    """The operator that drives most of the runs now."""
    driving = Counter(drivers(history)[-1] for history in world.histories(keys).values() if not history[-1].terminal)
    assert driving, "every run has ended already"
    return world.operator_of(driving.most_common(1)[0][0])


def finished(world: World, keys: list[InstanceKey]) -> dict[InstanceKey, History]:
    """The histories, once every run is complete, with all its steps, each made once."""
    for run in world.ended(NAMES).values():
        assert (run["status"]["phase"], run["status"]["output"]) == ("Complete", "done"), run["status"]
        assert run["status"]["steps"] == STEPS + STEPS // 2
    histories = world.histories(keys)
    for history in histories.values():
        assert_sound(history)
        assert [plain(event.memory) for event in history if event.type is EventType.TRANSITION] == list(
            range(1, STEPS + 1)
        )
    return histories


def assert_taken_over(world: World, histories: dict[InstanceKey, History], left: Process, within: float) -> None:
    """The other went on with all runs of the one that left, in time, and printed no line again."""
    for key, history in histories.items():
        for handover in handovers(history):
            assert world.operator_of(handover.leaving) is left
            assert handover.first.type is EventType.CLAIMED
            assert handover.seconds < within
        assert_lines(world.script_lines(key), history)
    assert any(handovers(history) for history in histories.values())


def assert_lines(lines: list[str], history: History) -> None:
    """Every line is there, and repeated are at most those behind the last event that was stored before an executor
    went: up to the next sleep, before which all is stored."""
    unsure = {f"line {plain(event.memory)}" for each in handovers(history) for event in unstored(history, each)}
    counts = Counter(lines)
    assert set(counts) == {f"line {number}" for number in range(1, STEPS + 1)}
    repeated = {line for line, count in counts.items() if count > 1}
    assert repeated <= unsure, f"repeated: {repeated}; only {unsure} may be"


def unstored(history: History, handover: Handover) -> History:
    """The steps that the executor that went may have made without storing what followed them."""
    behind = takewhile(
        lambda event: event.type in (EventType.CLAIMED, EventType.TIMER_FIRED, EventType.TRANSITION),
        history[history.index(handover.last) + 1 :],
    )
    return [event for event in (handover.last, *behind) if event.type is EventType.TRANSITION]


def sleeping(run: JsonObject) -> JsonObject | None:
    conditions: list[JsonObject] = run["status"].get("conditions", [])
    return next((condition for condition in conditions if condition["reason"] == "Sleeping"), None)

"""Hundreds of runs at once: all end, every object tells what its history says, and the API server is spared."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.e2e.world import World, assert_sound, folded, key_of, writes
from workflow_operator.reconcile.showing.desired import desired_status
from workflow_operator.resources.run import WorkflowRun

pytestmark = pytest.mark.e2e

RUNS = 300
WRITES_PER_RUN = 1.2

SCRIPT = """
function main(input) {
  log("begin", input.number);
  return transition(double, { number: input.number });
}
function double(memory) {
  return { doubled: transition(add, { number: memory.number, to: memory.number }) };
}
function add(memory) { return memory.number + memory.to; }
"""


def test_hundreds_of_runs_at_once(world: World) -> None:
    before = writes(world.stack.control_plane.metrics())
    world.apply(*((f"run-{number:03}", {"script": SCRIPT, "input": {"number": number}}) for number in range(RUNS)))
    runs = world.ended([f"run-{number:03}" for number in range(RUNS)], within=150)
    histories = world.histories(map(key_of, runs.values()))

    for number in range(RUNS):
        run = runs[f"run-{number:03}"]
        history = histories[key_of(run)]
        assert_sound(history)
        instance = folded(history)
        # The conditions keep their times from the object, so that only what an event says can differ.
        expected = desired_status(WorkflowRun.model_validate(run), instance, None, datetime.now(UTC))
        assert WorkflowRun.model_validate(run).status == expected
        status = run["status"]
        assert (status["phase"], status["output"], status["steps"]) == ("Complete", {"doubled": 2 * number}, 2)
        assert status["historySequence"] == history[-1].sequence
        assert status["instanceID"] == run["metadata"]["uid"]

    # Everybody's writes, kubectl's apart: it creates each object with one POST. No Event, as all goes well.
    made = writes(world.stack.control_plane.metrics()) - before
    made["workflowruns", "", "POST"] -= RUNS
    assert ("events", "", "POST") not in made
    assert RUNS <= made.total() <= RUNS * WRITES_PER_RUN, dict(made)

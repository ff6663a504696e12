"""Running again what is declared, and removing it."""

from __future__ import annotations

import re

import pytest

from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import JsonObject, World, ends_with
from tests.fixtures.workflowruns import manifest
from workflow_operator.history import EventType

# What Flux takes for a change that needs the object to be recreated.
FLUX_IMMUTABLE = re.compile(r".*is\simmutable.*")

RUN = manifest("run", {"script": QUICK})
CHANGED = manifest("run", {"script": "function main() { return 'changed' }"})


@pytest.mark.parametrize("how", [(), ("--server-side",), ("--server-side", "--dry-run=server")])
def test_a_changed_spec_is_refused_with_the_words_that_tools_look_for(how: tuple[str, ...], world: World) -> None:
    world.kubectl("apply", "--server-side", "-f", "-", document=RUN)
    refusal = world.kubectl.refusal("apply", *how, "-f", "-", document=CHANGED)
    assert FLUX_IMMUTABLE.search(refusal)
    assert "is invalid: spec: Forbidden: spec.script is immutable" in refusal


@pytest.mark.parametrize(
    ("commands", "again"),
    [
        ([("delete", "-f", "-"), ("apply", "-f", "-")], True),
        ([("replace", "--force", "-f", "-")], True),
        ([("replace", "-f", "-")], False),
        ([("apply", "-f", "-")], False),
        ([("apply", "--force", "-f", "-")], False),
    ],
    ids=["delete-apply", "replace-force", "replace", "apply", "apply-force"],
)
def test_what_runs_an_unchanged_run_again(commands: list[tuple[str, ...]], again: bool, world: World) -> None:
    world.kubectl("apply", "-f", "-", document=RUN)
    first = world.ended(["run"])["run"]
    for command in commands:
        world.kubectl(*command, document=RUN)
    now = world.ended(["run"])["run"]
    assert (now["status"]["instanceID"] != first["status"]["instanceID"]) == again
    assert now["status"]["instanceID"] == now["metadata"]["uid"]
    assert len(world.history(world.key("run"))) > 1


def test_apply_with_force_runs_a_changed_run_again(world: World) -> None:
    world.kubectl("apply", "-f", "-", document=RUN)
    first = world.ended(["run"])["run"]
    world.kubectl("apply", "--force", "-f", "-", document=CHANGED)
    now = world.ended(["run"])["run"]
    assert now["status"]["output"] == "changed"
    assert now["metadata"]["uid"] != first["metadata"]["uid"]


def test_each_create_with_a_generated_name_is_another_run(world: World) -> None:
    run: JsonObject = {**RUN, "metadata": {"generateName": "nightly-"}}
    for _ in range(2):
        world.kubectl("create", "-f", "-", document=run)
    ended = world.ended(sorted(world.runs()))
    assert len(ended) == 2
    assert all(name.startswith("nightly-") for name in ended)
    assert "cannot use generate name with apply" in world.kubectl.refusal("apply", "-f", "-", document=run)


def test_deleting_waits_for_nothing(world: World) -> None:
    world.apply(("run", {"script": sleeper(600)}))
    world.history_until(world.key("run"), ends_with(EventType.WAITING), "parked")
    world.until(lambda: world.run("run")["status"]["phase"] == "Running", "a status is written")
    assert "finalizers" not in world.run("run")["metadata"]
    # The timeout is the command's own: a finalizer would make it fail.
    world.kubectl("delete", "workflowrun", "run", "--wait", "--timeout=30s")
    assert world.runs() == {}

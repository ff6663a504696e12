"""Objects that the API server takes and no operator can run: told of, and nobody else's trouble."""

from __future__ import annotations

import json

import pytest

from tests.e2e.scripts import QUICK
from tests.e2e.world import World
from tests.fixtures.workflowruns import manifest

pytestmark = pytest.mark.e2e

TOO_DEEP = "spec.input is nested deeper than 100 levels of arrays and objects"


def nested(name: str, levels: int) -> str:
    """A manifest as text: Python's encoder does not go that deep."""
    document = json.dumps(manifest(name, {"script": QUICK, "input": "DEEP"}))
    return document.replace('"DEEP"', "[" * levels + "]" * levels)


@pytest.mark.parametrize("levels", [101, 600, 1500, 5000])
def test_an_input_too_deep_to_read_is_told_of_and_stops_nobody(world: World, levels: int) -> None:
    text = nested("deep", levels)
    world.kubectl.control_plane.kubectl("create", "--validate=false", "-n", world.namespace, "-f", "-", input=text)
    world.kubectl("wait", "workflowrun", "deep", "--for=condition=Finished", "--timeout=30s")
    said = world.kubectl("get", "workflowrun", "deep", "-o", "jsonpath={.status.phase}: {.status.error.message}")
    assert said.startswith(f"Failed: {TOO_DEEP}")
    world.apply(("victim", {"script": QUICK}))
    output = ("get", "workflowrun", "victim", "-o", "jsonpath={.status.output}")
    world.until(lambda: world.kubectl(*output) == "quick", "the run beside it completes")
    world.kubectl("delete", "workflowrun", "deep")


def test_an_object_that_no_message_can_carry_is_told_of(world: World) -> None:
    spec = {"script": f"function main() {{ return 1 }} // {'漢' * 65_000}", "input": "x" * 250_000}
    labels = {f"label-{number:04}.example/{'n' * 60}": "v" * 63 for number in range(5_000)}
    run = manifest("fat", spec)
    run["metadata"]["labels"] = labels
    world.kubectl("create", "-f", "-", document=run)

    def told() -> str | None:
        conditions = world.run("fat")["status"].get("conditions", [])
        return next((each["message"] for each in conditions if each["type"] == "Failed"), None)

    assert "the NATS server takes at most" in world.until(told, "the run says what is wrong")

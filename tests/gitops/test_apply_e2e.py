"""Manifests that are applied again and again, as GitOps does: no diff, no fight over fields, no second start."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from dev import tools
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import JsonObject, World, key_of, listed
from tests.fixtures.workflowruns import manifest
from tests.gitops.states import PROJECT
from workflow_operator.history import EventType

EXAMPLES = PROJECT / "examples"
WAYS = [pytest.param((), id="client-side"), pytest.param(("--server-side", "--field-manager=gitops"), id="server-side")]

INPUTS: dict[str, Any] = {
    "null": None,
    "numbers": [1.0, -0.0, 1e3, 1e-7, 0.1, 2**53 + 1, -(2**63), 2**63 - 1],
    "nulls": {"a": None, "b": [None, 1, {"c": None}], "d": {"e": None}},
    "nested": {"a": [1, [2, {"b": []}], {}], "": "", "true": True, "name": [{"name": "x"}, {"name": "x"}]},
    "text": "on\n---\n# ${HOME} {{ x }} \u2028 \U0001f600",
}
"""What YAML, kubectl or a merge could change on the way."""


@pytest.mark.parametrize("way", WAYS)
def test_the_examples_show_no_diff(way: Sequence[str], world: World) -> None:
    files = ("-f", str(EXAMPLES))
    world.kubectl("apply", *way, *files)
    assert difference(world, *way, *files) == ""

    before = world.ended(sorted(world.runs()))
    assert {run["status"]["phase"] for run in before.values()} == {"Complete", "Failed"}
    assert difference(world, *way, *files) == ""
    world.kubectl("apply", *way, *files)
    assert world.runs() == before


@pytest.mark.parametrize("way", WAYS)
def test_no_shape_of_input_shows_a_diff(way: Sequence[str], world: World) -> None:
    spec = {"script": "function main(input) { return input }"}
    runs = listed([manifest(name, spec | {"input": value}) for name, value in INPUTS.items()])
    world.kubectl("apply", *way, "-f", "-", document=runs)
    assert difference(world, *way, "-f", "-", document=runs) == ""

    before = world.ended(list(INPUTS))
    assert difference(world, *way, "-f", "-", document=runs) == ""
    world.kubectl("apply", *way, "-f", "-", document=runs)
    assert world.runs() == before
    if way:
        # kubectl drops members that are null from what it applies client-side.
        assert {name: run["spec"].get("input") for name, run in before.items()} == INPUTS


def test_a_diff_is_seen(world: World) -> None:
    run = manifest("run", {"script": QUICK})
    world.kubectl("apply", "-f", "-", document=run)
    run["metadata"]["labels"] = {"a": "b"}
    assert "+    a: b" in difference(world, "-f", "-", document=run)


def test_server_side_apply_does_not_fight_over_fields(world: World) -> None:
    run = manifest("run", {"script": sleeper(600), "input": {"a": 1}})
    run["metadata"]["labels"] = {"team": "a"}
    apply = ("apply", "--server-side", "--field-manager=gitops", "-f", "-")
    world.kubectl(*apply, document=run)
    world.until(lambda: world.run("run")["status"]["phase"] == "Running", "a status is written")
    world.kubectl(*apply, document=run)

    shown = json.loads(world.kubectl("get", "workflowrun", "run", "--show-managed-fields", "-o", "json"))
    managers = {
        (entry["manager"], entry["operation"], entry.get("subresource")): set(entry["fieldsV1"])
        for entry in shown["metadata"]["managedFields"]
    }
    assert managers == {
        ("gitops", "Apply", None): {"f:metadata", "f:spec"},
        ("workflow-operator", "Update", "status"): {"f:status"},
    }


def test_metadata_of_other_tools_changes_nothing_about_a_run(world: World) -> None:
    run = manifest("run", {"script": sleeper(600)})
    world.kubectl("apply", "-f", "-", document=run)
    key = world.key("run")
    world.history_until(key, lambda events: events[-1].type is EventType.WAITING, "parked")
    run["metadata"] |= {
        "annotations": {"argocd.argoproj.io/tracking-id": "app:workflow-operator.dev/WorkflowRun:default/run"},
        "labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "app.kubernetes.io/instance": "app"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": str(key.instance_id)}],
    }
    before = world.history(key)
    world.kubectl("apply", "-f", "-", document=run)
    world.until(lambda: world.run("run")["status"]["phase"] == "Running", "the status is written to what is there now")

    now = world.run("run")
    assert key_of(now) == key
    assert (now["metadata"]["generation"], now["status"]["observedGeneration"]) == (1, 1)
    assert now["metadata"]["labels"] == run["metadata"]["labels"]
    assert world.history(key) == before


def difference(world: World, *args: str, document: JsonObject | None = None) -> str:
    """What `kubectl diff` prints; empty if there is no difference. When there is one, it fails."""
    kubeconfig = world.kubectl.control_plane.kubeconfig
    done = subprocess.run(
        [tools.kubectl(), "diff", *args, "-n", world.namespace, "--kubeconfig", str(kubeconfig)],
        input=document and json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr

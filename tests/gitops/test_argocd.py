"""The health check for Argo CD, in Argo CD's own form of tests."""

from __future__ import annotations

import pytest
import yaml
from lupa import lua51

from tests.fixtures.workflowruns import Kubectl
from tests.gitops.states import ARGOCD, PROJECT, TESTDATA, JsonObject, files, states, unseen

SCRIPT = (ARGOCD / "health.lua").read_text()
CONFIG_MAP = PROJECT / "gitops" / "argocd" / "argocd-cm.yaml"
CASES: list[JsonObject] = yaml.safe_load((ARGOCD / "health_test.yaml").read_text())["tests"]

# What a health check has in Argo CD, of Lua 5.1's libraries: package, base and table.
OPEN = {"_G", "_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget"}
OPEN |= {"rawset", "select", "setmetatable", "table", "tonumber", "tostring", "type", "unpack", "xpcall"}


def health(obj: JsonObject) -> tuple[str, str | None]:
    """Status and message that the health check returns for an object."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    scope = lua.globals()
    for name in [str(name) for name in scope if str(name) not in OPEN]:
        scope[name] = None
    scope.obj = lua.table_from(obj, recursive=True)
    result = lua.execute(SCRIPT)
    return result.status, result.message


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["inputPath"])
def test_health(case: JsonObject) -> None:
    obj = yaml.safe_load((ARGOCD / case["inputPath"]).read_text())
    expected = case["healthStatus"]
    assert health(obj) == (expected["status"], expected["message"])


def test_the_test_data_are_the_statuses_that_the_operator_computes() -> None:
    found = {path: path.read_text() for path in TESTDATA.iterdir()}
    assert found == files(states().items()), "renew them: python -m tests.gitops.states"


def test_every_state_is_tested() -> None:
    assert [case["inputPath"] for case in CASES] == [f"testdata/{name}.yaml" for name in states()]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"Suspended": "True"}, "Suspended"),
        ({"Reconciling": "True", "Stalled": "False", "Failed": "False"}, "Progressing"),
        ({"Stalled": "True", "Suspended": "True"}, "Degraded"),
        ({"Complete": "False", "Finished": "True"}, "Degraded"),
    ],
)
def test_only_conditions_that_are_true_count(conditions: dict[str, str], expected: str) -> None:
    listed = [{"type": name, "status": value, "message": f"it is {name}"} for name, value in conditions.items()]
    run = unseen() | {"status": {"observedGeneration": 1, "conditions": listed}}
    assert health(run)[0] == expected


def test_the_patch_of_argocd_cm_holds_the_health_check() -> None:
    patch = yaml.safe_load(CONFIG_MAP.read_text())
    assert patch["data"] == {"resource.customizations.health.workflow-operator.dev_WorkflowRun": SCRIPT}


def test_the_patch_leaves_the_rest_of_argocd_cm(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example")
    kubectl("patch", "configmap", "argocd-cm", "--patch-file", str(CONFIG_MAP))
    data: JsonObject = yaml.safe_load(kubectl("get", "configmap", "argocd-cm", "-o", "yaml"))["data"]
    assert data == {"url": "https://argocd.example"} | yaml.safe_load(CONFIG_MAP.read_text())["data"]

"""A fresh release with its defaults: two operators, two projectors, and a NATS of its own."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.node.release import PROJECT, Release, name_of

EXPECTED_PODS = {"operator": 2, "projector": 2, "nats": 1}

OUTPUTS = {
    "hello": {"greeting": "Hello, world!"},
    "from-configmap": {"mean": 6},
    "sleep": {"slept": 8},
    "steps": {"steps": 6},
}


def test_the_chart_is_installed(release: Release) -> None:
    (listed,) = json.loads(release.helm("list", "--output=json"))
    assert listed["status"] == "deployed"


@pytest.mark.parametrize(("component", "count"), EXPECTED_PODS.items())
def test_all_pods_are_ready_and_have_not_restarted(release: Release, component: str, count: int) -> None:
    pods = release.pods(component)
    assert len(release.ready(component)) == len(pods) == count
    assert [container["restartCount"] for pod in pods for container in pod["status"]["containerStatuses"]] == [
        0
    ] * count


def test_the_claim_of_nats_is_bound(release: Release) -> None:
    (claim,) = json.loads(release.kubectl("get", "persistentvolumeclaims", "--output=json"))["items"]
    assert claim["status"]["phase"] == "Bound"


def test_processes_have_no_privileges(release: Release) -> None:
    for component in ("operator", "projector"):
        lines = release.python('print(open("/proc/1/status").read())', component).splitlines()
        status = dict(line.split(":\t", 1) for line in lines if line)
        assert {name: status[name].split()[0] for name in ("Uid", "CapBnd", "NoNewPrivs", "Seccomp")} == {
            "Uid": "65532",
            "CapBnd": "0" * 16,
            "NoNewPrivs": "1",
            "Seccomp": "2",
        }


def test_only_tmp_is_writable(release: Release) -> None:
    code = """
import os
for folder in ("/", "/opt/workflow-operator", "/home", "/tmp"):
    try:
        open(os.path.join(folder, "written"), "w").close()
        print(folder)
    except OSError:
        pass
"""
    for component in ("operator", "projector"):
        assert release.python(code, component).split() == ["/tmp"]


def test_helm_test_passes(release: Release) -> None:
    assert "Phase:          Succeeded" in release.helm("test", release.name, "--timeout=180s").replace("\t", " ")


def test_the_examples_run(release: Release) -> None:
    files = sorted((PROJECT / "examples").glob("*.yaml"))
    for file in files:
        release.in_team("apply", f"--filename={file}")
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    runs = release.ended([name_of(each) for each in documents if each["kind"] == "WorkflowRun"])
    phases = {name: run["status"]["phase"] for name, run in runs.items()}
    assert phases == {name: "Failed" if name == "failing" else "Complete" for name in runs}
    assert {name: runs[name]["status"]["output"] for name in OUTPUTS} == OUTPUTS
    assert runs["order"]["status"]["output"]["state"] == "shipped"
    assert runs["failing"]["status"]["error"]["name"] == "RangeError"


def test_the_history_is_shown_in_a_pod(release: Release) -> None:
    shown = release.kubectl(
        "exec", f"deployment/{release.name}-operator", "--", "workflow-operator", "history", f"{release.team}/hello"
    )
    assert [line.split()[2] for line in shown.splitlines()[1:]] == ["started", "transition", "succeeded"]

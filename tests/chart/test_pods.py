"""Whom pods run as, where, and what of it the values can change."""

import re
from typing import Any

import pytest

from dev.chart import CHART
from tests.chart.conftest import Render
from tests.chart.rendering import Object, find, pods, run_helm
from tests.chart.scenarios import NAMESPACE, OPENSHIFT

pytestmark = pytest.mark.integration

NUMBERS = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")


def _contexts(pod: Object) -> list[dict[str, Any]]:
    spec = pod["spec"]
    return [spec["securityContext"], *(container["securityContext"] for container in spec["containers"])]


def _secret_modes(pod: Object) -> set[int]:
    return {each["secret"]["defaultMode"] for each in pod["spec"].get("volumes", []) if "secret" in each}


def test_every_pod_runs_as_the_image_does(rendered: dict[str, list[Object]]) -> None:
    for pod in pods(rendered["executors"]):
        assert {pod["spec"]["securityContext"][name] for name in NUMBERS[:3]} == {65532}


def test_openshift_numbers_every_pod_itself(rendered: dict[str, list[Object]], render: Render) -> None:
    executors = render({"podSecurityContext": OPENSHIFT, "executor": {"enabled": True}})
    for pod in [*pods(rendered["openshift"]), *pods(executors)]:
        assert not [name for context in _contexts(pod) for name in NUMBERS if name in context]
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        # Without a group that is known here, a file for the group alone could be read by nobody.
        assert _secret_modes(pod) <= {0o444}


def test_what_is_for_some_pods_comes_over_what_is_for_all(rendered: dict[str, list[Object]]) -> None:
    operator, projector, nats = (
        find(rendered["pods"], kind, name)["spec"]["template"]
        for kind, name in (("Deployment", "-operator"), ("Deployment", "-projector"), ("StatefulSet", "-nats"))
    )
    assert operator["spec"]["securityContext"]["supplementalGroups"] == [1000]
    assert "fsGroup" not in operator["spec"]["securityContext"]
    assert operator["spec"]["containers"][0]["securityContext"]["runAsUser"] == 1000
    assert operator["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert projector["spec"]["securityContext"]["fsGroup"] == 65532
    assert nats["spec"]["securityContext"]["fsGroup"] == 1000


def test_the_test_runs_where_operators_do(rendered: dict[str, list[Object]]) -> None:
    test, operator = find(rendered["pods"], "Pod")["spec"], find(rendered["pods"], "Deployment", "-operator")
    for name in ("securityContext", "runtimeClassName", "dnsPolicy", "dnsConfig"):
        assert test[name] == operator["spec"]["template"]["spec"][name]


def test_a_recreated_role_has_no_numbers_of_a_rolling_update(rendered: dict[str, list[Object]]) -> None:
    assert find(rendered["pods"], "Deployment", "-projector")["spec"]["strategy"] == {"type": "Recreate"}
    rolling = {"maxUnavailable": 0, "maxSurge": "25%"}
    assert find(rendered["pods"], "Deployment", "-operator")["spec"]["strategy"]["rollingUpdate"] == rolling


def test_what_an_older_release_has_no_values_for_is_left_to_the_cluster(render: Render) -> None:
    """So it is after `helm upgrade --reuse-values`."""
    new = ("strategy", "startupProbe", "readinessProbe", "livenessProbe", "extraVolumes", "dnsConfig")
    missing: dict[str, Any] = dict.fromkeys(new)
    bundled = {name: None for name in new if name != "strategy"}
    objects = render({"podSecurityContext": None, "operator": missing, "nats": {"bundled": bundled}})
    operator = find(objects, "Deployment", "-operator")["spec"]
    assert "strategy" not in operator
    assert operator["template"]["spec"]["containers"][0]["livenessProbe"].keys() == {"httpGet"}
    assert "securityContext" not in operator["template"]["spec"]


def test_every_port_of_every_service_says_its_protocol(scenario: list[Object]) -> None:
    """A mesh that does not know it waits for the client to speak first, and NATS waits for nobody."""
    protocols = {"nats": "tcp", "cluster": "tcp", "monitor": "http"}
    for service in (each for each in scenario if each["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            assert port.get("appProtocol") == protocols[port["name"]], port


@pytest.mark.parametrize(
    ("flags", "warned"),
    [
        ("settings.executorSlots=16", []),
        ("settings.executorSlots=17", ["operator.resources.limits.memory is 4608Mi. All 17 slots"]),
        ("settings.executorSlots=100", ["may take 26112Mi: 512Mi for the\noperator and 256Mi, twice"]),
        ("settings.scriptMemoryBytes=268435456", ["may take 8704Mi"]),
        ("operator.resources.limits.memory=4G", ["operator.resources.limits.memory is 4G. All 16 slots"]),
        ("operator.resources.limits.memory=5G", []),
        ("operator.resources.limits.memory=0.5Ti", []),
        ("operator.resources.limits.memory=5368709120", []),
        ("operator.resources.limits.memory=1000000", ["operator.resources.limits.memory is 1000000"]),
        ("operator.resources.limits=null,settings.executorSlots=100", []),
        ("executor.resources.limits.memory=1Gi", []),
        ("executor.enabled=true,executor.resources.limits.memory=1Gi", ["executor.resources.limits.memory is 1Gi"]),
    ],
)
def test_the_notes_warn_of_more_slots_than_memory(flags: str, warned: list[str], helm: Any) -> None:
    flags = f"nats.bundled.replicas=3,{flags}"
    where = ("--namespace", NAMESPACE, "--dry-run=client", "--hide-secret", "--set", flags)
    notes = run_helm(helm, "install", "wo", str(CHART), *where).split("\nNOTES:\n")[1]
    assert len(re.findall("WARNING", notes)) == len(warned)
    assert [words for words in warned if words not in notes] == []


@pytest.mark.parametrize(
    ("nats", "limit"),
    [
        ({}, "9437184000"),
        ({"bundled": {"storage": {"size": "500G"}}}, "450000000000"),
        ({"bundled": {"replicas": 3, "storage": {"size": "1Ti"}}}, "966367641600"),
        ({"url": "nats://nats.example.com:4222"}, "Inf"),
        ({"url": "nats://nats.example.com:4222", "storageBytes": 10**12}, "1000000000000"),
    ],
)
def test_the_alert_knows_what_jetstream_may_hold(nats: dict[str, Any], limit: str, render: Render) -> None:
    rule = find(render({"nats": nats, "metrics": {"prometheusRule": {"enabled": True}}}), "PrometheusRule")
    [expression] = [
        each["expr"] for each in rule["spec"]["groups"][0]["rules"] if each["alert"].endswith("NatsFillingUp")
    ]
    assert f"/ {limit} > 0.8" in expression

"""What the chart renders, for each way to set its values."""

import os
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from dev.chart import CHART, CRDS
from dev.chart_pods import SELECTOR_LABELS
from dev.chart_values import Values
from tests.chart.conftest import Render
from tests.chart.golden import FOLDER, golden
from tests.chart.rendering import (
    CLUSTER_SCOPED,
    WORKLOADS,
    Object,
    RenderingFailed,
    find,
    helm_template,
    pods,
    run_helm,
)
from tests.chart.scenarios import NAMESPACE, SCENARIOS
from workflow_operator.app.settings import Settings
from workflow_operator.jetstream.streams.permissions import Role
from workflow_operator.jetstream.streams.topology import LANES, QUEUE, lane_consumer

pytestmark = pytest.mark.integration

Rendered = dict[str, list[Object]]
ROLES = ("operator", "projector", "executor")
(PREVIOUS_CHART,) = (Path(__file__).parents[1] / "node" / "previous").glob("*.tgz")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_rendering_is_the_golden_one(name: str, rendered: Rendered) -> None:
    wanted = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert golden(name, rendered["default"], rendered[name]) == wanted, "run `python -m tests.chart.golden`"


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SCENARIOS)


def test_every_pod_is_hardened_and_resourced(scenario: list[Object]) -> None:
    # The API server judges Pod Security in test_api_server.py; this is what it does not ask for.
    for pod in pods(scenario):
        spec = pod["spec"]
        assert spec["enableServiceLinks"] is False
        [container] = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert spec["securityContext"]["runAsNonRoot"] is True


def test_only_the_operator_and_the_test_get_a_token(scenario: list[Object]) -> None:
    with_token = {pod["metadata"]["name"] for pod in pods(scenario) if pod["spec"]["automountServiceAccountToken"]}
    assert {re.sub(r".*?(operator-0|test)$", r"\1", name) for name in with_token} == {"operator-0", "test"}
    for account in (each for each in scenario if each["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_object_has_its_labels_and_place(scenario: list[Object]) -> None:
    for each in scenario:
        metadata = each["metadata"]
        if metadata["name"] in ("wo-extra", "wo-text"):
            continue
        assert ("namespace" in metadata) == (each["kind"] not in CLUSTER_SCOPED), metadata
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/instance"] == "wo"
        assert labels["app.kubernetes.io/part-of"] == "workflow-operator"
        if each["kind"] in WORKLOADS:
            selector = each["spec"]["selector"]["matchLabels"]
            assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
            assert selector["app.kubernetes.io/component"] == labels["app.kubernetes.io/component"]


def test_a_pod_has_its_own_login_and_no_other(scenario: list[Object]) -> None:
    for pod in pods(scenario):
        role = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        if role not in ROLES:
            continue
        for volume in (each for each in pod["spec"]["volumes"] if each["name"] == "nats-login"):
            [item] = volume["secret"]["items"]
            assert item["key"].startswith(f"{role}.")


def secret_keys(objects: list[Object]) -> set[tuple[str, str]]:
    """Name and key of what pods demand of Secrets, those of whole volumes without a key. None may be optional."""
    found = set()
    for pod in pods(objects):
        references = [
            each["valueFrom"]["secretKeyRef"]
            for container in pod["spec"]["containers"]
            for each in container.get("env", [])
            if "secretKeyRef" in each.get("valueFrom", {})
        ]
        volumes = [each["secret"] for each in pod["spec"].get("volumes", []) if "secret" in each]
        assert not [each for each in references + volumes if "optional" in each]
        found |= {(each["name"], each["key"]) for each in references}
        found |= {(each["secretName"], item["key"]) for each in volumes for item in each.get("items", [{"key": ""}])}
    return found


def test_a_nats_without_one_of_its_passwords_does_not_start(scenario: list[Object]) -> None:
    """A variable that names one that is not there stays as it is written: a password that everybody knows."""
    for stateful_set in (each for each in scenario if each["kind"] == "StatefulSet"):
        known: set[str] = set()
        for each in stateful_set["spec"]["template"]["spec"]["containers"][0]["env"]:
            assert set(re.findall(r"\$\((\w+)\)", each.get("value", ""))) <= known
            known.add(each["name"])
        [config] = [each["data"]["nats.conf"] for each in scenario if "nats.conf" in each.get("data", {})]
        assert set(re.findall(r"password: \$(\w+)", config)) <= known
    secret_keys(scenario)


def test_there_are_logins_for_the_roles_and_for_nobody_else_unasked(render: Render) -> None:
    for extra in ([], ["backup"], ["reader"]):
        objects = render({"nats": {"bundled": {"extraLogins": extra}}})
        wanted = {*ROLES, *extra}
        [config] = [each["data"]["nats.conf"] for each in objects if "nats.conf" in each.get("data", {})]
        assert set(re.findall("user: (.*)", config)) == wanted
        demanded = {f"{login}.password" for login in wanted}
        assert {key for _, key in secret_keys(objects)} == demanded
        assert find(objects, "Secret")["data"].keys() == demanded | {"route.password"}
    every = Values.model_json_schema()["$defs"]["BundledNats"]["properties"]["extraLogins"]["items"]["enum"]
    assert {*ROLES, *every} == set(Role)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "extra-logins"])
def test_a_secret_that_was_enough_for_the_previous_version_still_is(name: str, helm: Path, rendered: Rendered) -> None:
    """Otherwise pods wait for a key that nobody has put there (CreateContainerConfigError) after an upgrade."""
    before = helm_template(helm, SCENARIOS[name], "--skip-schema-validation", chart=PREVIOUS_CHART)
    assert secret_keys(rendered[name]) <= secret_keys(before)


def test_the_files_that_settings_name_are_mounted(scenario: list[Object]) -> None:
    for pod in pods(scenario):
        [container] = pod["spec"]["containers"]
        folders = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
        files = {
            f"{folders[volume['name']]}/{item['path']}"
            for volume in pod["spec"].get("volumes", [])
            for item in volume.get("secret", {}).get("items", [])
        }
        named = {each["value"] for each in container.get("env", []) if each["name"].endswith("_FILE")}
        assert named <= files
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in ROLES:
            assert named == files


def test_namespaced_means_nothing_for_the_whole_cluster(rendered: Rendered) -> None:
    crds = [each["kind"] for each in rendered["namespaced"] if each["kind"] in CLUSTER_SCOPED]
    assert crds == ["CustomResourceDefinition"] * 2
    assert not [each for each in rendered["tenant"] if each["kind"] in CLUSTER_SCOPED]
    # Whoever installs for one namespace needs rights in no other.
    assert {each["metadata"]["namespace"] for each in rendered["tenant"]} == {NAMESPACE}


def _granted() -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((CHART / "files" / "rbac.yaml").read_text())
    [role] = [each for each in documents if each["kind"] == "ClusterRole"]
    rules: list[dict[str, Any]] = role["rules"]
    return rules


def test_the_operator_may_what_the_file_says(rendered: Rendered) -> None:
    assert find(rendered["default"], "ClusterRole", "-operator")["rules"] == _granted()
    binding = find(rendered["default"], "ClusterRoleBinding")
    account = find(rendered["default"], "ServiceAccount", "-operator")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": NAMESPACE}
    ]


def test_an_operator_of_namespaces_may_the_same_there_and_see_its_own(rendered: Rendered) -> None:
    own = [rule for rule in _granted() if "namespaces" not in rule["resources"]]
    roles = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): each["rules"]
        for each in rendered["namespaced"]
        if each["kind"] == "Role" and not each["metadata"]["name"].endswith("-test")
    }
    identity = {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": [NAMESPACE], "verbs": ["get"]}
    name = "wo-workflow-operator-operator"
    assert roles == {
        ("team-a", name): own,
        ("team-b", name): own,
        (NAMESPACE, f"{name}-identity"): [identity],
    }


def test_nobody_is_given_the_status_or_another_kind(rendered: Rendered) -> None:
    for suffix in ("-view", "-edit"):
        for rule in find(rendered["default"], "ClusterRole", suffix)["rules"]:
            assert rule["apiGroups"] == ["workflow-operator.dev"]
            if "workflowruns/status" in rule["resources"]:
                assert set(rule["verbs"]) <= {"get", "list", "watch"}


@pytest.mark.parametrize("file", sorted(CRDS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_crds_are_those_of_the_project(rendered: Rendered, file: Path) -> None:
    crd = find(rendered["default"], "CustomResourceDefinition", f"{file.stem}.workflow-operator.dev")
    kept = {"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=false"}
    assert crd["metadata"]["annotations"] == kept
    del crd["metadata"]["annotations"], crd["metadata"]["labels"]
    assert crd == yaml.safe_load(file.read_text())


def test_who_may_approve_may_nothing_else(rendered: Rendered) -> None:
    rules = find(rendered["default"], "ClusterRole", "-approver")["rules"]
    assert {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]} == {
        *(("workflowsignals", verb) for verb in ("create", "get", "list", "watch", "delete")),
        *(("workflowruns", verb) for verb in ("get", "list", "watch")),
    }
    # To write a run is not to approve it.
    for rule in find(rendered["default"], "ClusterRole", "-edit")["rules"]:
        assert "workflowsignals" not in rule["resources"]


def test_a_script_gets_a_sender_only_where_one_is_checked(render: Render) -> None:
    for values, checked in (({}, True), ({"signals": {"verifySender": False}}, False), (SCENARIOS["tenant"], False)):
        objects = render(values)
        policies = [each for each in objects if each["kind"].startswith("ValidatingAdmissionPolicy")]
        data = find(objects, "ConfigMap", "-workflow-operator")["data"]
        assert (len(policies), data.get("WORKFLOW_OPERATOR_SIGNAL_SENDERS")) == (
            (2, "verified") if checked else (0, None)
        )


def test_the_program_reads_from_the_config_map_what_the_values_say(render: Render) -> None:
    tuned = {"executorSlots": 3, "historyBytes": 1_234_567_890, "parkAfterSeconds": 0.25, "logLevel": "DEBUG"}
    for given in ({}, tuned):
        objects = render({"settings": given, "watchNamespaces": ["b", "a"]})
        [environment] = [each["data"] for each in objects if each["metadata"]["name"] == "wo-workflow-operator"]
        assert all(isinstance(value, str) for value in environment.values())
        with patch.dict(os.environ, environment, clear=True):
            settings = Settings()
        wanted = {each.name: each.default for each in fields(Settings)} | {"identity": settings.identity}
        wanted |= {"watch_namespaces": "b,a", "nats_url": "nats://wo-workflow-operator-nats.workflows.svc:4222"}
        if given:
            wanted |= {
                "executor_slots": 3,
                "history_bytes": 1_234_567_890,
                "park_after_seconds": 0.25,
                "log_level": "DEBUG",
            }
        assert asdict(settings) == wanted


def _template(objects: list[Object], component: str) -> Object:
    [found] = [each for each in objects if each["kind"] in WORKLOADS and each["metadata"]["name"].endswith(component)]
    template: Object = found["spec"]["template"]
    return template


def test_a_changed_setting_rolls_the_roles_and_not_nats(render: Render) -> None:
    values: dict[str, Any] = {"nats": {"bundled": {"auth": {"existingSecret": "logins"}}}}
    before, after = render(values), render({**values, "settings": {"executorSlots": 3}})
    for component in ("-operator", "-projector"):
        assert _template(before, component) != _template(after, component)
    assert _template(before, "-nats") == _template(after, "-nats")


def test_a_new_version_of_the_chart_alone_does_not_roll_nats(rendered: Rendered) -> None:
    assert "0.2.0" not in yaml.safe_dump(_template(rendered["default"], "-nats"))


def test_the_same_passwords_are_drawn_once_and_rolled_with(rendered: Rendered) -> None:
    sums = {
        _template(rendered["default"], component)["metadata"]["annotations"]["checksum/nats-auth"]
        for component in ("-operator", "-projector", "-nats")
    }
    assert len(sums) == 1
    data = find(rendered["default"], "Secret")["data"]
    assert len(set(data.values())) == len(data)


def test_a_grace_period_covers_the_shutdown(scenario: list[Object]) -> None:
    for pod in pods(scenario):
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in ROLES:
            assert pod["spec"]["terminationGracePeriodSeconds"] > Settings().shutdown_seconds


def test_executors_are_scaled_by_the_queue_that_they_take_from(rendered: Rendered) -> None:
    for name, runs in (("autoscaling", Settings().executor_slots), ("autoscaling-external", 4)):
        spec = find(rendered[name], "ScaledObject")["spec"]
        assert {trigger["metadata"]["stream"] for trigger in spec["triggers"]} == {QUEUE}
        consumers = [trigger["metadata"]["consumer"] for trigger in spec["triggers"]]
        assert consumers == [lane_consumer(lane) for lane in range(LANES)]
        # Together: a namespace is in one lane, and its runs alone must not decide.
        modifiers = spec["advanced"]["scalingModifiers"]
        assert modifiers["formula"].split(" + ") == [trigger["name"] for trigger in spec["triggers"]]
        assert modifiers["target"] == str(runs)
        # Two that set the same number would fight.
        assert "replicas" not in find(rendered[name], "Deployment", "-executor")["spec"]


def test_the_alerts_and_the_dashboard_are_those_of_the_files(rendered: Rendered) -> None:
    text = (CHART / "files" / "alerts.yaml").read_text()
    text = text.replace('namespace=~".+"', f'namespace="{NAMESPACE}"')
    text = text.replace("docs/runbooks.md#", "https://runbooks.example.com/r#")
    assert find(rendered["monitoring"], "PrometheusRule")["spec"] == yaml.safe_load(text)
    dashboard = find(rendered["monitoring"], "ConfigMap", "-dashboard")["data"]["workflow-operator.json"]
    assert yaml.safe_load(dashboard) == yaml.safe_load((CHART / "files" / "dashboard.json").read_text())


def test_common_labels_and_annotations_are_everywhere(render: Render) -> None:
    labels, annotations = {"example.com/team": "platform"}, {"example.com/owner": "platform"}
    objects = render({"commonLabels": labels, "commonAnnotations": annotations, "nameOverride": "engine"})
    for metadata in [*(each["metadata"] for each in objects), *(pod["metadata"] for pod in pods(objects))]:
        assert labels.items() <= metadata["labels"].items()
        assert annotations.items() <= metadata["annotations"].items()
        assert metadata["labels"]["app.kubernetes.io/name"] == "engine"
    assert find(objects, "Deployment", "-operator")["metadata"]["name"] == "wo-engine-operator"


@pytest.mark.parametrize("place", ["commonLabels", *(f"{each}.podLabels" for each in (*ROLES, "nats.bundled"))])
def test_no_label_hides_a_pod_from_its_own_or_shows_it_to_others(place: str, render: Render) -> None:
    given: Any = dict.fromkeys([*SELECTOR_LABELS, "example.com/team"], "mine")
    for name in reversed(place.split(".")):
        given = {name: given}
    with pytest.raises(RenderingFailed) as raised:
        render(given)
    refused = [f"/{place.replace('.', '/')}/{label.replace('/', '~1')}" for label in SELECTOR_LABELS]
    assert sorted(re.findall("at '(.*)': false schema", str(raised.value))) == sorted(refused)


def test_a_release_that_has_the_name_is_not_named_twice(helm: Path) -> None:
    done = run_helm(helm, "template", "my-workflow-operator", str(CHART), "--show-only", "templates/operator.yaml")
    assert "\n  name: my-workflow-operator-operator\n" in done


def test_lint_finds_nothing(helm: Path) -> None:
    assert "0 chart(s) failed" in run_helm(helm, "lint", "--strict", str(CHART))


def test_the_notes_name_the_next_step_and_what_is_at_risk(helm: Path) -> None:
    def notes(*flags: str) -> str:
        flags = ("--namespace", NAMESPACE, "--dry-run=client", "--hide-secret", *flags)
        return run_helm(helm, "install", "wo", str(CHART), *flags).split("\nNOTES:\n")[1]

    default = notes()
    assert "helm test wo -n workflows" in default
    assert "kubectl apply -n workflows" in default
    assert re.findall("WARNING: [^.]*", default) == ["WARNING: There is one NATS server"]
    assert "WARNING" not in notes("--set", "nats.bundled.replicas=3")
    risky = notes(
        "--set",
        "nats.url=nats://nats:4222,operator.replicas=1,watchNamespaces={team-a,team-b},"
        "crds.keep=false,crds.acknowledgeDeletion=workflowruns.workflow-operator.dev",
    )
    assert "kubectl apply -n team-a" in risky
    for words in ("nats.streamReplicas is 1", "operator.replicas is 1", "crds.keep is false"):
        assert f"WARNING: {words}" in risky


def test_the_longest_names_still_fit(helm: Path) -> None:
    objects = helm_template(helm, {"fullnameOverride": "a" * 46, "nats": {"bundled": {"replicas": 3}}})
    for each in objects:
        name = each["metadata"]["name"]
        assert len(name) <= 63
        # The controller adds a hash of ten digits to make a label of it.
        assert each["kind"] != "StatefulSet" or len(name) <= 52
    assert find(objects, "StatefulSet")["metadata"]["name"] == "a" * 46 + "-nats"


def test_a_cluster_that_is_too_old_is_refused(helm: Path) -> None:
    with pytest.raises(RenderingFailed, match=r"incompatible with Kubernetes v1\.30\.9"):
        helm_template(helm, {}, "--kube-version", "1.30.9")
    assert helm_template(helm, {}, "--kube-version", "1.31.0-eks-1")


EXTERNAL = {"url": "tls://nats:4222"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nats": {**EXTERNAL, "bundled": {"replicas": 3}}}, "nats.bundled.replicas has no effect"),
        (
            {"nats": {**EXTERNAL, "bundled": {"auth": {"existingSecret": "x"}}}},
            "nats.bundled.auth.existingSecret has no",
        ),
        ({"nats": {**EXTERNAL, "bundled": {"tls": {"existingSecret": "x"}}}}, "nats.bundled.tls.existingSecret has no"),
        ({"nats": {**EXTERNAL, "bundled": {"extraLogins": ["backup"]}}}, "nats.bundled.extraLogins has no effect"),
        ({"nats": {**EXTERNAL, "auth": {"method": "nkey"}}}, "name the Secret with the logins"),
        ({"nats": {**EXTERNAL, "auth": {"existingSecret": "x"}}}, "set it to password, credentials or nkey"),
        ({"nats": {**EXTERNAL, "tls": {"enabled": True}}}, "name the Secret with ca.crt"),
        ({"nats": {**EXTERNAL, "tls": {"existingSecret": "x"}}}, "nats.tls.enabled is false"),
        ({"nats": {**EXTERNAL, "tls": {"clientCertificate": True}}}, "nats.tls.enabled is false"),
        ({"nats": {"auth": {"method": "nkey"}}}, "nats.auth.method is for an external NATS"),
        ({"nats": {"auth": {"existingSecret": "x"}}}, "use nats.bundled.auth.existingSecret"),
        ({"nats": {"tls": {"enabled": True}}}, "nats.tls.enabled is for an external NATS"),
        ({"nats": {"tls": {"existingSecret": "x"}}}, "use nats.bundled.tls.existingSecret"),
        ({"nats": {"tls": {"clientCertificate": True}}}, "nats.tls.clientCertificate is for an external NATS"),
        ({"nats": {"storageBytes": 1}}, "nats.storageBytes is for an external NATS"),
        ({"nats": {"streamReplicas": 3}}, "nats.bundled.replicas copies of each stream"),
        (
            {"nats": EXTERNAL, "executor": {"enabled": True, "autoscaling": {"enabled": True}}},
            "set executor.autoscaling.monitoringEndpoint",
        ),
        ({"executor": {"autoscaling": {"enabled": True}}}, "set executor.enabled to true"),
        ({"executor": {"autoscaling": {"minReplicas": 11}}}, "minReplicas is 11, and must not be above maxReplicas"),
        ({"operator": {"terminationGracePeriodSeconds": 20}}, "operator.terminationGracePeriodSeconds is 20, and must"),
        ({"settings": {"shutdownSeconds": 30.5}}, "projector.terminationGracePeriodSeconds is 30, and must be above"),
        (
            {"networkPolicy": {"enabled": True}, "settings": {"otlpEndpoint": "http://collector:4318"}},
            "allow the collector in networkPolicy.extraEgress",
        ),
        ({"serviceAccount": {"create": False}}, "serviceAccount.create is false: name"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], words: str, render: Render) -> None:
    with pytest.raises(RenderingFailed, match=re.escape(words)):
        render(values)

"""The client against a real API server, as the operator's own ServiceAccount."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dev.control_plane import ControlPlane, ControlPlaneError
from tests.fixtures.workflowruns import PROJECT, Kubectl, manifest
from workflow_operator.cluster import WorkflowRunClient, load_configuration
from workflow_operator.history.errors import Conflict, InvalidInput, NotFound, Unavailable

pytestmark = pytest.mark.e2e

RBAC_FILE = PROJECT / "charts" / "workflow-operator" / "files" / "rbac.yaml"
ACCOUNT = "workflow-operator"
RUNNING = {"observedGeneration": 1, "phase": "Running"}


@pytest.fixture(scope="module")
def account(workflowrun_api: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the operator's ServiceAccount, with the committed RBAC applied."""
    namespace = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ACCOUNT}})
    workflowrun_api.kubectl("apply", "-f", "-", input=namespace)
    workflowrun_api.kubectl("apply", "-f", str(RBAC_FILE))
    target = tmp_path_factory.mktemp("account") / "kubeconfig"
    return workflowrun_api.service_account_kubeconfig(ACCOUNT, ACCOUNT, target)


@pytest.fixture
async def client(account: Path) -> AsyncIterator[WorkflowRunClient]:
    async with WorkflowRunClient(await load_configuration({"KUBECONFIG": str(account)})) as connected:
        yield connected


async def created(client: WorkflowRunClient, kubectl: Kubectl) -> tuple[str, str]:
    """uid and resource version of a new run named run."""
    kubectl("create", "-f", "-", document=manifest("run", {"script": "1"}))
    return versions(await client.get(kubectl.namespace, "run"))


def versions(run: dict[str, Any] | None) -> tuple[str, str]:
    assert run is not None
    return run["metadata"]["uid"], run["metadata"]["resourceVersion"]


async def test_a_status_is_replaced_as_a_whole_with_every_null(client: WorkflowRunClient, kubectl: Kubectl) -> None:
    uid, version = await created(client, kubectl)
    first = RUNNING | {"memory": {"a": None, "b": [None, {"c": None}]}, "steps": 1}
    version = await client.put_status(kubectl.namespace, "run", uid, version, first)
    assert (await whole(client, kubectl))["status"] == first
    version = await client.put_status(kubectl.namespace, "run", uid, version, RUNNING | {"output": None})
    run = await whole(client, kubectl)
    assert versions(run) == (uid, version)
    assert run["status"] == RUNNING | {"output": None}
    seen = await client.look(kubectl.namespace, "run")
    assert seen is not None
    assert seen["status"] == RUNNING, "a sighting has no values"


async def test_a_status_leaves_everything_else_as_it_is(client: WorkflowRunClient, kubectl: Kubectl) -> None:
    run = manifest("run", {"script": "1", "input": {"a": None}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "11111111-2222-4333-8444-555555555555"}
    run["metadata"] |= {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"]}
    run["metadata"]["ownerReferences"] = [owner]
    kubectl("create", "-f", "-", document=run)
    before = await whole(client, kubectl)
    await client.put_status(kubectl.namespace, "run", *versions(before), RUNNING)
    after = await whole(client, kubectl)
    *managers, ours = after["metadata"].pop("managedFields")
    assert managers == before["metadata"].pop("managedFields"), "who owns the spec still does"
    assert (ours["manager"], ours["subresource"]) == ("workflow-operator", "status")
    for each in (before, after):
        del each["status"], each["metadata"]["resourceVersion"]
    assert after == before
    kubectl("patch", "workflowrun", "run", "--type=merge", '-p={"metadata": {"finalizers": null}}')


async def test_what_is_not_known_of_a_status_stays(client: WorkflowRunClient, kubectl: Kubectl) -> None:
    uid, version = await created(client, kubectl)
    first = RUNNING | {"memory": {"a": None}, "steps": 1}
    version = await client.put_status(kubectl.namespace, "run", uid, version, first)
    ended = {"completionTime": "2026-01-01T00:00:00Z"}
    seen = await client.patch_status(kubectl.namespace, "run", uid, version, ended)
    assert seen["status"] == RUNNING | {"steps": 1} | ended
    assert (await whole(client, kubectl))["status"] == first | ended


async def whole(client: WorkflowRunClient, kubectl: Kubectl) -> dict[str, Any]:
    run = await client.get(kubectl.namespace, "run")
    assert run is not None
    return run


async def test_the_same_status_again_is_no_write(client: WorkflowRunClient, kubectl: Kubectl) -> None:
    uid, version = await created(client, kubectl)
    version = await client.put_status(kubectl.namespace, "run", uid, version, RUNNING)
    assert await client.put_status(kubectl.namespace, "run", uid, version, RUNNING) == version


WRITES = pytest.mark.parametrize("write", [WorkflowRunClient.put_status, WorkflowRunClient.patch_status])


@WRITES
async def test_a_status_does_not_land_on_a_changed_run(
    client: WorkflowRunClient, kubectl: Kubectl, write: Callable[..., Awaitable[Any]]
) -> None:
    uid, version = await created(client, kubectl)
    kubectl("label", "workflowrun", "run", "team=a")
    with pytest.raises(Conflict, match="the object has been modified"):
        await write(client, kubectl.namespace, "run", uid, version, RUNNING)


@WRITES
async def test_a_status_does_not_land_on_a_run_of_the_same_name(
    client: WorkflowRunClient, kubectl: Kubectl, write: Callable[..., Awaitable[Any]]
) -> None:
    uid, version = await created(client, kubectl)
    kubectl("delete", "workflowrun", "run")
    with pytest.raises(NotFound, match='"run" not found'):
        await write(client, kubectl.namespace, "run", uid, version, RUNNING)
    _, new_version = await created(client, kubectl)
    for seen in (version, new_version):
        with pytest.raises(Conflict):
            await write(client, kubectl.namespace, "run", uid, seen, RUNNING)
    assert kubectl.get("run")["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (RUNNING, RUNNING | {"phase": "Done"}, 'status.phase: Unsupported value: "Done"'),
        (RUNNING | {"historySequence": 2}, RUNNING, "status.historySequence never decreases"),
        (RUNNING, {}, "status.phase: Required value"),
    ],
)
async def test_a_refused_status_tells_the_servers_words(
    client: WorkflowRunClient, kubectl: Kubectl, first: dict[str, Any], second: dict[str, Any], words: str
) -> None:
    uid, version = await created(client, kubectl)
    version = await client.put_status(kubectl.namespace, "run", uid, version, first)
    with pytest.raises(InvalidInput) as caught:
        await client.put_status(kubectl.namespace, "run", uid, version, second)
    assert words in str(caught.value)
    assert f"update workflowruns/status {kubectl.namespace}/run" in str(caught.value)


async def test_config_maps_are_read_by_name(client: WorkflowRunClient, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "scripts", "--from-literal=main.js=function main() {}")
    found = await client.config_map(kubectl.namespace, "scripts")
    assert found is not None
    assert found["data"] == {"main.js": "function main() {}"}
    assert await client.config_map(kubectl.namespace, "others") is None
    assert await client.get(kubectl.namespace, "others") is None


async def test_a_namespace_has_a_uid(client: WorkflowRunClient, workflowrun_api: ControlPlane) -> None:
    uid = workflowrun_api.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    assert await client.namespace_uid("kube-system") == uid
    assert await client.ready()


async def test_a_missing_right_is_named(workflowrun_api: ControlPlane, account: Path, tmp_path: Path) -> None:
    workflowrun_api.kubectl("create", "serviceaccount", "nobody", "-n", ACCOUNT)
    nobody = workflowrun_api.service_account_kubeconfig(ACCOUNT, "nobody", tmp_path / "nobody")
    async with WorkflowRunClient(await load_configuration({"KUBECONFIG": str(nobody)})) as client:
        with pytest.raises(Unavailable, match="Grant verb get on workflowruns to this account"):
            await client.get("default", "run")
        with pytest.raises(Unavailable, match="Grant verb update on workflowruns/status to this account"):
            await client.put_status("default", "run", "u", "1", RUNNING)
        assert await client.ready()


async def test_a_token_that_is_not_accepted_is_told(account: Path) -> None:
    configuration = await load_configuration({"KUBECONFIG": str(account)})
    configuration.api_key["BearerToken"] = "Bearer wrong"
    async with WorkflowRunClient(configuration) as client:
        with pytest.raises(Unavailable, match="The credentials are not accepted"):
            await client.get("default", "run")


async def test_a_server_of_another_authority_is_not_trusted(account: Path) -> None:
    configuration = await load_configuration({"KUBECONFIG": str(account)})
    configuration.ssl_ca_cert = ssl.get_default_verify_paths().cafile
    async with WorkflowRunClient(configuration) as client:
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await client.get("default", "run")


def can_i(control_plane: ControlPlane, account: Path, *question: str) -> bool:
    try:
        answer = control_plane.kubectl_as(account, "auth", "can-i", *question)
    except ControlPlaneError:
        return False
    return answer.strip() == "yes"


ALLOWED = [
    ("list", "workflowruns", "--all-namespaces"),
    ("watch", "workflowruns", "--all-namespaces"),
    ("get", "workflowruns", "--all-namespaces"),
    ("patch", "workflowruns", "--subresource=status", "--all-namespaces"),
    ("update", "workflowruns", "--subresource=status", "--all-namespaces"),
    ("get", "configmaps", "-n", "default"),
    ("create", "events.events.k8s.io", "-n", "default"),
    ("get", "namespaces/kube-system"),
]

DENIED = [
    *(("get", what, "-n", "default") for what in ("secrets", "pods", "serviceaccounts", "leases", "jobs")),
    *((verb, "secrets", "-n", ACCOUNT) for verb in ("list", "watch", "create", "delete")),
    *((verb, "configmaps", "-n", "default") for verb in ("list", "watch", "create", "update", "patch", "delete")),
    *((verb, "workflowruns", "-n", "default") for verb in ("create", "update", "patch", "delete", "deletecollection")),
    ("patch", "workflowruns", "--subresource=finalizers", "-n", "default"),
    ("create", "serviceaccounts", "--subresource=token", "-n", ACCOUNT),
    ("list", "events.events.k8s.io", "-n", "default"),
    ("create", "events", "-n", "default"),
    ("get", "namespaces/default"),
    ("list", "namespaces"),
    ("list", "customresourcedefinitions"),
    ("bind", "clusterroles"),
    ("impersonate", "users"),
]


@pytest.mark.parametrize("question", ALLOWED, ids=" ".join)
def test_the_account_may(workflowrun_api: ControlPlane, account: Path, question: tuple[str, ...]) -> None:
    assert can_i(workflowrun_api, account, *question)


@pytest.mark.parametrize("question", DENIED, ids=" ".join)
def test_the_account_may_not(workflowrun_api: ControlPlane, account: Path, question: tuple[str, ...]) -> None:
    # A question that is put wrongly is answered with no, too: the admin's yes shows that it is put rightly.
    assert can_i(workflowrun_api, workflowrun_api.kubeconfig, *question)
    assert not can_i(workflowrun_api, account, *question)

"""The client against a small server of its own: what it sends, and what it makes of the answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from workflow_operator import metrics
from workflow_operator.cluster import WorkflowRunClient, load_configuration
from workflow_operator.history.errors import InvalidInput, NotFound, Unavailable

pytestmark = pytest.mark.integration

RUN = "/apis/workflow-operator.dev/v1alpha1/namespaces/team-a/workflowruns/nightly"
STATUS = {"observedGeneration": 1, "phase": "Running", "memory": {"a": None}}

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeApi:
    """Answers with what `respond` makes, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.authorizations: list[str | None] = []
        self.respond: Respond = self._empty_object
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app, host="127.0.0.1")

    def answers(self, document: Any, status: int = 200) -> None:
        async def respond(_: web.Request) -> web.StreamResponse:
            return web.json_response(document, status=status)

        self.respond = respond

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        sent = json.loads(body) if body else None
        kind = request.headers.get("Content-Type") if body else None
        self.asked.append((request.method, request.raw_path, kind, sent))
        self.authorizations.append(request.headers.get("Authorization"))
        return await self.respond(request)

    async def _empty_object(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({})


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    await fake.server.start_server()
    yield fake
    await fake.server.close()


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[WorkflowRunClient]:
    async with WorkflowRunClient(Configuration(host=str(api.server.make_url("")).rstrip("/"))) as connected:
        yield connected


async def test_a_run_is_read_by_its_name(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"kind": "WorkflowRun"})
    assert await client.get("team-a", "nightly") == {"kind": "WorkflowRun"}
    assert api.asked == [("GET", RUN, None, None)]


async def test_what_is_not_there_is_none(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"kind": "Status", "message": "not found"}, 404)
    assert await client.get("team-a", "nightly") is None
    assert await client.config_map("team-a", "scripts") is None
    assert api.asked[1][1] == "/api/v1/namespaces/team-a/configmaps/scripts"
    with pytest.raises(NotFound, match="get namespaces team-b"):
        await client.namespace_uid("team-b")
    with pytest.raises(NotFound, match="update workflowruns/status team-a/nightly"):
        await client.put_status("team-a", "nightly", "u", "1", {})


async def test_a_status_goes_out_whole_and_bound_to_its_object(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"metadata": {"resourceVersion": "6"}})
    assert await client.put_status("team-a", "nightly", "an-uid", "5", STATUS) == "6"
    run = {
        "apiVersion": "workflow-operator.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"name": "nightly", "uid": "an-uid", "resourceVersion": "5"},
        "status": STATUS,
    }
    assert api.asked == [("PUT", f"{RUN}/status", "application/json", run)]


async def test_of_what_is_written_only_the_metadata_comes_back(api: FakeApi, client: WorkflowRunClient) -> None:
    accepted = []

    async def respond(request: web.Request) -> web.StreamResponse:
        accepted.append(request.headers["Accept"])
        return web.json_response({"metadata": {"resourceVersion": "6"}})

    api.respond = respond
    await client.put_status("team-a", "nightly", "an-uid", "5", STATUS)
    assert accepted == ["application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"]


@pytest.mark.parametrize("answer", [{}, {"metadata": {}}, {"metadata": {"resourceVersion": 6}}, []])
async def test_a_write_without_a_version_is_not_taken(api: FakeApi, client: WorkflowRunClient, answer: Any) -> None:
    api.answers(answer)
    with pytest.raises(Unavailable, match="update workflowruns/status team-a/nightly: the answer is no object"):
        await client.put_status("team-a", "nightly", "an-uid", "5", STATUS)


async def test_fields_of_a_status_are_bound_to_their_object(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"metadata": {"resourceVersion": "6"}})
    ended = {"completionTime": "2026-01-01T00:00:00Z"}
    found = await client.patch_status("team-a", "nightly", "an-uid", "5", ended)
    assert found == {"metadata": {"resourceVersion": "6"}}
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": "an-uid"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "5"},
        {"op": "add", "path": "/status/completionTime", "value": ended["completionTime"]},
    ]
    assert api.asked == [("PATCH", f"{RUN}/status", "application/json-patch+json", patch)]


@pytest.mark.parametrize("suspend", [True, False])
async def test_a_run_is_suspended_and_resumed(api: FakeApi, client: WorkflowRunClient, suspend: bool) -> None:
    api.answers({"metadata": {"resourceVersion": "6"}})
    await client.suspend("team-a", "nightly", suspend=suspend)
    assert api.asked == [("PATCH", RUN, "application/merge-patch+json", {"spec": {"suspend": suspend}})]


async def test_a_namespace_has_a_uid(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"metadata": {"uid": "an-uid"}})
    assert await client.namespace_uid("kube-system") == "an-uid"
    assert api.asked[0][1] == "/api/v1/namespaces/kube-system"


async def pages(request: web.Request) -> web.StreamResponse:
    """Two pages of runs in each place, with uids that tell the place."""
    place = request.path.split("/")[5] if "namespaces" in request.path else "anywhere"
    number = "2" if "continue" in request.query else "1"
    items = [{"metadata": {"uid": f"{place}-{number}"}}]
    metadata = {"continue": "a&b"} if number == "1" else {}
    return web.json_response({"metadata": metadata, "items": items})


async def test_all_runs_are_counted_page_by_page(api: FakeApi, client: WorkflowRunClient) -> None:
    api.respond = pages
    assert await client.run_uids() == {"anywhere-1", "anywhere-2"}
    path = "/apis/workflow-operator.dev/v1alpha1/workflowruns?limit=100"
    assert [asked[1] for asked in api.asked] == [path, f"{path}&continue=a%26b"]


async def test_there_may_be_no_run_at_all(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"metadata": {}, "items": None})
    assert await client.run_uids() == frozenset()


async def test_runs_are_counted_in_the_watched_namespaces_only(api: FakeApi) -> None:
    api.respond = pages
    configuration = Configuration(host=str(api.server.make_url("")).rstrip("/"))
    async with WorkflowRunClient(configuration, namespaces=("team-a", "team-b")) as client:
        assert await client.run_uids() == {"team-a-1", "team-a-2", "team-b-1", "team-b-2"}
    assert all("/namespaces/team-" in asked[1] for asked in api.asked)


async def test_an_event_is_created_in_its_namespace(api: FakeApi, client: WorkflowRunClient) -> None:
    event = {"apiVersion": "events.k8s.io/v1", "metadata": {"name": "nightly.1", "namespace": "team-a"}}
    await client.create_event(event)
    path = "/apis/events.k8s.io/v1/namespaces/team-a/events"
    assert api.asked == [("POST", path, "application/json", event)]


@pytest.mark.parametrize(
    ("code", "answer"),
    [(404, {"message": "not found"}), (200, {"resources": []}), (200, {"resources": [{"name": "x"}]})],
)
async def test_a_server_without_the_crd_is_told(
    code: int, answer: Any, api: FakeApi, client: WorkflowRunClient
) -> None:
    api.answers(answer, code)
    with pytest.raises(Unavailable, match=r"does not know workflowruns of workflow-operator\.dev/v1alpha1: install"):
        await client.check_served()


async def test_a_server_without_the_second_crd_is_told(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"resources": [{"name": "workflowruns"}, {"name": "workflowruns/status"}]})
    with pytest.raises(Unavailable, match=r"does not know workflowsignals of workflow-operator\.dev/v1alpha1: install"):
        await client.check_served()


async def test_signals_are_read_written_and_deleted_by_their_uid(api: FakeApi, client: WorkflowRunClient) -> None:
    path = "/apis/workflow-operator.dev/v1alpha1/namespaces/team-a/workflowsignals"
    api.answers({"metadata": {"name": "a"}})
    assert await client.signal("team-a", "a") == {"metadata": {"name": "a"}}
    await client.delete_signal("team-a", "a", "u-1")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "u-1"}}
    assert api.asked == [("GET", f"{path}/a", None, None), ("DELETE", f"{path}/a", "application/json", options)]
    api.answers({"message": "another uid"}, 409)
    await client.delete_signal("team-a", "a", "u-2")


async def test_a_server_with_the_crds_is_well(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers({"resources": [{"name": "workflowruns"}, {"name": "workflowruns/status"}, {"name": "workflowsignals"}]})
    await client.check_served()
    assert api.asked == [("GET", "/apis/workflow-operator.dev/v1alpha1", None, None)]


@pytest.mark.parametrize(("code", "ready"), [(200, True), (500, False), (403, False)])
async def test_ready_is_what_the_server_says(api: FakeApi, client: WorkflowRunClient, code: int, ready: bool) -> None:
    api.answers("ok", code)
    assert await client.ready() is ready
    assert api.asked == [("GET", "/readyz", None, None)]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_leads_elsewhere_is_not_asked_for(api: FakeApi, client: WorkflowRunClient, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a name"):
        await client.config_map("team-a", name)
    assert api.asked == []


async def test_a_name_stays_in_its_place(api: FakeApi, client: WorkflowRunClient) -> None:
    await client.config_map("team-a", "../secrets/x?watch=1#")
    assert api.asked[0][1] == "/api/v1/namespaces/team-a/configmaps/..%2Fsecrets%2Fx%3Fwatch=1%23"


async def test_an_answer_that_is_no_object_is_not_taken(api: FakeApi, client: WorkflowRunClient) -> None:
    api.answers(["a list"])
    with pytest.raises(Unavailable, match="not an object"):
        await client.get("team-a", "nightly")

    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    api.respond = broken
    with pytest.raises(Unavailable, match="not JSON"):
        await client.get("team-a", "nightly")


async def test_the_wait_that_the_server_asks_for_reaches_the_caller(api: FakeApi, client: WorkflowRunClient) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=429, headers={"Retry-After": "4"})

    api.respond = busy
    with pytest.raises(Unavailable) as caught:
        await client.get("team-a", "nightly")
    assert caught.value.retry_after == 4
    assert len(api.asked) == 1, "the caller's queue repeats, not the client"


async def test_a_server_that_does_not_answer_is_unavailable(api: FakeApi) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.json_response({})

    api.respond = hang
    configuration = Configuration(host=str(api.server.make_url("")).rstrip("/"))
    async with WorkflowRunClient(configuration, timeout=0.05) as client:
        with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
            await client.get("team-a", "nightly")
        assert await client.ready() is False
    released.set()


async def test_an_answer_that_breaks_off_is_unavailable(api: FakeApi, client: WorkflowRunClient) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    api.respond = break_off
    with pytest.raises(Unavailable, match="cannot be reached"):
        await client.get("team-a", "nightly")


async def test_a_server_that_is_away_is_unavailable(api: FakeApi, client: WorkflowRunClient) -> None:
    await api.server.close()
    with pytest.raises(Unavailable, match=r"get workflowruns team-a/nightly: http://127\.0\.0\.1.* cannot be reached"):
        await client.get("team-a", "nightly")
    assert await client.ready() is False


async def test_a_rotated_token_is_taken_up(api: FakeApi, tmp_path: Path) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("unused: the address below is not https")
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    loader = InClusterConfigLoader(str(token), str(authority), environ=environment)
    configuration = Configuration()
    loader.load_and_set(configuration)
    loader.host = configuration.host = str(api.server.make_url("")).rstrip("/")
    configuration.ssl_ca_cert = None
    async with WorkflowRunClient(configuration) as client:
        await client.ready()
        token.write_text("second")
        await client.ready()
        loader.token_expires_at = datetime.min  # noqa: DTZ901  (naive, as the loader's own)
        await client.ready()
    assert api.authorizations == ["bearer first", "bearer first", "bearer second"]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    file = tmp_path / "config"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return str(file)


async def test_a_kubeconfig_is_taken_before_the_pods_own_account(kubeconfig: str) -> None:
    environment = {"KUBECONFIG": kubeconfig, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert (await load_configuration(environment)).host == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("environment", "trusted"),
    [
        ({}, False),
        ({"https_proxy": ""}, False),
        ({"https_proxy": "http://p"}, True),
        ({"HTTP_PROXY": "http://p"}, True),
    ],
)
async def test_a_proxy_is_looked_for_where_there_is_one(
    kubeconfig: str, environment: dict[str, str], trusted: bool
) -> None:
    configuration = await load_configuration({"KUBECONFIG": kubeconfig, **environment})
    assert configuration.client_session_kwargs == {"trust_env": trusted}


@pytest.mark.parametrize("environment", [{"KUBECONFIG": "/nonexistent"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
async def test_no_configuration_says_what_to_do(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="Set KUBECONFIG, or run in a pod with a ServiceAccount"):
        await load_configuration(environment)


def counted(verb: str, resource: str, code: str) -> float:
    labels = {"verb": verb, "resource": resource, "code": code}
    samples = [sample for family in metrics.API_REQUESTS.collect() for sample in family.samples]
    return sum(sample.value for sample in samples if sample.labels == labels)


async def test_every_request_is_counted_by_its_answer(api: FakeApi, client: WorkflowRunClient) -> None:
    kinds = [("get", "workflowruns", code) for code in ("200", "404", "429", "0")]
    before = [counted(*kind) for kind in kinds]
    await client.get("team-a", "nightly")
    for code in (404, 429):
        api.answers({}, code)
        with suppress(Unavailable):
            await client.get("team-a", "nightly")
    await api.server.close()
    with pytest.raises(Unavailable, match="cannot be reached"):
        await client.get("team-a", "nightly")
    assert [counted(*kind) - was for kind, was in zip(kinds, before, strict=True)] == [1, 1, 1, 1]

"""The few calls to the Kubernetes API that the operator makes itself; watching is kopf's.

They go through the transport of ``kubernetes.aio`` (connections, TLS, tokens) and not through its generated methods:
those cost two to three times as much for each request, and add nothing for objects that stay dictionaries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from aiohttp import ClientError, ClientTimeout
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from workflow_operator import metrics
from workflow_operator.cluster.failures import Answer, Request, failure
from workflow_operator.history.errors import Conflict, InvalidInput, NotFound, Unavailable, WorkflowError
from workflow_operator.resources.names import API_VERSION, KIND, PLURAL, SIGNAL_KIND, SIGNAL_PLURAL
from workflow_operator.resources.sighting import identities, sighting, version

JsonObject = dict[str, Any]

REQUEST_TIMEOUT: Final = 10.0
"""Seconds for one request, with its answer read."""

_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_METADATA_OF_ONE: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# A page is in memory at once, as JSON, and the metadata of one object can have a megabyte.
_PAGE: Final = 100


class WorkflowRunClient:
    """Reads runs, signals and ConfigMaps, and writes the statuses of runs and signals.

    Use it as an async context manager, or close() it. Every method raises Unavailable (with the wait that the server
    asked for) when the API server cannot be reached in time, answers 408, 429 or 5xx, or does not let us; and
    InvalidInput when it calls the request wrong, with its words.

    Args:
        namespaces: where to look for runs; in all of them if empty, which takes rights in the whole cluster.
        timeout: seconds for one request.
    """

    def __init__(
        self, configuration: Configuration, *, namespaces: Sequence[str] = (), timeout: float = REQUEST_TIMEOUT
    ) -> None:
        self._namespaces = namespaces
        self._api = ApiClient(configuration)
        self._api.user_agent = "workflow-operator"
        self._timeout = ClientTimeout(total=timeout)

    async def get(self, namespace: str, name: str) -> JsonObject | None:
        """The run, or None when there is none."""
        return await self._get_or_none(Request("get", PLURAL, f"{namespace}/{name}"), _run(namespace, name))

    async def look(self, namespace: str, name: str) -> JsonObject | None:
        """The run as :func:`workflow_operator.resources.sighting.sighting` gives it, or None when there is none."""
        found = await self.read(namespace, name)
        return None if found is None else _sighting(Request("get", PLURAL, f"{namespace}/{name}"), found)

    async def read(self, namespace: str, name: str) -> bytes | None:
        """The run as JSON, or None when there is none: anybody may have made it a megabyte."""
        try:
            return (await self._ask(Request("get", PLURAL, f"{namespace}/{name}"), _run(namespace, name))).body
        except NotFound:
            return None

    async def create(self, namespace: str, run: JsonObject) -> JsonObject:
        """Create a run from its manifest; returns it as it was stored, with the name that the API server chose."""
        return await self._create(PLURAL, namespace, run)

    async def delete(self, namespace: str, name: str) -> None:
        """Delete the run; nothing happens when there is none."""
        with suppress(NotFound):
            await self._ask(Request("delete", PLURAL, f"{namespace}/{name}"), _run(namespace, name), method="DELETE")

    async def run_uids(self) -> frozenset[str]:
        """The uids of all runs, as the API server's cache has them: it may lag, so ask for an object before acting."""
        if not self._namespaces:
            path = _path("apis", *API_VERSION.split("/"), PLURAL)
            return frozenset(await self._uids(Request("list", PLURAL, ""), path))
        uids: set[str] = set()
        for namespace in self._namespaces:
            uids |= await self._uids(Request("list", PLURAL, namespace), _ours(namespace, PLURAL))
        return frozenset(uids)

    async def _uids(self, request: Request, path: str) -> set[str]:
        uids: set[str] = set()
        more = ""
        while True:
            answer = await self._ask(request, f"{path}?limit={_PAGE}{more}", accept=_METADATA_ONLY)
            try:
                page = identities(answer.body)
            except ValueError as error:
                raise Unavailable(f"{request}: the answer is no list: {answer.body[:200]!r}: {error}") from error
            uids |= set(page.uids)
            if not page.more:
                return uids
            more = f"&continue={quote(page.more, safe='')}"

    async def put_status(self, namespace: str, name: str, uid: str, resource_version: str, status: JsonObject) -> str:
        """Replace the whole status of the run, and return its resource version after that.

        It lands only on the object with this uid and resource version. Raises Conflict when that has changed or was
        created again, NotFound when it is gone, and InvalidInput when its schema refuses the status.
        """
        return await self._put_status(PLURAL, namespace, _replaced(KIND, name, uid, resource_version, status))

    async def patch_status(
        self, namespace: str, name: str, uid: str, resource_version: str, fields: JsonObject
    ) -> JsonObject:
        """Replace these fields of the status, and return a sighting of the run as it is then.

        As :meth:`put_status`, for who does not know the rest of the status: what it shows of it stays.
        """
        request = Request("patch", f"{PLURAL}/status", f"{namespace}/{name}")
        patch = status_patch(uid, resource_version, fields)
        answer = await self._ask(request, f"{_run(namespace, name)}/status", patch, method="PATCH", content=_JSON_PATCH)
        return _sighting(request, answer.body)

    async def suspend(self, namespace: str, name: str, *, suspend: bool) -> None:
        """Set ``spec.suspend`` of a run. Raises NotFound when there is none."""
        request = Request("patch", PLURAL, f"{namespace}/{name}")
        patch = {"spec": {"suspend": suspend}}
        await self._ask(request, _run(namespace, name), patch, method="PATCH", content=_MERGE_PATCH)

    async def signal(self, namespace: str, name: str) -> JsonObject | None:
        """The WorkflowSignal, or None when there is none."""
        return await self._get_or_none(Request("get", SIGNAL_PLURAL, f"{namespace}/{name}"), _signal(namespace, name))

    async def create_signal(self, namespace: str, signal: JsonObject) -> JsonObject:
        """Create a signal from its manifest; returns it as it was stored. Raises Conflict when there is one."""
        return await self._create(SIGNAL_PLURAL, namespace, signal)

    async def put_signal_status(
        self, namespace: str, name: str, uid: str, resource_version: str, status: JsonObject
    ) -> None:
        """Replace the whole status of the signal, as :meth:`put_status` that of a run."""
        body = _replaced(SIGNAL_KIND, name, uid, resource_version, status)
        await self._put_status(SIGNAL_PLURAL, namespace, body)

    async def delete_signal(self, namespace: str, name: str, uid: str) -> None:
        """Delete the signal with this uid; nothing happens when there is none."""
        request = Request("delete", SIGNAL_PLURAL, f"{namespace}/{name}")
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        with suppress(NotFound, Conflict):
            await self._ask(request, _signal(namespace, name), body, method="DELETE")

    async def user(self) -> str:
        """The name under which the API server knows us."""
        request = Request("create", "selfsubjectreviews.authentication.k8s.io", "")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = _path("apis", "authentication.k8s.io", "v1", "selfsubjectreviews")
        found = _object(request, await self._ask(request, path, body, method="POST"))
        return str(found["status"]["userInfo"]["username"])

    async def config_map(self, namespace: str, name: str) -> JsonObject | None:
        """The ConfigMap, or None when there is none."""
        path = _path("api", "v1", "namespaces", namespace, "configmaps", name)
        return await self._get_or_none(Request("get", "configmaps", f"{namespace}/{name}"), path)

    async def create_event(self, event: JsonObject) -> None:
        """Create an Event of events.k8s.io/v1. Raises Conflict when there is one of that name."""
        namespace = event["metadata"]["namespace"]
        path = _path("apis", *event["apiVersion"].split("/"), "namespaces", namespace, "events")
        await self._ask(Request("create", "events.events.k8s.io", namespace), path, event, method="POST")

    async def namespace_uid(self, namespace: str) -> str:
        """The uid of a namespace."""
        request = Request("get", "namespaces", namespace)
        found = _object(request, await self._ask(request, _path("api", "v1", "namespaces", namespace)))
        return str(found["metadata"]["uid"])

    async def check_served(self) -> None:
        """Raises Unavailable while the API server does not know our objects, as without the CRDs."""
        request = Request("get", f"/apis/{API_VERSION}", "")
        try:
            found = _object(request, await self._ask(request, _path("apis", *API_VERSION.split("/"))))["resources"]
        except NotFound:
            found = []
        for plural in (PLURAL, SIGNAL_PLURAL):
            if plural not in {resource["name"] for resource in found}:
                raise Unavailable(f"the API server does not know {plural} of {API_VERSION}: install the CRD")

    async def ready(self) -> bool:
        """Whether the API server says that it can serve requests; False when it does not, or does not answer."""
        try:
            await self._ask(Request("get", "/readyz", ""), _path("readyz"))
        except WorkflowError:
            return False
        return True

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _create(self, plural: str, namespace: str, manifest: JsonObject) -> JsonObject:
        request = Request("create", plural, namespace)
        return _object(request, await self._ask(request, _ours(namespace, plural), manifest, method="POST"))

    async def _put_status(self, plural: str, namespace: str, body: JsonObject) -> str:
        name = body["metadata"]["name"]
        request = Request("update", f"{plural}/status", f"{namespace}/{name}")
        path = f"{_ours(namespace, plural, name)}/status"
        answer = await self._ask(request, path, body, method="PUT", accept=_METADATA_OF_ONE)
        try:
            return version(answer.body)
        except ValueError as error:
            raise _no_object(request, answer.body, error) from error

    async def _get_or_none(self, request: Request, path: str) -> JsonObject | None:
        try:
            return _object(request, await self._ask(request, path))
        except NotFound:
            return None

    async def _ask(
        self,
        request: Request,
        path: str,
        body: JsonObject | list[JsonObject] | None = None,
        *,
        method: str = "GET",
        content: str = _JSON,
        accept: str = _JSON,
    ) -> Answer:
        headers = {"Accept": accept} | ({"Content-Type": content} if body is not None else {})
        code = 0
        try:
            answer = await self._send(method, path, headers, body)
            code = answer.status
        except TimeoutError as error:
            raise Unavailable(f"{request}: no answer within {self._timeout.total} s") from error
        except (ClientError, OSError, ConfigException) as error:
            raise Unavailable(f"{request}: {self._api.configuration.host} cannot be reached: {error}") from error
        finally:
            metrics.API_REQUESTS.labels(request.verb, request.resource, str(code)).inc()
        if not 200 <= answer.status < 300:
            raise failure(request, answer)
        return answer

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: JsonObject | list[JsonObject] | None
    ) -> Answer:
        # This adds the token, rotated or not. The body stays out of it: copying it costs more than sending it.
        call = await self._api.param_serialize(method, path, header_params=headers, auth_settings=["BearerToken"])
        _, url, sent, _, _ = call
        response = await self._api.call_api(method, url, sent, body=body, _request_timeout=self._timeout)
        said = await response.read()  # type: ignore[no-untyped-call]
        return Answer(response.status, response.headers, said)


def status_patch(uid: str, resource_version: str, fields: JsonObject) -> list[JsonObject]:
    """The JSON patch that replaces fields of the status of exactly this version of exactly this object.

    A merge patch would not do: on the status subresource the API server ignores its metadata.uid. The test fails on
    another uid, and a resource version that is put in place makes the server compare it.
    """
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
        *({"op": "add", "path": f"/status/{name}", "value": value} for name, value in fields.items()),
    ]


def _replaced(kind: str, name: str, uid: str, resource_version: str, status: JsonObject) -> JsonObject:
    """What replaces the status of an object. Of the rest the API server keeps what it has: spec, labels and finalizers
    need not be known."""
    metadata = {"name": name, "uid": uid, "resourceVersion": resource_version}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status}


def _run(namespace: str, name: str) -> str:
    return _ours(namespace, PLURAL, name)


def _signal(namespace: str, name: str) -> str:
    return _ours(namespace, SIGNAL_PLURAL, name)


def _ours(namespace: str, plural: str, *name: str) -> str:
    """Objects of one of our kinds, or the one with this name."""
    return _path("apis", *API_VERSION.split("/"), "namespaces", namespace, plural, *name)


def _path(*segments: str) -> str:
    for segment in segments:
        # A name from a manifest must not climb out of its place: dots survive quoting and are resolved later.
        if segment in ("", ".", ".."):
            raise InvalidInput(f"{segment!r} is not a name of a Kubernetes object")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def _sighting(request: Request, body: bytes) -> JsonObject:
    try:
        return sighting(body)
    except ValueError as error:
        raise _no_object(request, body, error) from error


def _no_object(request: Request, body: bytes, error: ValueError) -> Unavailable:
    return Unavailable(f"{request}: the answer is no object: {body[:200]!r}: {error}")


def _object(request: Request, answer: Answer) -> JsonObject:
    try:
        parsed = json.loads(answer.body)
    except ValueError as error:
        raise Unavailable(f"{request}: the answer is not JSON: {answer.body[:200]!r}") from error
    if not isinstance(parsed, dict):
        raise Unavailable(f"{request}: the answer is not an object: {answer.body[:200]!r}")
    return parsed

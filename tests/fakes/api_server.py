"""An API server that serves WorkflowRuns to a watch: what it sends, and when it falls silent, is the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, overload

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_operator.resources.names import GROUP, KIND, PLURAL, VERSION

_RUNS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


class FakeApiServer:
    """``objects`` are what a list gives, as JSON. A watch gets what is put into ``lines``, each as it is."""

    def __init__(self) -> None:
        self.objects: Sequence[bytes] = ()
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.refusals: list[int] = []
        """Statuses of the next answers about runs, in place of answers."""
        self.limits: list[int] = []
        """Of the pages that were asked for, those that were refused included."""
        self._refused_pages: dict[int, int] = {}
        self.watches = 0
        app = web.Application()
        app.router.add_get(_RUNS, self._runs)
        for path, document in _DISCOVERY.items():
            app.router.add_get(path, _answering(document))
        self._server = TestServer(app, host="127.0.0.1")

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[Path]:
        """Yields the path of a kubeconfig."""
        await self._server.start_server(shutdown_timeout=0.1)
        path = folder / "kubeconfig"
        path.write_text(kubeconfig(str(self._server.make_url("")).rstrip("/")))
        try:
            yield path
        finally:
            self.cut()
            await self._server.close()

    def say(self, kind: str, document: Any) -> None:
        """Send an event to the watch."""
        self.lines.put_nowait(json.dumps({"type": kind, "object": document}).encode() + b"\n")

    def cut(self) -> None:
        """End the watch, after what was said."""
        self.lines.put_nowait(None)

    def refuse_page(self, number: int, status: int) -> None:
        """Answer the page of that number, from 0, with this status once."""
        self._refused_pages[number] = status

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        if self.refusals or ("watch" not in request.query and len(self.limits) in self._refused_pages):
            status = self.refusals.pop(0) if self.refusals else self._refused_pages.pop(len(self.limits))
            return web.json_response({"kind": "Status", "code": status, "message": "no"}, status=status)
        if "watch" in request.query:
            return await self._watch(request)
        self.limits.append(int(request.query["limit"]))
        first = int(request.query.get("continue") or 0)
        last = first + self.limits[-1]
        more = json.dumps({"resourceVersion": "1", "continue": str(last) if last < len(self.objects) else ""})
        head = f'{{"kind":"{KIND}List","apiVersion":"{GROUP}/{VERSION}","metadata":{more},"items":['.encode()
        body = head + b",".join(self.objects[first:last]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while (line := await self.lines.get()) is not None:
            await response.write(line)
        return response


def _answering(document: Any) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return answer


def _group(name: str, version: str) -> dict[str, Any]:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def _resource(plural: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}


# kopf does not begin before it has found these.
_CRDS = "apiextensions.k8s.io"
_DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [_resource("namespaces", "Namespace", namespaced=False)]},
    "/apis": {"groups": [_group(GROUP, VERSION), _group(_CRDS, "v1")]},
    f"/apis/{_CRDS}/v1": {
        "resources": [_resource("customresourcedefinitions", "CustomResourceDefinition", namespaced=False)]
    },
    f"/apis/{GROUP}/{VERSION}": {"resources": [_resource(PLURAL, KIND, namespaced=True)]},
}


def kubeconfig(server: str) -> str:
    written: str = yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )
    return written


def run_object(number: int, spec: bytes = b'{"script":"1"}', *, over: bool = False) -> bytes:
    """A WorkflowRun as the API server sends it; ``over``: one that shows its end."""
    metadata = {
        "name": f"run-{number}",
        "namespace": "default",
        "uid": f"00000000-0000-4000-8000-{number:012}",
        "resourceVersion": str(number + 1),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    status: dict[str, Any] = {"observedGeneration": -1, "phase": "Pending"}
    if over:
        status = {"phase": "Complete", "conditions": [{"type": "Finished", "status": "True"}]}
    head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status}
    return json.dumps(head).encode()[:-1] + b',"spec":' + spec + b"}"


class Runs(Sequence[bytes]):
    """So many runs with the same spec, made when they are sent: together they may be gigabytes."""

    def __init__(self, count: int, spec: bytes) -> None:
        self._numbers = range(count)
        self._spec = spec

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, int):
            return run_object(self._numbers[index], self._spec)
        return [run_object(number, self._spec) for number in self._numbers[index]]

"""What reaches the operator of what an API server says, against one that says anything."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_server import FakeApiServer, Runs, run_object
from tests.fakes.polling import eventually
from workflow_operator.handlers import Pulse, session, watch_runs
from workflow_operator.handlers.session import slim_line

pytestmark = pytest.mark.integration

MIB = 1024


class Watched:
    """A watch on a fake API server."""

    def __init__(self) -> None:
        self.server = FakeApiServer()
        self.pulse = Pulse(1, time.monotonic())
        self.names: list[str] = []
        self.task: asyncio.Task[None] | None = None

    def object_changed(self, run: dict[str, Any]) -> None:
        assert run.keys() <= {"apiVersion", "kind", "metadata", "status"}
        self.names.append(run["metadata"]["name"])

    def object_deleted(self, run: dict[str, Any]) -> None:
        self.names.append(f"no {run['metadata']['name']}")

    async def begin(self) -> None:
        self.task = asyncio.create_task(watch_runs(self, pulse=self.pulse))
        await eventually(lambda: self.server.watches > 0)

    async def sees(self, name: str) -> None:
        assert self.task is not None
        await eventually(lambda: name in self.names or self.task.done(), deadline_seconds=20)  # type: ignore[union-attr]
        assert name in self.names


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    before = sys.getrecursionlimit()
    watched = Watched()
    async with watched.server.serving(tmp_path) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield watched
        watched.server.cut()
        if watched.task is not None:
            watched.task.cancel()
            await asyncio.gather(watched.task, return_exceptions=True)
    sys.setrecursionlimit(before)


def an_object(number: int) -> Any:
    return json.loads(run_object(number))


async def test_what_is_listed_and_what_comes_later(watched: Watched) -> None:
    watched.server.objects = [run_object(number) for number in range(60)]
    await watched.begin()
    watched.server.say("ADDED", an_object(60))
    watched.server.say("DELETED", an_object(60))
    await watched.sees("no run-60")
    assert set(watched.names) >= {f"run-{number}" for number in range(61)}
    assert watched.server.lists == 3, "in pages of 25"
    assert watched.pulse.begun


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"type":"ADDED","object":{"metadata":{}}}\n', id="without a name"),
        pytest.param(b'{"type":"ADDED","object":7}\n', id="no object"),
        pytest.param(b'{"type":"ADDED","object":{"metadata":{"uid":[],"name":{}},"status":7}}\n', id="odd types"),
        pytest.param(b'{"type":7}\n', id="no type"),
        pytest.param(b"\xff\xfe\n", id="no text"),
        pytest.param(b'{"type":"ADDED","object":{"metadata":{},"spec":' + b"[" * 30_000 + b"\n", id="too deep"),
    ],
)
async def test_one_event_that_cannot_be_read_stops_nobody(watched: Watched, line: bytes) -> None:
    await watched.begin()
    watched.server.lines.put_nowait(line)
    watched.server.say("ADDED", an_object(1))
    await watched.sees("run-1")


async def test_a_watch_that_is_cut_in_the_middle_of_an_event_goes_on(watched: Watched) -> None:
    await watched.begin()
    watched.server.lines.put_nowait(b'{"type":"ADDED","object":{"metadata":{"name":"ha')
    watched.server.cut()
    watched.server.say("ADDED", an_object(1))
    await watched.sees("run-1")


async def test_a_watch_that_is_gone_lists_anew(watched: Watched) -> None:
    await watched.begin()
    watched.server.objects = [run_object(1)]
    watched.server.say("ERROR", {"kind": "Status", "code": 410})
    await watched.sees("run-1")


async def test_a_login_that_is_refused_once_is_tried_again(watched: Watched) -> None:
    await watched.begin()
    watched.server.refusals = [401]
    watched.server.cut()
    watched.server.say("ADDED", an_object(1))
    await watched.sees("run-1")


async def test_a_silent_watch_lists_anew(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "QUIET_SECONDS", 0.5)
    await watched.begin()
    watched.server.objects = [run_object(1)]
    await watched.sees("run-1")


def test_a_line_is_a_sighting_or_nothing(caplog: pytest.LogCaptureFixture) -> None:
    line = slim_line(b'{"type":"ADDED","object":' + run_object(1) + b"}")
    assert line is not None
    assert line.endswith(b"\n")
    assert "spec" not in json.loads(line)["object"]
    assert slim_line(b'{"type":') is None
    assert "left out an event of the watch" in caplog.text


def large(item: bytes, size: int) -> bytes:
    return b'{"script":"1","input":[' + item * (size // len(item)) + b"0]}"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(large(b"[],", 256_000), id="the largest legal input"),
        pytest.param(large(b'{"":0},', 1_200_000), id="a refused one"),
    ],
)
async def test_a_thousand_objects_of_any_size_leave_an_operator_below_512_mib(spec: bytes, tmp_path: Path) -> None:
    server = FakeApiServer()
    server.objects = Runs(1000, spec)
    async with server.serving(tmp_path) as kubeconfig:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.handlers.watching",
            "1000",
            env=os.environ | {"KUBECONFIG": str(kubeconfig)},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 120)
    measured = json.loads(said)
    assert (measured["seen"], measured["peak_kib"] < 300 * MIB) == (1000, True), measured

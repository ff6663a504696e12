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
from workflow_operator.handlers.session import Listener, slim_line

pytestmark = pytest.mark.integration

MIB = 1024


class Watched:
    """A watch on a fake API server."""

    def __init__(self) -> None:
        self.server = FakeApiServer()
        self.pulse = Pulse(1, time.monotonic())
        self.names: list[str] = []
        self.texts: dict[str, bytes] = {}
        self.known: set[str] = set()
        self.task: asyncio.Task[None] | None = None

    def appeared(self, run: dict[str, Any], text: memoryview) -> None:
        self.texts[run["metadata"].get("name", "")] = bytes(text)

    def knows(self, run: dict[str, Any]) -> bool:
        return run["metadata"]["name"] in self.known

    def object_changed(self, run: dict[str, Any], *, appeared: bool = False) -> None:
        assert run.keys() <= {"apiVersion", "kind", "metadata", "status"}
        self.names.append(run["metadata"]["name"])

    def object_over(self, run: dict[str, Any]) -> None:
        self.names.append(f"over {run['metadata']['name']}")

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
    assert watched.server.limits == [25, 500], "the first page tells how large they are"
    assert watched.pulse.begun


async def test_of_runs_that_are_over_kopf_makes_no_task(watched: Watched) -> None:
    watched.server.objects = [run_object(number, over=number % 10 > 0) for number in range(1200)]
    await watched.begin()
    await watched.sees("run-1190")
    assert sorted(watched.names) == sorted(f"{'over ' * (n % 10 > 0)}run-{n}" for n in range(1200))
    assert watched.names[:22] == [f"over run-{number}" for number in range(25) if number % 10], "in their order"


async def test_many_that_go_on_are_handed_over_in_parts(watched: Watched) -> None:
    watched.server.objects = [run_object(number) for number in range(1600)]
    await watched.begin()
    await watched.sees("run-1599")
    assert len(set(watched.names)) == 1600
    assert watched.server.limits == [25, 500, 25, 500, 25, 500, 25]


async def test_pages_of_large_objects_stay_small(watched: Watched) -> None:
    watched.server.objects = Runs(120, large(b"[],", 1_400_000))
    await watched.begin()
    await watched.sees("run-119")
    assert set(watched.server.limits) == {25}


async def test_a_page_that_turns_out_large_is_asked_for_in_parts(watched: Watched) -> None:
    """Small objects come first, which is anybody's to arrange."""
    watched.server.objects = [
        *(run_object(number) for number in range(40)),
        *Runs(100, large(b"[],", 1_400_000))[40:],
    ]
    await watched.begin()
    await watched.sees("run-99")
    assert watched.server.limits == [25, 500, 25, 25, 25]
    assert len(set(watched.names)) == 100


@pytest.mark.parametrize("refusal", [410, 429, 500])
async def test_a_page_that_is_refused_is_asked_for_again(watched: Watched, refusal: int) -> None:
    watched.server.objects = [run_object(number) for number in range(60)]
    watched.server.refuse_page(1, refusal)
    await watched.begin()
    await watched.sees("run-59")
    assert set(watched.names) == {f"run-{number}" for number in range(60)}


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


async def test_the_whole_text_is_shown_of_what_appears(watched: Watched) -> None:
    watched.server.objects = [run_object(1)]
    await watched.begin()
    watched.server.say("ADDED", an_object(2))
    await watched.sees("run-2")
    assert {name: json.loads(text) for name, text in watched.texts.items()} == {"run-2": an_object(2)}


async def test_a_change_that_is_known_is_not_told_of(watched: Watched) -> None:
    watched.known = {"run-1"}
    await watched.begin()
    for kind, number in (("ADDED", 1), ("MODIFIED", 1), ("MODIFIED", 2), ("DELETED", 1), ("ADDED", 3)):
        watched.server.say(kind, an_object(number))
    await watched.sees("run-3")
    assert sorted(watched.names) == ["no run-1", "run-1", "run-2", "run-3"]


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
    listener = Listener(*[lambda _: None] * 3, lambda _, __: None, lambda _: False, lambda _: None)
    line = slim_line(b'{"type":"ADDED","object":' + run_object(1) + b"}", listener)
    assert line is not None
    assert line.endswith(b"\n")
    assert "spec" not in json.loads(line)["object"]
    assert slim_line(b'{"type":', listener) is None
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

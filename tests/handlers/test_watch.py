"""The thread that kopf runs in ends with it, and takes the operator with it."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import kopf
import pytest

from tests.fakes.polling import eventually
from workflow_operator.handlers import Pulse, watch, watch_runs
from workflow_operator.handlers.session import Listener

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def recursion_limit() -> Iterator[None]:
    """The watch raises it for the whole process, which other tests need not share."""
    before = sys.getrecursionlimit()
    yield
    assert sys.getrecursionlimit() > 10_000, "Go takes JSON of 10,000 levels"
    sys.setrecursionlimit(before)


class Sink:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def appeared(self, run: dict[str, Any], text: memoryview) -> None: ...

    def knows(self, run: dict[str, Any]) -> bool:
        return False

    def object_changed(self, run: dict[str, Any], *, appeared: bool = False) -> None:
        self.seen.append(f"{'appeared' if appeared else 'changed'} {run['name']}")

    def object_deleted(self, run: dict[str, Any]) -> None:
        self.seen.append(f"deleted {run['name']}")


async def waits_for_its_flags(*, stop_flag: threading.Event, **_: Any) -> None:
    """As kopf does: in a thread of the loop's executor, which the end of the loop waits for."""
    await asyncio.get_running_loop().run_in_executor(None, stop_flag.wait)


async def test_a_watch_that_fails_is_raised_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*, stop_flag: threading.Event, **_: Any) -> None:
        asyncio.get_running_loop().run_in_executor(None, stop_flag.wait)
        raise RecursionError("too deep")

    monkeypatch.setattr(kopf, "operator", fail)
    with pytest.raises(RecursionError, match="too deep"):
        await asyncio.wait_for(watch_runs(Sink(), pulse=Pulse(1, 0.0)), 10)


async def test_the_user_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenShift runs pods as a number of its own, which the image's /etc/passwd does not know."""

    async def look(**given: Any) -> None:
        assert given["identity"]
        raise LookupError("looked")

    monkeypatch.setattr(kopf, "operator", look)
    with pytest.raises(LookupError, match="looked"):
        await asyncio.wait_for(watch_runs(Sink(), pulse=Pulse(1, 0.0)), 10)


async def test_a_watch_that_ends_by_itself_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(**_: Any) -> None:
        return

    monkeypatch.setattr(kopf, "operator", end)
    with pytest.raises(RuntimeError, match="the watch of WorkflowRuns has failed"):
        await asyncio.wait_for(watch_runs(Sink(), pulse=Pulse(1, 0.0)), 10)


async def test_a_kind_that_is_gone_ends_the_watch_although_kopf_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf stops its other watches first, and one of them may miss that it is to stop."""
    listeners: list[Listener] = []
    ends = threading.Event()

    def registry(see: object, see_signal: object, listener: Listener) -> kopf.OperatorRegistry:
        listeners.append(listener)
        return kopf.OperatorRegistry()

    async def hang(**_: Any) -> None:
        listeners[0].unknown("/apis/workflow-operator.dev/v1alpha1/workflowruns")
        await asyncio.get_running_loop().run_in_executor(None, ends.wait)

    monkeypatch.setattr(watch, "_registry", registry)
    monkeypatch.setattr(watch, "_END_SECONDS", 0.01)
    monkeypatch.setattr(kopf, "operator", hang)
    try:
        with pytest.raises(RuntimeError, match=r"does not know /apis/.*/workflowruns any more: was the CRD deleted"):
            await asyncio.wait_for(watch_runs(Sink(), pulse=Pulse(1, 0.0)), 10)
    finally:
        ends.set()


async def test_a_watch_ends_when_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf, "operator", waits_for_its_flags)
    watching = asyncio.create_task(watch_runs(Sink(), pulse=Pulse(1, 0.0)))
    await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(watching, 10)


async def test_what_is_seen_is_handed_over_in_the_callers_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def see(*, registry: kopf.OperatorRegistry, stop_flag: threading.Event, **_: Any) -> None:
        (handler,) = registry._watching.get_all_handlers()
        for kind, name in ((None, "a"), ("MODIFIED", "b"), ("ADDED", "c"), ("DELETED", "d")):
            await handler.fn(event={"type": kind, "object": {"name": name}})  # type: ignore[call-arg]
        await waits_for_its_flags(stop_flag=stop_flag)

    monkeypatch.setattr(kopf, "operator", see)
    sink = Sink()
    seen_in = set()
    changed = sink.object_changed

    def noting(run: dict[str, Any], *, appeared: bool = False) -> None:
        seen_in.add(threading.current_thread())
        changed(run, appeared=appeared)

    monkeypatch.setattr(sink, "object_changed", noting)
    watching = asyncio.create_task(watch_runs(sink, pulse=Pulse(1, 0.0)))
    await eventually(lambda: len(sink.seen) == 4)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert sink.seen == ["changed a", "changed b", "appeared c", "deleted d"]
    assert seen_in == {threading.main_thread()}

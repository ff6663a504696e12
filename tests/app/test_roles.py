"""How a role starts, runs its parts and stops them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from workflow_operator.app import roles
from workflow_operator.app.health import Readiness
from workflow_operator.history.errors import TopologyMismatch, Unavailable


async def forever() -> None:
    await asyncio.Event().wait()


def failing_first(failures: int, result: str) -> Callable[[], Awaitable[str]]:
    left = iter([Unavailable("no server")] * failures)

    async def attempt() -> str:
        for error in left:
            raise error
        return result

    return attempt


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "_START_RETRY_SECONDS", 0.0)


class TestStart:
    @pytest.mark.usefixtures("no_pause")
    async def test_it_waits_for_what_is_not_there_and_says_so(self) -> None:
        readiness = Readiness()
        start = roles.Start(AsyncExitStack(), readiness, asyncio.Event())
        assert await start.get("nats", failing_first(2, "connected")) == "connected"
        assert await readiness.problems() == {"nats": "no server"}
        readiness.started()
        assert await readiness.problems() == {}

    async def test_it_gives_up_when_asked_to_end(self) -> None:
        stop = asyncio.Event()
        start = roles.Start(AsyncExitStack(), Readiness(), stop)

        async def hang() -> str:
            stop.set()
            await forever()
            return ""

        with pytest.raises(roles.Stopped):
            await start.get("nats", hang)

    async def test_what_does_not_go_away_is_raised(self) -> None:
        async def mismatch() -> str:
            raise TopologyMismatch("stream HISTORY differs")

        with pytest.raises(TopologyMismatch):
            await roles.Start(AsyncExitStack(), Readiness(), asyncio.Event()).get("nats", mismatch)

    async def test_an_entered_context_ends_with_the_role(self) -> None:
        ended = []

        @asynccontextmanager
        async def context() -> AsyncIterator[str]:
            yield "in"
            ended.append("out")

        async with AsyncExitStack() as stack:
            assert await roles.Start(stack, Readiness(), asyncio.Event()).enter("x", context) == "in"
            assert ended == []
        assert ended == ["out"]


def test_what_is_said_again_and_again_is_told_once_in_a_while() -> None:
    said = roles.Repeated(3)
    texts = ["away", "away", "away", "away", "refused", "refused", "away", "away"]
    assert [said.worth(text) for text in texts] == [True, False, False, True, True, False, True, False]


class TestRunUntilStopped:
    async def test_a_stop_ends_all_parts_in_their_order(self) -> None:
        ended: list[str] = []

        async def part(name: str) -> None:
            try:
                await forever()
            finally:
                ended.append(name)

        stop = asyncio.Event()
        running = asyncio.create_task(roles.run_until_stopped({n: part(n) for n in ("a", "b")}, stop, 1.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stop.set()
        await running
        assert ended == ["a", "b"]

    async def test_a_part_that_fails_ends_the_others_and_is_raised(self) -> None:
        async def fail() -> None:
            raise RuntimeError("the watch failed")

        other = asyncio.create_task(forever())

        async def follow() -> None:
            await other

        with pytest.raises(RuntimeError, match="the watch failed"):
            await roles.run_until_stopped({"watch": fail(), "other": follow()}, asyncio.Event(), 1.0)
        assert other.cancelled()

    async def test_a_part_that_will_not_stop_is_left_behind(self, caplog: pytest.LogCaptureFixture) -> None:
        release = asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        stop = asyncio.Event()
        running = asyncio.create_task(roles.run_until_stopped({"stubborn": stubborn()}, stop, 0.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stop.set()
        await running
        assert "stubborn did not stop within 0 s" in caplog.text
        release.set()


@pytest.mark.integration
async def test_all_parts_share_the_time_to_end(caplog: pytest.LogCaptureFixture) -> None:
    """A pod has one grace period, however many parts hang."""
    released = asyncio.Event()

    async def hang() -> None:
        try:
            await forever()
        finally:
            await released.wait()

    stop = asyncio.Event()
    stop.set()
    names = [f"part {number}" for number in range(5)]
    await roles.run_until_stopped({name: hang() for name in names}, stop, 0.2)
    released.set()
    given = [float(record.args[1]) for record in caplog.records if "left behind" in record.msg]
    assert len(given) == len(names)
    assert sum(given) <= 0.2


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["nats", socket.gethostname()]),
        (
            {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
            ["nats", socket.gethostname(), "10.96.0.1", "kubernetes.default.svc"],
        ),
    ],
)
def test_what_scripts_may_not_ask_because_we_do(environ: dict[str, str], expected: list[str]) -> None:
    assert list(roles.own_hosts(["nats"], environ)) == expected

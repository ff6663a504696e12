"""What a sandbox says and when its executor reads it."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.javascript.sandbox import job, run
from workflow_operator.history.errors import CpuLimit
from workflow_operator.javascript.host import Limits, Returned, SandboxPool
from workflow_operator.javascript.host.channel import Channel
from workflow_operator.javascript.worker.outbox import Outbox
from workflow_operator.javascript.worker.wire import frame, read_frame

pytestmark = pytest.mark.integration


@contextmanager
def connected(clock: Callable[[], float] = lambda: 0.0) -> Iterator[tuple[Channel, Outbox, Callable[[], None], int]]:
    """The executor's end, the sandbox's, how that one dies, and its socket."""
    ours, theirs = socket.socketpair()
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    channel = Channel(ours, bell)

    def die() -> None:
        theirs.close()
        os.close(ring)

    yield channel, Outbox(theirs.fileno(), ring, clock), die, theirs.fileno()
    channel.close()


async def woken(channel: Channel) -> bool:
    """Whether the bell rings, or something else is there to be read, within a moment."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await channel.wait(0.05)
    return loop.time() - begun < 0.05


async def test_what_is_told_wakes_nobody_and_is_read_with_what_must_be_acted_on() -> None:
    with connected() as (channel, outbox, die, _):
        outbox.tell(b"1")
        outbox.tell(b"2")
        assert not await woken(channel)
        outbox.ask(b"3")
        assert await woken(channel)
        assert [channel.take() for _ in range(4)] == [b"1", b"2", b"3", None]
        assert channel.reads == 1
        die()


async def test_what_is_told_can_be_looked_at() -> None:
    with connected() as (channel, outbox, die, _):
        assert not channel.pending
        outbox.tell(b"1")
        assert channel.pending
        assert channel.take() == b"1"
        die()


async def test_what_is_known_goes_out_with_what_follows_in_order() -> None:
    with connected() as (channel, outbox, die, _):
        outbox.keep(b"1")
        outbox.keep(b"2")
        assert not channel.pending
        outbox.tell(b"3")
        outbox.keep(b"4")
        assert not await woken(channel)
        outbox.ask(b"5")
        assert await woken(channel)
        assert [channel.take() for _ in range(6)] == [b"1", b"2", b"3", b"4", b"5", None]
        die()


async def test_what_is_known_is_kept_for_a_moment_only() -> None:
    now = 0.0
    with connected(lambda: now) as (channel, outbox, die, _):
        outbox.keep(b"1")
        now = 0.009
        outbox.keep(b"2")
        assert not channel.pending
        now = 0.010
        outbox.keep(b"3")
        assert channel.pending
        assert [channel.take() for _ in range(4)] == [b"1", b"2", b"3", None]
        outbox.keep(b"4")
        assert not channel.pending, "its moment begins with it"
        die()


async def test_much_of_what_is_known_is_not_kept() -> None:
    with connected() as (channel, outbox, die, _):
        outbox.keep(b"x" * 4096)
        assert not channel.pending
        outbox.keep(b"x" * 4097)
        assert channel.pending
        while channel.look(at_once=True):
            channel.take()
        for _ in range(24):
            outbox.keep(b"x" * 2044)
        assert await woken(channel), "the bell rings before the socket is full"
        die()


@pytest.mark.parametrize("size", [1, 100, 1000, 40_000])
def test_the_bell_rings_before_the_socket_is_full(size: int) -> None:
    ours, theirs = socket.socketpair()
    bell, ring = os.pipe()
    ours.setblocking(False)
    theirs.setblocking(False)
    os.set_blocking(bell, False)
    outbox = Outbox(theirs.fileno(), ring, lambda: 0.0)
    rings = 0
    for _ in range(2000):
        # A full socket is a BlockingIOError here.
        outbox.tell(b"x" * size)
        with suppress(BlockingIOError):
            os.read(bell, 1)
            rings += 1
            while True:
                ours.recv(1_000_000)
    assert rings == 2000 // math.ceil(48 * 1024 / (1028 + size))
    for end in (ours, theirs):
        end.close()
    os.close(bell)
    os.close(ring)


async def test_a_message_larger_than_the_socket_arrives_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_operator.javascript.host.channel._LOOK_SECONDS", 3600.0)
    message = os.urandom(3_000_000)
    with connected() as (channel, outbox, die, _):
        channel.take_frames_of(len(message))
        told = asyncio.create_task(asyncio.to_thread(outbox.tell, message))
        async with asyncio.timeout(30):
            assert await channel.receive() == message
        await told
        die()


async def test_who_died_is_read_to_the_end() -> None:
    with connected() as (channel, outbox, die, _):
        outbox.tell(b"last words")
        die()
        assert await woken(channel)
        assert (channel.take(), channel.take(), channel.closed) == (b"last words", None, True)


async def test_half_a_message_is_pending() -> None:
    with connected() as (channel, _, die, descriptor):
        os.write(descriptor, frame(b"abc")[:5])
        assert channel.pending
        assert channel.take() is None
        die()


async def test_a_large_message_to_the_sandbox_is_sent_as_it_reads() -> None:
    with connected() as (channel, _, die, descriptor):
        channel.send(frame(b"x" * 3_000_000))
        channel.send(frame(b"more"))
        read = asyncio.to_thread(lambda: [read_frame(descriptor), read_frame(descriptor)])
        async with asyncio.timeout(30):
            first, second = await read
        assert (len(first or b""), second) == (3_000_000, b"more")
        die()
        channel.send(frame(b"nobody"))
        assert await channel.receive() is None


async def test_who_rings_while_nobody_waits_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected() as (channel, outbox, die, _):
        heard = counted(channel, monkeypatch)
        for _ in range(100):
            outbox.ask(b"x")
            await asyncio.sleep(0)
        assert len(heard) == 1
        assert [channel.take() for _ in range(101)] == [b"x"] * 100 + [None]
        # And again, when somebody does.
        told = asyncio.get_running_loop().call_soon(outbox.ask, b"y")
        async with asyncio.timeout(30):
            assert await channel.receive() == b"y"
        told.cancel()
        die()


@pytest.mark.parametrize("what", ["rings", "drips"])
async def test_who_wakes_for_nothing_is_heard_at_a_look_only(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    bell, ring = os.pipe()
    channel = Channel(ours, bell)
    heard = counted(channel, monkeypatch)
    theirs.send(frame(b"x" * 10_000)[:5])
    assert channel.pending
    for _ in range(100):
        _ = os.write(ring, b"\0") if what == "rings" else theirs.send(b"x")
        await channel.wait(0.001)
        assert channel.take() is None
    assert len(heard) == 16
    # What is a message after all is read at the next look, and the bell is heard again.
    theirs.send(frame(b"x" * 10_000)[5 if what == "rings" else 105 :] + frame(b"y"))
    await channel.wait(0.001)
    assert (channel.take(), channel.take(), channel.take()) == (b"x" * 10_000, b"y", None)
    os.write(ring, b"\0")
    async with asyncio.timeout(30):
        await channel.wait(3600.0)
    channel.close()
    theirs.close()
    os.close(ring)


def counted(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An item for each time that the sandbox has woken the loop."""
    heard: list[None] = []
    real = channel._arrived

    def arrived() -> None:
        heard.append(None)
        real()

    monkeypatch.setattr(channel, "_arrived", arrived)
    return heard


FIVE = """function main(i) { return transition(a, i); } function a(i) { log('on'); return transition(b, i); }
function b(i) { return transition(c, i); } function c(i) { log('on'); return transition(d, i); }
function d(i) { return transition(e, i); } function e(i) { return i }"""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("script", ["function main(i) { return i }", FIVE], ids=["one state", "five transitions"])
async def test_a_short_run_is_one_read(pool: SandboxPool, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_operator.javascript.host.session._LOOK_SECONDS", 60.0)
    async with pool.session("counted") as session:
        assert (await run(session, script)).error is None
        channel: Channel = session._process.channel
        before = channel.reads
        for _ in range(5):
            assert (await run(session, script)).error is None
        assert channel.reads == before + 5


@pytest.mark.asyncio(loop_scope="module")
async def test_a_script_that_is_killed_has_said_all_that_it_said(pool: SandboxPool) -> None:
    script = "function main() {\n log('first');\n transition(f, 1);\n log('last'); for (;;) {} } function f() {}"
    async with pool.session("killed") as session:
        result = await run(session, job(script, limits=Limits(cpu_seconds=1)))
    assert (result.texts, len(result.calls)) == (["first", "last"], 1)
    assert isinstance(result.error, CpuLimit)
    assert "after transition in line 3" in result.error.message


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_script_tells_is_read_while_it_computes(pool: SandboxPool) -> None:
    script = "function main() { log('on'); for (;;) {} }"
    async with pool.session("computes") as session:
        await session.begin(job(script))
        message: Any = await session.next()
        assert not isinstance(message, Returned)
        assert message.text == "on"

"""Each limit ends its own run with its own error, and no other run."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.fakes.polling import ended, eventually
from tests.javascript.sandbox import job, returned, run
from workflow_operator.engine.calls import FORMS
from workflow_operator.history.errors import CpuLimit, EngineCrash, MemoryLimit, ScriptError, Timeout
from workflow_operator.javascript.host import HostCall, Limits, LogLine, SandboxPool

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

MEMORY = Limits(memory_bytes=32 * 1024 * 1024, wall_seconds=20)
ENDLESS = "function main() { for (;;) {} }"

BOMBS = [
    ("endless loop", ENDLESS, Limits(wall_seconds=0.3), Timeout),
    ("endless catch", "function main() { for (;;) try { throw 1 } catch {} }", Limits(wall_seconds=0.3), Timeout),
    ("endless toString", "function main() { throw {get message() { for (;;) {} }} }", Limits(wall_seconds=0.3), Timeout),
    ("endless builtin", "function main() { new Array(1e6).fill(1).sort(() => { for (;;) {} }) }", Limits(wall_seconds=0.3), Timeout),
    ("endless regexp", "function main() { /(a+)+$/.test('a'.repeat(40) + 'b') }", Limits(wall_seconds=0.3), Timeout),
    ("endless top level", "for (;;) {}", Limits(wall_seconds=0.3), Timeout),
    ("processor time", ENDLESS, Limits(cpu_seconds=0), CpuLimit),
    ("arrays", "function main() { const a = []; for (;;) a.push(new Array(1000).fill(a.length)) }", MEMORY, MemoryLimit),
    ("one array", "function main() { return new Array(1e8).fill(0).length }", MEMORY, MemoryLimit),
    ("strings", "function main() { let a = []; for (;;) a.push(JSON.stringify('x'.repeat(1e6) + a.length)) }", MEMORY, MemoryLimit),
    ("one string", "function main() { return 'x'.repeat(5e8).split('').length }", MEMORY, MemoryLimit),
    ("array buffers", "function main() { const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1)) }", MEMORY, MemoryLimit),
    ("top level", "const a = []; for (;;) a.push({})", MEMORY, MemoryLimit),
    ("caught", "function main() { try { const a = []; for (;;) a.push([a.length]) } catch { return 1 } }", MEMORY, MemoryLimit),
    ("microtasks", "async function main() { const f = () => Promise.resolve().then(f); await f() }", MEMORY, MemoryLimit),
]  # fmt: skip


@pytest.mark.parametrize(("script", "limits", "kind"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
async def test_a_limit_is_a_typed_error_and_the_run_beside_it_goes_on(
    pool: SandboxPool, script: str, limits: Limits, kind: type[ScriptError]
) -> None:
    async with pool.session("tests") as bomb, pool.session("tests") as beside:
        await beside.begin(job("function main() { sleep(1); return 'undisturbed' }"))
        assert isinstance(await beside.next(), HostCall)
        assert type((await run(bomb, job(script, limits=limits))).error) is kind
        await beside.answer(None, 0)
        assert await beside.next() == returned("undisturbed")
    async with pool.session("tests") as after:
        assert (await run(after, "function main() { return 1 }")).returned() == 1


WORK = "let x = 0; for (let i = 0; i < 6e6; i++) x += i % 7;"


async def test_the_processor_limit_begins_anew_with_each_event(pool: SandboxPool) -> None:
    script = f"function f() {{ {WORK} }} function main() {{ for (let i = 0; ; i++) transition(f, i) }}"
    async with pool.session("long") as session:
        await session.begin(job(script, limits=Limits(cpu_seconds=1)))
        assert isinstance(await session.next(), HostCall)
        before = cpu_seconds(session.pid)
        # Twice what the limit allows without an event, however fast the machine is.
        while cpu_seconds(session.pid) - before < 2.5:
            assert isinstance(await session.next(), HostCall)


async def test_what_is_not_recorded_counts_towards_the_processor_limit(pool: SandboxPool) -> None:
    async with pool.session("long") as session:
        await session.begin(job(f"function main() {{ for (;;) {{ {WORK} finish(1) }} }}", limits=Limits(cpu_seconds=1)))
        assert isinstance(await session.next(), HostCall)
        with pytest.raises(CpuLimit, match=r"1 s of processor time .*SCRIPT_CPU_SECONDS.*after finish in line 1"):
            await session.next()


async def test_thousands_of_calls_are_no_work_of_the_script(pool: SandboxPool) -> None:
    calls = "for (let n = 0; n < 50; n++) transition(f, n)"
    script = f"function f() {{}} function main() {{ for (let i = 0; i < 100; i++) {{ {calls} }} return 'done' }}"
    async with pool.session("long") as session:
        assert (await run(session, job(script, limits=Limits(cpu_seconds=0)))).returned() == "done"


async def test_errors_of_limits_say_where_the_script_was(pool: SandboxPool) -> None:
    script = "function f() { for (;;) {} }\nfunction main() {\n  transition(f, 1)\n}"
    async with pool.session("tests") as session:
        result = await run(session, job(script, limits=Limits(wall_seconds=0.3)))
    assert result.failure()[1] == (
        "the script ran for more than 0.3 s without a host call (WORKFLOW_OPERATOR_SCRIPT_WALL_SECONDS), "
        "after transition in line 3"
    )


async def test_waiting_for_the_host_takes_no_time() -> None:
    now = 0.0
    waiting = SandboxPool(FORMS, size=1, clock=lambda: now)
    async with waiting.session("tests") as session:
        await session.begin(job("function main() { sleep(1); return 1 }", limits=Limits(wall_seconds=5)))
        await session.next()
        now += 3600.0
        await session.answer(None, 0)
        assert await session.next() == returned(1)
    await waiting.close()


async def test_log_lines_do_not_extend_the_time(pool: SandboxPool) -> None:
    script = "function main() { for (;;) { log('on'); for (let i = 0; i < 100000; i++); } }"
    async with pool.session("tests") as session:
        result = await run(session, job(script, limits=Limits(wall_seconds=0.3, cpu_seconds=2)))
    assert isinstance(result.error, Timeout)
    assert result.lines


async def test_cancelling_next_loses_no_message(pool: SandboxPool) -> None:
    async with pool.session("tests") as session:
        await run(session, "function main() {}")
        assert session.pid is not None
        os.kill(session.pid, signal.SIGSTOP)
        # One thread of the process takes the signal and stops the others: until it gets a processor, they go on.
        await eventually(partial(stopped, session.pid))
        await session.begin(job("function main() { log('x'); return 1 }"))
        for _ in range(3):
            task = asyncio.create_task(session.next())
            await asyncio.sleep(0)
            assert task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        os.kill(session.pid, signal.SIGCONT)
        assert await session.next() == LogLine("info", "x")
        assert await session.next() == returned(1)


async def test_a_cancelled_session_ends_its_process(pool: SandboxPool) -> None:
    entered = asyncio.Event()
    pids: list[int] = []

    async def drive() -> None:
        async with pool.session("cancelled") as session:
            await session.begin(job("function main() { log('on'); for (;;) {} }"))
            await session.next()
            pids.append(session.pid or 0)
            entered.set()
            await session.next()

    task = asyncio.create_task(drive())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: ended(pids[0]))


async def test_a_killed_process_is_a_crash(pool: SandboxPool) -> None:
    async with pool.session("tests") as session:
        await session.begin(job("function main() { log('on'); for (;;) {} }"))
        await session.next()
        assert session.pid is not None
        os.kill(session.pid, 9)
        with pytest.raises(EngineCrash, match="SIGKILL"):
            await session.next()
        with pytest.raises(RuntimeError, match="take another session"):
            await session.begin(job(""))


def stopped(pid: int) -> bool:
    states = (
        task.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return all(state == "T" for state in states)


def cpu_seconds(pid: int | None) -> float:
    assert pid is not None
    return time.clock_gettime((~pid << 3) | 2)

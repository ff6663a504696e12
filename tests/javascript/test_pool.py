"""Which process a session gets, and what ends when."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.polling import ended, eventually
from tests.javascript.sandbox import job, run
from workflow_operator.engine.calls import FORMS
from workflow_operator.history.errors import EngineCrash, Thrown
from workflow_operator.javascript.host import Limits, LogLine, SandboxPool, process
from workflow_operator.javascript.worker.vm.bridge import Fresh

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ONE = "function main() { return 1 }"


async def pid_of(pool: SandboxPool, namespace: str) -> int:
    async with pool.session(namespace) as session:
        assert (await run(session, ONE)).returned() == 1
        assert session.pid is not None
        return session.pid


async def test_a_process_serves_one_namespace_and_is_used_again() -> None:
    pool = SandboxPool(FORMS, size=3, idle=0)
    first = await pid_of(pool, "a")
    assert await pid_of(pool, "a") == first
    assert await pid_of(pool, "b") != first
    assert await pid_of(pool, "a") == first
    await pool.close()
    assert ended(first)


async def test_a_full_pool_ends_the_least_recently_used_one_of_another_namespace() -> None:
    pool = SandboxPool(FORMS, size=2, idle=0)
    a, b = await pid_of(pool, "a"), await pid_of(pool, "b")
    assert await pid_of(pool, "a") == a
    c = await pid_of(pool, "c")
    await eventually(lambda: ended(b))
    assert await pid_of(pool, "a") == a
    assert await pid_of(pool, "c") == c
    await pool.close()


async def test_a_session_waits_for_a_slot_in_order() -> None:
    pool = SandboxPool(FORMS, size=1)
    order: list[str] = []

    async def use(name: str) -> None:
        async with pool.session(name) as session:
            order.append(name)
            await run(session, ONE)

    async with pool.session("held"):
        tasks = [asyncio.create_task(use(name)) for name in "abcd"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert order == []
    await asyncio.wait(tasks)
    assert order == ["a", "c", "d"]
    await pool.close()


async def test_many_at_once_never_exceed_the_size() -> None:
    pool = SandboxPool(FORMS, size=3, idle=1)
    await pool.start()
    pids: set[int] = set()
    busy = most = 0

    async def use(namespace: str) -> None:
        nonlocal busy, most
        async with pool.session(namespace) as session:
            busy += 1
            most = max(most, busy)
            assert (await run(session, "function main() { sleep(1); return 1 }")).returned() == 1
            pids.add(session.pid or 0)
            busy -= 1

    await asyncio.gather(*(use("n" + str(n % 2)) for n in range(20)))
    assert most <= 3
    await pool.close()
    assert all(ended(pid) for pid in pids)


async def test_after_a_burst_that_filled_all_slots_blank_ones_are_made_again() -> None:
    pool = SandboxPool(FORMS, size=3, idle=2)
    await pool.start()
    async with pool.session("a") as a, pool.session("b") as b, pool.session("c") as c:
        for session in (a, b, c):
            await session.begin(job("function main() { sleep(1) }"))
            await session.next()
        zygote, used = parent_of(a.pid or 0), children_of(parent_of(a.pid or 0))
    await eventually(lambda: len(children_of(zygote) - used) == 2)
    await pool.close()


@pytest.mark.parametrize(
    "script",
    [
        "function main() { const a = []; for (;;) a.push(new Array(1000).fill(a.length)) }",
        "function main() { return 'x'.repeat(300000) }",
        "function main() { return 1n }",
        "async function main() { await new Promise(() => {}) }",
        "function main() { for (;;) {} }",
    ],
)
async def test_after_a_limit_or_a_fault_a_process_is_not_used_again(script: str, fresh: Fresh) -> None:
    pool = SandboxPool(FORMS, size=1, idle=0, fresh=fresh)
    first = await pid_of(pool, "a")
    async with pool.session("a") as session:
        result = await run(session, job(script, limits=Limits(wall_seconds=1, memory_bytes=32 * 1024 * 1024)))
        assert not isinstance(result.error, Thrown)
        assert result.error is not None
    assert await pid_of(pool, "a") != first
    async with pool.session("a") as session:
        assert isinstance((await run(session, "function main() { throw new Error('mine') }")).error, Thrown)
        second = session.pid
    assert await pid_of(pool, "a") == second
    await pool.close()


BUFFERS = """
function main() {
  let least = 0, most = 2 ** 30
  while (most - least > 1e6) {
    const middle = (least + most) / 2
    try { new Uint8Array(middle); least = middle } catch { most = middle }
  }
  return least
}"""
HEAP = (
    "function main() { const a = []; for (let i = 0; i < 100000; i++) a.push(new Array(100).fill(i)); return a.length }"
)


async def test_what_a_script_can_allocate_does_not_tell_what_ran_before(fresh: Fresh) -> None:
    pool = SandboxPool(FORMS, size=1, idle=0, fresh=fresh)

    async def ends(*scripts: str) -> list[object]:
        results = []
        async with pool.session(f"n{len(scripts)}") as session:
            pass
        for script in scripts:
            async with pool.session(f"n{len(scripts)}") as session:
                result = await run(session, script)
                results.append(result.output if result.error is None else type(result.error).__name__)
        return results

    fresh = (await ends(BUFFERS))[0]
    assert (await ends(HEAP, BUFFERS))[-1] == fresh
    assert (await ends(HEAP, ONE, BUFFERS))[-1] == fresh
    assert (await ends(ONE, ONE, ONE, BUFFERS))[-1] == fresh
    await pool.close()


async def test_sandboxes_run_at_a_lower_priority_than_their_executor() -> None:
    pool = SandboxPool(FORMS, size=1, idle=0)
    pid = await pid_of(pool, "a")
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    await pool.close()


async def test_without_address_space_for_v8_the_error_is_one_sentence() -> None:
    limit = 20_000_000 * 1024
    code = "import asyncio, sys; sys.path.insert(0, 'operator')\n"
    code += "from workflow_operator.engine.calls import FORMS\n"
    code += "from workflow_operator.javascript.host import SandboxPool\n"
    code += "async def main():\n  try:\n    await SandboxPool(FORMS, size=1).start()\n"
    code += "  except Exception as error:\n    print(type(error).__name__, error)\nasyncio.run(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n{code}",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert errors == b""
    assert out.decode().count("\n") == 1
    assert "EngineCrash V8 did not start: it reserves about 1.5 TB of address space" in out.decode()
    assert str(limit) in out.decode()


async def test_where_realms_cannot_be_made_the_start_says_so_and_runs_get_isolates(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lacking = (
        "from workflow_operator.javascript.worker.vm import v8; v8._FOR_REALMS['enter'] = ('_ZN2v84NoneEv', None, ()); "
    )
    monkeypatch.setattr(process, "_BOOT", process._BOOT.replace("from workflow", lacking + "from workflow"))
    pool = SandboxPool(FORMS, size=2, idle=2)
    await pool.start()
    pids = {await pid_of(pool, namespace) for namespace in "aba"}
    assert len(pids) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "each run gets a V8 isolate of its own, which costs several times as much as a realm "
        "(WORKFLOW_OPERATOR_SANDBOX_FRESH): the V8 of this mini-racer does not export _ZN2v84NoneEv"
    ]
    await pool.close()


async def test_a_session_left_in_the_middle_does_not_give_its_process_back(fresh: Fresh) -> None:
    pool = SandboxPool(FORMS, size=2, idle=0, fresh=fresh)
    async with pool.session("a") as session:
        await session.begin(job("function main() { sleep(1) }"))
        await session.next()
        first = session.pid
    await eventually(lambda: ended(first))
    assert await pid_of(pool, "a") != first
    await pool.close()


async def test_after_the_zygote_died_another_one_is_started() -> None:
    pool = SandboxPool(FORMS, size=2, idle=1)
    await pool.start()
    async with pool.session("a") as session:
        await session.begin(job("function main() { log('on'); for (;;) {} }"))
        assert await session.next() == LogLine("info", "on")
        assert session.pid is not None
        os.kill(parent_of(session.pid), signal.SIGKILL)
        with pytest.raises(EngineCrash):
            await session.next()
        await eventually(lambda: ended(session.pid))
    assert await pid_of(pool, "a")
    await pool.close()


async def test_a_closed_pool_refuses_and_running_sessions_end(fresh: Fresh) -> None:
    pool = SandboxPool(FORMS, size=2, fresh=fresh)
    async with pool.session("a") as session:
        await session.begin(job("function main() { log('on'); for (;;) {} }"))
        await session.next()
        waiting = asyncio.create_task(session.next())
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(EngineCrash):
            await waiting
    with pytest.raises(RuntimeError, match="closed"):
        async with pool.session("a"):
            pass


async def test_two_hundred_runs_leak_neither_descriptors_nor_memory(fresh: Fresh) -> None:
    pool = SandboxPool(FORMS, size=1, idle=0, fresh=fresh)
    pid = await pid_of(pool, "a")
    zygote = f"/proc/{parent_of(pid)}/fd"
    descriptors, size, of_zygote = len(os.listdir("/proc/self/fd")), resident(pid), len(os.listdir(zygote))
    for _ in range(200):
        assert await pid_of(pool, "a") == pid
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert len(os.listdir(f"/proc/{pid}/fd")) == 6
    assert resident(pid) < size + 16 * 1024 * 1024
    for number in range(10):
        await pid_of(pool, f"n{number}")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert len(os.listdir(zygote)) == of_zygote
    await pool.close()
    assert len(os.listdir("/proc/self/fd")) < descriptors


PARENT = """
import asyncio, sys
sys.path.insert(0, "operator")
from workflow_operator.engine.calls import FORMS
from workflow_operator.javascript.host import Job, SandboxPool
async def main():
    pool = SandboxPool(FORMS, size=2)
    await pool.start()
    async with pool.session("a") as session:
        await session.begin(Job("function main() { log('on'); for (;;) {} }", None, None, "i", 1, 1))
        await session.next()
        print(session.pid, flush=True)
        await session.next()
asyncio.run(main())
"""


async def test_when_the_parent_is_killed_everything_ends() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    zygote = parent_of(pid)
    assert not ended(zygote)
    parent.kill()
    await parent.wait()
    await eventually(lambda: ended(pid) and ended(zygote))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def children_of(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

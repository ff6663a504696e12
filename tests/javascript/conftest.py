from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import get_args

import pytest
import pytest_asyncio

from tests.javascript.taken import Taken
from workflow_operator.engine.calls import FORMS
from workflow_operator.javascript.host import SandboxPool, Session
from workflow_operator.javascript.host.channel import Channel
from workflow_operator.javascript.host.guard import LoopGuard
from workflow_operator.javascript.host.process import SandboxProcess
from workflow_operator.javascript.worker.vm.bridge import Fresh


@pytest.fixture(scope="module", params=get_args(Fresh))
def fresh(request: pytest.FixtureRequest) -> Fresh:
    """What is made for each run: all that scripts see holds with each of them."""
    return request.param  # type: ignore[no-any-return]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(fresh: Fresh) -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(FORMS, size=4, idle=1, fresh=fresh)
    await pool.start()
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(pool: SandboxPool) -> AsyncIterator[Session]:
    async with pool.session("tests") as session:
        yield session


@pytest_asyncio.fixture
async def taken() -> AsyncIterator[Taken]:
    ours, theirs = socket.socketpair()
    bell, ring = os.pipe()
    stderr, writer = os.pipe()
    os.close(writer)
    channel = Channel(ours, bell)
    process = SandboxProcess("1", channel, stderr, 128 * 1024 * 1024)
    killed: list[str] = []

    def kill(process: SandboxProcess) -> None:
        killed.append(process.identity)
        theirs.shutdown(socket.SHUT_RDWR)
        os.write(ring, b"\0")

    guard = LoopGuard(kill)
    taken = Taken(theirs, ring, Session(process, guard, FORMS, asyncio.get_running_loop().time), process)
    taken.killed = killed
    yield taken
    guard.close()
    process.release()
    theirs.close()
    os.close(ring)

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from workflow_operator.javascript.host import SandboxPool, Session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(size=4, idle=1)
    await pool.start()
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(pool: SandboxPool) -> AsyncIterator[Session]:
    async with pool.session("tests") as session:
        yield session

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.fixtures.driven import Driver
from workflow_operator.engine.calls import FORMS
from workflow_operator.javascript.host import SandboxPool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def drive() -> AsyncIterator[Driver]:
    pool = SandboxPool(FORMS, size=2, idle=1)
    await pool.start()
    yield Driver(pool)
    await pool.close()

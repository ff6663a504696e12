"""A run shows the same whatever is made anew for it, realm or isolate: the hostile table, in the sandbox alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
import pytest_asyncio

from tests.javascript.sandbox import job, run
from tests.security.hostile import Attack, JsonObject, attacks
from workflow_operator.engine.calls import FORMS
from workflow_operator.history.errors import CpuLimit, EngineCrash, MemoryLimit, Timeout
from workflow_operator.javascript.host import Limits, SandboxPool
from workflow_operator.javascript.worker.vm.bridge import Fresh

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

# Where time and memory end a run depends on the machine.
A_LIMIT = "a limit"
LIMITS = (Timeout, CpuLimit, MemoryLimit)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools() -> AsyncIterator[list[SandboxPool]]:
    pools = [SandboxPool(FORMS, size=1, idle=1, fresh=fresh) for fresh in get_args(Fresh)]
    for pool in pools:
        await pool.start()
    yield pools
    for pool in pools:
        await pool.close()


async def shown(pool: SandboxPool, spec: JsonObject) -> Any:
    """What a run tells and how it ends."""
    text = None if spec.get("input") is None else json.dumps(spec["input"])
    limits = Limits(wall_seconds=10, cpu_seconds=4, memory_bytes=64 * 1024 * 1024)
    async with pool.session("tests") as session:
        told = await run(session, job(spec["script"], input_json=text, limits=limits))
    if isinstance(told.error, LIMITS):
        return A_LIMIT
    assert not isinstance(told.error, EngineCrash), told.error
    end = told.output if told.error is None else (type(told.error), told.failure(), getattr(told.error, "stack", ""))
    return [call.arguments for call in told.calls], told.lines, end


@pytest.mark.parametrize("attack", [each for each in attacks() if each.ends], ids=lambda attack: attack.name)
async def test_a_run_shows_the_same_in_a_realm_and_in_an_isolate(pools: list[SandboxPool], attack: Attack) -> None:
    for name, spec in attack.specs.items():
        in_realm, in_isolate = await asyncio.gather(*(shown(pool, spec) for pool in pools))
        assert A_LIMIT in (in_realm, in_isolate) or in_realm == in_isolate, name

"""The endpoints over real HTTP."""

import asyncio

import aiohttp
import pytest

from workflow_operator.app.health import Cached, Readiness, health_endpoints
from workflow_operator.metrics import Role

pytestmark = pytest.mark.integration


async def ask(port: int, path: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.json()


async def test_ready_is_who_can_work_now() -> None:
    readiness = Readiness()
    problem: list[str | None] = ["not connected"]

    async def nats() -> str | None:
        return problem[0]

    async with health_endpoints("127.0.0.1", 0, readiness, Role.EXECUTOR) as port:
        assert await ask(port, "/healthz") == (200, {"status": "ok"})
        starting = {"status": "not ready", "problems": {"start": "not started yet"}}
        assert await ask(port, "/readyz") == (503, starting)
        readiness.checks["nats"] = nats
        readiness.started()
        assert await ask(port, "/readyz") == (503, {"status": "not ready", "problems": {"nats": "not connected"}})
        assert await ask(port, "/healthz") == (200, {"status": "ok"})
        problem[0] = None
        assert await ask(port, "/readyz") == (200, {"status": "ready", "problems": {}})


async def test_an_answer_is_kept_for_a_moment_however_many_ask() -> None:
    asked, now = 0, 0.0

    async def ask() -> str | None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return f"answer {asked}"

    cached = Cached(ask, lambda: now)
    assert set(await asyncio.gather(*(cached() for _ in range(100)))) == {"answer 1"}
    now = 0.9
    assert await cached() == "answer 1"
    now = 1.0
    assert await cached() == "answer 2"


@pytest.mark.parametrize(
    ("accept", "kind", "end"),
    [
        ("*/*", "text/plain; version=0.0.4", b""),
        ("application/openmetrics-text", "application/openmetrics", b"# EOF\n"),
    ],
)
async def test_metrics_come_in_the_form_that_the_reader_accepts(accept: str, kind: str, end: bytes) -> None:
    async with (
        health_endpoints("127.0.0.1", 0, Readiness(), Role.PROJECTOR) as port,
        aiohttp.ClientSession() as session,
    ):
        url = f"http://127.0.0.1:{port}/metrics"
        async with session.get(url, headers={"Accept": accept}) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith(kind)
            body = await answer.read()
    assert b"workflow_operator_projection_pending_events " in body
    assert b"workflow_operator_executor_slots" not in body
    assert body.endswith(end)

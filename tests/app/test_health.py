"""The endpoints over real HTTP."""

import aiohttp
import pytest

from workflow_operator.app.health import Readiness, health_endpoints

pytestmark = pytest.mark.integration


async def ask(port: int, path: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.json()


async def test_ready_is_who_can_work_now() -> None:
    readiness = Readiness()
    problem: list[str | None] = ["not connected"]

    async def nats() -> str | None:
        return problem[0]

    async with health_endpoints("127.0.0.1", 0, readiness) as port:
        assert await ask(port, "/healthz") == (200, {"status": "ok"})
        starting = {"status": "not ready", "problems": {"start": "not started yet"}}
        assert await ask(port, "/readyz") == (503, starting)
        readiness.checks["nats"] = nats
        readiness.started()
        assert await ask(port, "/readyz") == (503, {"status": "not ready", "problems": {"nats": "not connected"}})
        assert await ask(port, "/healthz") == (200, {"status": "ok"})
        problem[0] = None
        assert await ask(port, "/readyz") == (200, {"status": "ready", "problems": {}})

"""/healthz and /readyz, which tell the truth: ready is who can do its work now; and /metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from workflow_operator import metrics
from workflow_operator.metrics import Role

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]
"""None if well, else what is wrong."""


class Cached:
    """A check whose answer is kept for a moment: anybody in the cluster may ask for /readyz, as often as he likes.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, check: Check, now: Callable[[], float], seconds: float = 1.0) -> None:
        self._check = check
        self._now = now
        self._seconds = seconds
        self._until = float("-inf")
        self._answer: str | None = None
        self._asking = asyncio.Lock()

    async def __call__(self) -> str | None:
        async with self._asking:
            if self._now() >= self._until:
                self._answer = await self._check()
                self._until = self._now() + self._seconds
        return self._answer


class Readiness:
    """What must be well for this replica to be ready, by name. While starting, what it waits for."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self._waiting_for: dict[str, str] = {"start": "not started yet"}

    def waiting(self, name: str, problem: str) -> None:
        """The start waits for something."""
        self._waiting_for = {name: problem}

    def started(self) -> None:
        """From here on the checks alone count."""
        self._waiting_for = {}

    async def problems(self) -> dict[str, str]:
        """What is not well, by name; empty if ready."""
        found = {name: problem for name, check in self.checks.items() if (problem := await check()) is not None}
        return found | self._waiting_for


@asynccontextmanager
async def health_endpoints(host: str, port: int, readiness: Readiness, role: Role) -> AsyncIterator[int]:
    """Serve until the context ends; yields the port.

    /healthz answers as long as the event loop turns. /readyz answers 503, and names what fails, unless all is well.
    /metrics shows the metrics of the role.
    """
    registry = metrics.registry(role)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        problems = await readiness.problems()
        body = {"status": "not ready" if problems else "ready", "problems": problems}
        return web.json_response(body, status=503 if problems else 200)

    async def show_metrics(request: web.Request) -> web.Response:
        body, content_type = metrics.exposition(registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host or None, port)
        await site.start()
        actual = int(runner.addresses[0][1])
        logger.info("health endpoints on port %d", actual)
        yield actual
    finally:
        await runner.cleanup()

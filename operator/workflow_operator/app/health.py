"""/healthz and /readyz, which tell the truth: ready is who can do its work now."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]
"""None if well, else what is wrong."""


@asynccontextmanager
async def health_endpoints(host: str, port: int, checks: Mapping[str, Check]) -> AsyncIterator[int]:
    """Serve until the context ends; yields the port.

    /healthz answers as long as the event loop turns. /readyz answers 503, and names what fails, unless all is well.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        problems = {name: problem for name, check in checks.items() if (problem := await check()) is not None}
        body = {"status": "ready" if not problems else "not ready", "problems": problems}
        return web.json_response(body, status=503 if problems else 200)

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
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

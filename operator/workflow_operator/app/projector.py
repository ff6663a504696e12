"""The role `projector`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from workflow_operator.app import roles
from workflow_operator.app.health import Readiness, health_endpoints
from workflow_operator.app.logs import RunNames
from workflow_operator.app.settings import Settings
from workflow_operator.jetstream import check_projection
from workflow_operator.metrics import Role


async def run_projector(settings: Settings, _: RunNames) -> None:
    """Run until SIGTERM or SIGINT. Waits for NATS at the start.

    Raises:
        TopologyMismatch: an existing stream differs from the declared one.
        Stopped: asked to end before it had started.
    """
    stop = asyncio.Event()
    roles.stop_on_signals(stop)
    readiness = Readiness()
    async with (
        health_endpoints(settings.health_host, settings.health_port, readiness, Role.PROJECTOR),
        AsyncExitStack() as stack,
    ):
        start = roles.Start(stack, readiness, stop)
        transport = await start.enter("nats", lambda: roles.transport(settings, "projector", check_projection))
        members = await start.enter("nats", lambda: roles.membership(transport, settings, "projectors"))
        readiness.checks["nats"] = transport.check
        readiness.started()
        parts = {"projector": roles.projector(transport, members).start()}
        await roles.run_until_stopped(parts, stop, settings.shutdown_seconds)

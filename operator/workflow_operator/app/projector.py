"""The role `projector`."""

from __future__ import annotations

import asyncio

from workflow_operator.app import roles
from workflow_operator.app.health import health_endpoints
from workflow_operator.app.settings import Settings


async def run_projector(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        Unavailable: NATS cannot be reached at the start.
        TopologyMismatch: an existing stream differs from the declared one.
    """
    stop = asyncio.Event()
    roles.stop_on_signals(stop)
    async with (
        roles.transport(settings, "projector") as transport,
        roles.membership(transport, settings, "projectors") as members,
    ):

        async def nats() -> str | None:
            return None if transport.connection.connected else "not connected"

        async with health_endpoints(settings.health_host, settings.health_port, {"nats": nats}):
            parts = {"projector": roles.projector(transport, members).start()}
            await roles.run_until_stopped(parts, stop, settings.shutdown_seconds)

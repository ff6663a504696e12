"""Streams and consumers that are made again where a server lost them, or somebody deleted them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.streams.topology import TopologyOptions, ensure

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


@asynccontextmanager
async def kept(connection: Connection, options: TopologyOptions) -> AsyncIterator[None]:
    """Create what is missing after each reconnect, and whenever a pull finds its consumer gone.

    A server forgets the consumers when it ends. Whoever is connected to it directly sees the connection end, too; who
    is connected through a leaf node does not.
    """

    async def ensure_again() -> None:
        while connection.connected:
            try:
                await ensure(connection, options)
            except Unavailable as error:
                logger.warning("streams: trying again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                break

    async def ensure_once_missed() -> None:
        while True:
            connection.missed.clear()
            await connection.missed.wait()
            try:
                await ensure_again()
            except Exception:
                logger.exception("streams: what is missing could not be created")
            # Several pulls find the same one gone, and more of them while it is made.
            await asyncio.sleep(_PAUSE_SECONDS)

    connection.on_reconnect(ensure_again)
    task = asyncio.create_task(ensure_once_missed(), name="streams")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

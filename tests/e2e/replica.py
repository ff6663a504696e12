"""A replica without a cluster: executor, timers and projector against the NATS of the environment's settings.

It ends with its standard input, so that it cannot outlive its parent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

from workflow_operator.app import roles
from workflow_operator.app.logs import configure_logs, log_script_line
from workflow_operator.app.settings import Settings


async def serve(settings: Settings) -> None:
    stop = asyncio.Event()
    roles.stop_on_signals(stop)
    async with (
        roles.transport(settings, "replica") as transport,
        roles.executor(transport, settings, log_script_line) as executor,
        roles.membership(transport, settings, "projectors") as members,
    ):
        parts = {
            "executor": executor.run(),
            "timers": transport.queue.run(),
            "projector": roles.projector(transport, members).start(),
        }
        await roles.run_until_stopped(parts, stop, settings.shutdown_seconds)


def die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=die_with_parent, daemon=True).start()
    configure_logs("INFO", {})
    asyncio.run(serve(Settings()))

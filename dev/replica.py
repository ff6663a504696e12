"""A replica without a cluster: executor, timers, sweep and projector against the NATS of the environment's settings.

Each line of its standard input starts a run, as an operator does with an object that it sees appear: JSON with
`namespace`, `id` and `script`. It ends with its standard input, so that it cannot outlive its parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from uuid import UUID

from workflow_operator.app import roles
from workflow_operator.app.logs import configure_logs, log_script_line
from workflow_operator.app.settings import Settings
from workflow_operator.engine import WorkflowRunner
from workflow_operator.history import InstanceStatus
from workflow_operator.jetstream import StatusWatcher

GROUP = "operators.replicas"


async def serve(settings: Settings) -> None:
    stop = asyncio.Event()
    roles.stop_on_signals(stop)
    async with (
        roles.transport(settings, "replica") as transport,
        roles.executor(transport, settings, log_script_line) as executor,
        roles.membership(transport, settings, "projectors") as members,
        roles.membership(transport, settings, GROUP),
    ):
        sweeper = roles.sweeper(transport, executor)
        watcher = StatusWatcher(transport.connection, transport.bus)
        parts = {
            "executor": executor.run(),
            "timers": transport.queue.run(),
            "projector": roles.projector(transport, members).start(),
            "sweep": sweeper.run(),
            "statuses": follow(watcher.statuses(), sweeper.observe),
            "pending": follow(watcher.pending(), sweeper.observe),
            "starts": start(roles.workflow_runner(transport, settings.engine_limits(), executor)),
        }
        await roles.run_until_stopped(parts, stop, settings.shutdown_seconds)


async def follow(statuses: AsyncIterator[InstanceStatus], observe: Callable[[InstanceStatus], None]) -> None:
    async for status in statuses:
        observe(status)


async def start(runner: WorkflowRunner) -> None:
    """Start what is asked for, until cancelled."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    threading.Thread(target=listen, args=(asyncio.get_running_loop(), lines), daemon=True).start()
    while True:
        run = json.loads(await lines.get())
        await runner.execute(run["namespace"], run["script"], instance_id=UUID(run["id"]), first=True)


def listen(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes]) -> None:
    # Unbuffered: the interpreter cannot end while a thread waits for a buffer to be filled.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as commands:
        for line in commands:
            loop.call_soon_threadsafe(lines.put_nowait, line)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    configure_logs("INFO", {})
    asyncio.run(serve(Settings()))

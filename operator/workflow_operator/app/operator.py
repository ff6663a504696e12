"""The role `operator`: watches objects, starts their instances, executes them and mirrors their statuses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

from workflow_operator.app import roles
from workflow_operator.app.health import health_endpoints
from workflow_operator.app.logs import log_script_line
from workflow_operator.app.settings import Settings
from workflow_operator.cluster import WorkflowRunClient, load_configuration
from workflow_operator.engine import Sweeper, SystemClock
from workflow_operator.handlers import watch_runs
from workflow_operator.history import InstanceStatus
from workflow_operator.jetstream import StatusWatcher
from workflow_operator.reconcile import OrphanSweeper, Reconciler


async def run_operator(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        Unavailable: NATS or the API server cannot be reached at the start.
        TopologyMismatch, InvalidInput: the installation is wrong; the text says where.
        Exception: the watch failed for good.
    """
    stop = asyncio.Event()
    watching = threading.Event()
    roles.stop_on_signals(stop)
    clock = SystemClock()
    async with (
        WorkflowRunClient(await load_configuration(os.environ)) as cluster,
        roles.transport(settings, "operator") as transport,
        roles.executor(transport, settings, log_script_line) as executor,
        roles.membership(transport, settings, "operators") as members,
    ):
        cluster_id = settings.cluster_id or await cluster.cluster_id()
        runner = roles.workflow_runner(transport, settings.engine_limits())
        reconciler = Reconciler(cluster, runner, transport.bus, members, cluster_id, clock.now)
        orphans = OrphanSweeper(cluster, runner, members, cluster_id)
        sweeper = Sweeper(transport.queue, clock)
        watcher = StatusWatcher(transport.connection)
        members.on_change(reconciler.shares_changed)

        async def nats() -> str | None:
            return None if transport.connection.connected else "not connected"

        async def api_server() -> str | None:
            return None if await cluster.ready() else "does not answer, or is not ready"

        async def watch() -> str | None:
            return None if watching.is_set() and watcher.caught_up.is_set() else "not begun yet"

        async def sweep_orphans() -> None:
            await watcher.caught_up.wait()
            await orphans.run(asyncio.sleep)

        async with health_endpoints(
            settings.health_host, settings.health_port, {"nats": nats, "apiServer": api_server, "watch": watch}
        ):
            await roles.run_until_stopped(
                {
                    "executor": executor.run(),
                    "timers": transport.queue.run(),
                    "sweep": sweeper.run(),
                    "orphan sweep": sweep_orphans(),
                    "statuses": _follow(watcher, [sweeper.observe, orphans.observe, reconciler.status_changed]),
                    "reconcile": reconciler.run(settings.reconcile_workers),
                    "watch": watch_runs(reconciler, ready=watching, namespaces=settings.namespaces()),
                },
                stop,
                settings.shutdown_seconds,
            )


async def _follow(watcher: StatusWatcher, sinks: list[Callable[[InstanceStatus], None]]) -> None:
    async for status in watcher.statuses():
        for sink in sinks:
            sink(status)

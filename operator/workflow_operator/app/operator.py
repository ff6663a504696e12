"""The role `operator`: watches objects, starts their instances, executes them and mirrors their statuses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from workflow_operator.app import roles
from workflow_operator.app.health import Readiness, health_endpoints
from workflow_operator.app.logs import RunNames, log_script_line
from workflow_operator.app.settings import Settings
from workflow_operator.cluster import WorkflowRunClient, load_configuration
from workflow_operator.engine import Sweeper, SystemClock
from workflow_operator.handlers import watch_runs
from workflow_operator.history import InstanceStatus
from workflow_operator.jetstream import StatusWatcher
from workflow_operator.metrics import Role
from workflow_operator.reconcile import OrphanSweeper, Reconciler


async def run_operator(settings: Settings, names: RunNames) -> None:
    """Run until SIGTERM or SIGINT. Waits for NATS and the API server at the start.

    Args:
        names: learns how the runs are called, for the logs.

    Raises:
        TopologyMismatch, InvalidInput: the installation is wrong; the text says where.
        Stopped: asked to end before it had started.
        Exception: the watch failed for good.
    """
    stop = asyncio.Event()
    roles.stop_on_signals(stop)
    readiness = Readiness()
    clock = SystemClock()
    async with (
        health_endpoints(settings.health_host, settings.health_port, readiness, Role.OPERATOR),
        WorkflowRunClient(await load_configuration(os.environ)) as cluster,
        AsyncExitStack() as stack,
    ):
        start = roles.Start(stack, readiness, stop)
        transport = await start.enter("nats", lambda: roles.transport(settings, "operator"))
        cluster_id = settings.cluster_id or await start.get("apiServer", cluster.cluster_id)
        executor = await stack.enter_async_context(roles.executor(transport, settings, log_script_line))
        members = await start.enter("nats", lambda: roles.membership(transport, settings, "operators"))
        runner = roles.workflow_runner(transport, settings.engine_limits())
        reconciler = Reconciler(cluster, runner, transport.bus, members, cluster_id, clock.now)
        orphans = OrphanSweeper(cluster, runner, members, cluster_id)
        sweeper = Sweeper(transport.queue, clock)
        watcher = StatusWatcher(transport.connection)
        members.on_change(reconciler.shares_changed)
        members.on_change(orphans.shares_changed)

        async def transport_changed() -> None:
            reconciler.transport_changed()

        transport.connection.on_reconnect(transport_changed)
        watching = threading.Event()

        async def api_server() -> str | None:
            return None if await cluster.ready() else "does not answer, or is not ready"

        async def watch() -> str | None:
            return None if watching.is_set() and watcher.caught_up.is_set() else "not begun yet"

        async def sweep_orphans() -> None:
            await watcher.caught_up.wait()
            await orphans.run()

        readiness.checks |= {"nats": transport.check, "apiServer": api_server, "watch": watch}
        readiness.started()
        observers = (names.observe, sweeper.observe, orphans.observe, reconciler.status_changed)
        await roles.run_until_stopped(
            {
                "executor": executor.run(),
                "timers": transport.queue.run(),
                "sweep": sweeper.run(),
                "orphan sweep": sweep_orphans(),
                "statuses": _follow(watcher, observers),
                "reconcile": reconciler.run(settings.reconcile_workers),
                "watch": watch_runs(reconciler, ready=watching, namespaces=settings.namespaces()),
            },
            stop,
            settings.shutdown_seconds,
        )


async def _follow(watcher: StatusWatcher, observers: Iterable[Callable[[InstanceStatus], None]]) -> None:
    async for status in watcher.statuses():
        for observe in observers:
            observe(status)

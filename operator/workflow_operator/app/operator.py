"""The role `operator`: watches objects, starts their instances, executes them and mirrors their statuses."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from workflow_operator.app import roles
from workflow_operator.app.health import Readiness, health_endpoints
from workflow_operator.app.logs import RunNames, log_script_line
from workflow_operator.app.settings import Settings
from workflow_operator.cluster import WorkflowRunClient, load_configuration, own_namespace
from workflow_operator.engine import Sweeper, SystemClock, follow_queue_depth
from workflow_operator.handlers import watch_runs
from workflow_operator.history import InstanceStatus
from workflow_operator.history.errors import Refused, Unavailable
from workflow_operator.jetstream import Connection, Membership, StatusWatcher
from workflow_operator.metrics import Role
from workflow_operator.reconcile import (
    Announcer,
    ClusterSide,
    ObjectStore,
    OrphanSweeper,
    Outage,
    OutlivedInstances,
    Reconciler,
    Reporter,
    StatusWriter,
    count_runs,
    nats_problem,
)
from workflow_operator.tracing import Tracer, open_exporter

_LOOK_SECONDS = 1.0


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
    namespaces = settings.namespaces()
    async with (
        health_endpoints(settings.health_host, settings.health_port, readiness, Role.OPERATOR),
        WorkflowRunClient(await load_configuration(os.environ), namespaces=namespaces) as api,
        AsyncExitStack() as stack,
    ):
        home = identity_namespace(namespaces, own_namespace(os.environ))
        start = roles.Start(stack, readiness, stop)
        cluster_id = settings.cluster_id or await start.get("apiServer", lambda: api.namespace_uid(home))
        # kopf looks for it once: a replica that came before it would be blind for ever.
        await start.get("crd", api.check_served)
        replica = _Replica(settings, names, readiness, api, cluster_id)
        await roles.run_until_stopped(replica.parts(), stop, settings.shutdown_seconds)


def identity_namespace(watched: Sequence[str], own: str | None) -> str:
    """The namespace whose uid tells this installation from every other. Pure.

    Args:
        watched: the namespaces that are watched; empty for all. Then there is one installation in the cluster;
            otherwise kube-system cannot be asked for.
        own: the namespace that this runs in, None outside of a cluster.
    """
    return (own or watched[0]) if watched else "kube-system"


def share_group(cluster_id: str, watched: Collection[str]) -> str:
    """The replicas that share out the same runs. Pure.

    Those of another cluster, or with other namespaces, may be in the same NATS, and see other runs.
    """
    runs = "\0".join([cluster_id, *sorted(watched)])
    return f"operators.{hashlib.blake2b(runs.encode(), digest_size=8).hexdigest()}"


def ours(status: InstanceStatus, cluster_id: str, watched: Collection[str]) -> bool:
    """Whether an instance was started by an installation in this cluster that watches these namespaces. Pure."""
    origin = status.origin
    return origin is not None and origin.cluster == cluster_id and (not watched or status.namespace in watched)


class _Replica:
    """The parts of one operator: those on the cluster's side, and those that begin once NATS is there."""

    def __init__(
        self, settings: Settings, names: RunNames, readiness: Readiness, api: WorkflowRunClient, cluster_id: str
    ) -> None:
        self._settings = settings
        self._names = names
        self._readiness = readiness
        self._api = api
        self._clock = SystemClock()
        self._watching = threading.Event()
        self._outage = Outage()
        self._reporter = Reporter(api, settings.identity, self._clock.now)
        objects = ObjectStore()
        writer = StatusWriter(api, objects, self._reporter)
        self._cluster = ClusterSide(api, objects, writer, cluster_id)
        self._announcer = Announcer(objects, writer, self._outage, self._clock.now, self._clock.sleep)

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs side by side; to be ended in this order."""
        objects, namespaces = self._cluster.objects, self._settings.namespaces()
        return {
            "engine": self._engine(),
            "announcer": self._announcer.run(),
            "watch": watch_runs(objects, ready=self._watching, namespaces=namespaces),
            "events": self._reporter.run(),
        }

    async def _engine(self) -> None:
        """What needs NATS; waits for it at first."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            # Whoever runs this ends it by cancelling.
            start = roles.Start(stack, self._readiness, stop=asyncio.Event())
            transport = await start.get("nats", lambda: self._connect(stack))
            executor = await stack.enter_async_context(roles.executor(transport, settings, log_script_line))
            group = share_group(self._cluster.cluster_id, settings.namespaces())
            members = await start.enter("nats", lambda: roles.membership(transport, settings, group))
            self._announcer.shares = members
            sweeper = Sweeper(transport.queue, self._clock)
            watcher = StatusWatcher(transport.connection)
            reconciler, orphans, outlived = self._reconciling(transport, members)
            self._ready_with(transport, watcher)
            tracer = self._tracer(transport, members, watcher)
            observers = [
                self._names.observe,
                sweeper.observe,
                orphans.observe,
                outlived.observe,
                reconciler.status_changed,
            ]
            parts = {
                "executor": executor.run(),
                "timers": transport.queue.run(),
                "sweep": sweeper.run(),
                "orphan sweep": _sweep_orphans(orphans, watcher),
                "outlived": outlived.run(),
                "statuses": _follow(watcher, observers),
                "reconcile": reconciler.run(settings.reconcile_workers),
                "count": count_runs(self._cluster.objects, members, self._clock.sleep),
                "nats": self._observe(transport.connection),
                "queue depth": follow_queue_depth(transport.queue, self._clock),
            }
            if tracer is not None:
                observers.append(tracer.observe)
                parts["traces"] = tracer.run()
            await roles.run_until_stopped(parts, asyncio.Event(), settings.shutdown_seconds)

    async def _connect(self, stack: AsyncExitStack) -> roles.Transport:
        try:
            transport = await stack.enter_async_context(roles.transport(self._settings, "operator"))
        except Unavailable as error:
            self._outage.begin(nats_problem(str(error), refused=isinstance(error, Refused)), self._clock.now())
            raise
        self._outage.end()
        return transport

    async def _observe(self, connection: Connection) -> None:
        while True:
            problem = connection.problem
            if problem is None:
                self._outage.end()
            else:
                self._outage.begin(nats_problem(problem, refused=connection.refused), self._clock.now())
            await self._clock.sleep(_LOOK_SECONDS)

    def _reconciling(
        self, transport: roles.Transport, members: Membership
    ) -> tuple[Reconciler, OrphanSweeper, OutlivedInstances]:
        runner = roles.workflow_runner(transport, self._settings.engine_limits())
        reconciler = Reconciler(self._cluster, runner, transport.bus, members, self._outage, self._clock.now)
        orphans = OrphanSweeper(self._api, runner, members, self._cluster.cluster_id, self._settings.namespaces())
        members.on_change(reconciler.shares_changed)
        members.on_change(orphans.shares_changed)

        async def transport_changed() -> None:
            reconciler.transport_changed()

        transport.connection.on_reconnect(transport_changed)
        return reconciler, orphans, OutlivedInstances(self._cluster.objects, runner)

    def _tracer(self, transport: roles.Transport, members: Membership, watcher: StatusWatcher) -> Tracer | None:
        """None while traces are off."""
        settings, cluster_id = self._settings, self._cluster.cluster_id
        if not settings.otlp_endpoint:
            return None

        def mine(status: InstanceStatus) -> bool:
            return ours(status, cluster_id, settings.namespaces()) and members.owns(str(status.key))

        exporter = open_exporter(settings.otlp_endpoint, settings.identity)
        return Tracer(transport.bus, exporter, mine, watcher.caught_up.is_set)

    def _ready_with(self, transport: roles.Transport, watcher: StatusWatcher) -> None:
        async def api_server() -> str | None:
            return None if await self._api.ready() else "does not answer, or is not ready"

        async def watch() -> str | None:
            return None if self._watching.is_set() and watcher.caught_up.is_set() else "not begun yet"

        self._readiness.checks |= {"nats": transport.check, "apiServer": api_server, "watch": watch}
        self._readiness.started()


async def _sweep_orphans(orphans: OrphanSweeper, watcher: StatusWatcher) -> None:
    await watcher.caught_up.wait()
    await orphans.run()


async def _follow(watcher: StatusWatcher, observers: Iterable[Callable[[InstanceStatus], None]]) -> None:
    async for status in watcher.statuses():
        for observe in observers:
            observe(status)

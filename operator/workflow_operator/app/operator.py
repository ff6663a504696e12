"""The role `operator`: watches objects, starts their instances, executes them and mirrors their statuses."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from workflow_operator.app import roles
from workflow_operator.app.health import Cached, Check, Readiness, health_endpoints
from workflow_operator.app.logs import RunNames, log_script_line
from workflow_operator.app.settings import Settings
from workflow_operator.cluster import WorkflowRunClient, load_configuration, own_namespace
from workflow_operator.engine import SystemClock, WorkflowRunner, follow_queue_depth, follow_stored_bytes
from workflow_operator.handlers import Pulse, watch_runs
from workflow_operator.history import InstanceStatus
from workflow_operator.history.errors import Refused, Unavailable
from workflow_operator.jetstream import Connection, Membership, StatusWatcher
from workflow_operator.jetstream.streams.topology import stored_bytes
from workflow_operator.metrics import Role
from workflow_operator.reconcile import (
    Announcer,
    ClusterSide,
    EngineSide,
    NamespaceQuota,
    ObjectStore,
    OrphanSweeper,
    Outage,
    OutlivedInstances,
    Reconciler,
    Reporter,
    SignalDesk,
    StatusWriter,
    count_runs,
    nats_problem,
)
from workflow_operator.tracing import Tracer, open_exporter

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LOOK_AT_WATCH_SECONDS = 5.0


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


async def end_with_the_watch(
    pulse: Pulse, api_server: Check, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
) -> None:
    """End when the watch is dead, and the process with it: Kubernetes starts it again.

    Args:
        api_server: whether the API server answers to others than the watch.
        now: the clock of the pulse.

    Raises:
        RuntimeError: the watch has said nothing for too long.
    """
    while True:
        pulse.server_answers(await api_server() is None, now())
        if pulse.dead(now()):
            raise RuntimeError(f"the watch of WorkflowRuns {pulse.problem(now())}, although the API server answers")
        await sleep(_LOOK_AT_WATCH_SECONDS)


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
        namespaces = settings.namespaces()
        self._pulse = Pulse(max(1, len(namespaces)), time.monotonic())
        self._api_server = Cached(self._ask_api_server, time.monotonic)
        self._outage = Outage()
        self._reporter = Reporter(api, settings.identity, self._clock.now, problems_only=settings.events == "problems")
        objects = ObjectStore()
        writer = StatusWriter(api, objects, self._reporter)
        self._cluster = ClusterSide(api, objects, writer, cluster_id)
        self._stored_again: Callable[[], None] = lambda: None
        self._signals = SignalDesk(api, self._clock.now, senders=settings.signal_senders == "verified")
        self._announcer = Announcer(objects, writer, self._outage, self._clock.now, self._clock.sleep)

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs side by side; to be ended in this order."""
        objects, namespaces = self._cluster.objects, self._settings.namespaces()
        return {
            "engine": self._engine(),
            "announcer": self._announcer.run(),
            "watch": watch_runs(objects, pulse=self._pulse, namespaces=namespaces, signals=self._signals),
            "pulse": end_with_the_watch(self._pulse, self._api_server, time.monotonic, self._clock.sleep),
            "events": self._reporter.run(),
        }

    async def _engine(self) -> None:
        """What needs NATS; waits for it at first."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            # Whoever runs this ends it by cancelling.
            start = roles.Start(stack, self._readiness, stop=asyncio.Event())
            transport = await start.get("nats", lambda: self._connect(stack))
            # Also while the start waits: a server that is full lets nobody join.
            observing = asyncio.create_task(self._observe(transport.connection), name="nats")
            stack.callback(observing.cancel)
            executor = await stack.enter_async_context(roles.executor(transport, settings, log_script_line))
            group = share_group(self._cluster.cluster_id, settings.namespaces())
            # What two own at once, two would begin; and what this one has not seen yet, the others had better own.
            members = await start.enter(
                "nats", lambda: roles.membership(transport, settings, group, gives_way=lambda: self._pulse.begun)
            )
            self._announcer.shares = members
            sweeper = roles.sweeper(transport, executor, self._may_be_over)
            watcher = StatusWatcher(transport.connection, transport.bus)
            quota = NamespaceQuota(settings.quota(), self._cluster.cluster_id, self._cluster.objects.started_in)
            runner = roles.workflow_runner(transport, settings.engine_limits(), executor)
            reconciler, orphans, outlived = self._reconciling(transport, members, quota, runner)
            self._ready_with(transport, members, watcher)
            tracer = self._tracer(transport, members, watcher)
            observers = [
                self._names.observe,
                sweeper.observe,
                orphans.observe,
                outlived.observe,
                quota.observe,
                reconciler.status_changed,
            ]
            parts = {
                "executor": executor.run(),
                "timers": transport.queue.run(),
                "sweep": sweeper.run(),
                "orphan sweep": _sweep_orphans(orphans, watcher, quota),
                "outlived": outlived.run(),
                "statuses": _follow(watcher.statuses(), observers),
                "pending": _follow(watcher.pending(), observers),
                "reconcile": reconciler.run(settings.reconcile_workers),
                "signals": self._signals.run(runner, members),
                "count": count_runs(self._cluster.objects, members, self._clock.sleep),
                "queue depth": follow_queue_depth(transport.queue, self._clock),
                "stored bytes": follow_stored_bytes(partial(stored_bytes, transport.connection), self._clock),
            }
            if tracer is not None:
                observers.append(tracer.observe)
                parts["traces"] = tracer.run()
            await roles.run_until_stopped(parts, asyncio.Event(), settings.shutdown_seconds)

    def _may_be_over(self, instance: InstanceStatus) -> bool:
        """Whether its object shows its end, or was not seen yet."""
        origin = instance.origin
        if origin is None:
            return False
        return not self._pulse.begun or self._cluster.objects.shows_end_of(instance.key, origin.name)

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
            try:
                self._look_at(connection)
            except Exception:
                logger.exception("cannot tell how NATS is")
            await self._clock.sleep(_LOOK_SECONDS)

    def _look_at(self, connection: Connection) -> None:
        problem, now = connection.problem, self._clock.now()
        if problem is None:
            self._outage.end()
        else:
            self._outage.begin(nats_problem(problem, refused=connection.refused), now)
        if self._outage.refusing(connection.storage_refusal, now):
            self._stored_again()

    def _reconciling(
        self, transport: roles.Transport, members: Membership, quota: NamespaceQuota, runner: WorkflowRunner
    ) -> tuple[Reconciler, OrphanSweeper, OutlivedInstances]:
        engine = EngineSide(runner, transport.bus, quota, self._settings.payload_bytes)
        reconciler = Reconciler(self._cluster, engine, members, self._outage, self._clock.now)
        self._stored_again = reconciler.shares_changed
        orphans = OrphanSweeper(
            self._api, runner, members, self._cluster.cluster_id, self._clock.now, self._settings.namespaces()
        )
        members.on_change(reconciler.shares_changed)
        members.on_change(orphans.shares_changed)
        members.on_change(self._signals.shares_changed)
        transport.connection.on_reconnect(reconciler.transport_changed)
        return reconciler, orphans, OutlivedInstances(self._cluster.objects, runner)

    def _tracer(self, transport: roles.Transport, members: Membership, watcher: StatusWatcher) -> Tracer | None:
        """None while traces are off."""
        settings, cluster_id = self._settings, self._cluster.cluster_id
        if not settings.otlp_endpoint:
            return None

        def mine(status: InstanceStatus) -> bool:
            return ours(status, cluster_id, settings.namespaces()) and members.owns(str(status.key))

        exporter = open_exporter(settings.otlp_endpoint, settings.identity)
        return Tracer(transport.bus, exporter, mine, watcher.begun.is_set)

    async def _ask_api_server(self) -> str | None:
        try:
            well = await self._api.ready()
        except Exception:
            logger.exception("the API server cannot be asked whether it is ready")
            well = False
        return None if well else "does not answer, or is not ready"

    def _ready_with(self, transport: roles.Transport, members: Membership, watcher: StatusWatcher) -> None:
        async def watch() -> str | None:
            return self._pulse.problem(time.monotonic())

        async def statuses() -> str | None:
            return None if watcher.begun.is_set() else "not followed yet"

        async def share() -> str | None:
            return None if members.settled else "the other replicas have not seen this one yet"

        self._readiness.checks |= {
            "nats": transport.check,
            "share": share,
            "apiServer": self._api_server,
            "watch": watch,
            "statuses": statuses,
        }
        self._readiness.started()


async def _sweep_orphans(orphans: OrphanSweeper, watcher: StatusWatcher, quota: NamespaceQuota) -> None:
    await watcher.scanned.wait()
    quota.all_counted()
    await orphans.run()


async def _follow(
    statuses: AsyncIterator[InstanceStatus], observers: Iterable[Callable[[InstanceStatus], None]]
) -> None:
    async for status in statuses:
        for observe in observers:
            try:
                observe(status)
            except Exception:
                logger.exception("instance %s: its status is left out", status.key)

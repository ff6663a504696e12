"""Each role wired from its parts: what local mode, the operator and the projector have in common, once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_operator import metrics
from workflow_operator.app.settings import Settings, variable
from workflow_operator.engine import Deputy, EngineLimits, Executor, Sweeper, SystemClock, WorkflowRunner, rehearse
from workflow_operator.engine.calls import FORMS
from workflow_operator.engine.driving.drive import DriveContext
from workflow_operator.engine.driving.script import LogSink
from workflow_operator.engine.driving.write import EventWriter, random_ids
from workflow_operator.history import InstanceEvent, InstanceStatus
from workflow_operator.history.errors import Unavailable
from workflow_operator.http import LateClient
from workflow_operator.javascript.host import LogLine, SandboxPool
from workflow_operator.javascript.host.lines import NamespaceLines
from workflow_operator.jetstream import (
    Connection,
    JetStreamDataBus,
    JetStreamWorkQueue,
    Membership,
    ProjectionFeed,
    RecentStatuses,
    TopologyOptions,
    ensure,
    kept,
    living,
    living_operators,
)
from workflow_operator.projector import Projector

if TYPE_CHECKING:
    # It serves HTTP, which local mode does not.
    from workflow_operator.app.health import Readiness

logger = logging.getLogger(__name__)
T = TypeVar("T")

_START_RETRY_SECONDS = 1.0
_TRIES_BETWEEN_REMINDERS = 60


@dataclass(frozen=True)
class Transport:
    """One connection to NATS, and what speaks over it."""

    connection: Connection
    bus: JetStreamDataBus
    queue: JetStreamWorkQueue

    async def check(self) -> str | None:
        """None while connected, else what is wrong."""
        return self.connection.problem


Prepare = Callable[[Connection, TopologyOptions], Awaitable[None]]


@asynccontextmanager
async def transport(settings: Settings, role: str, prepare: Prepare | None = ensure) -> AsyncIterator[Transport]:
    """Connect, and make sure of the streams.

    Args:
        prepare: :func:`ensure` creates them, at the start and whenever they are found missing (:func:`kept`).
            :func:`check` and :func:`check_projection` wait for somebody who does. None for those who only look.

    Raises:
        Unavailable: NATS does not answer, does not let us in (Refused), or has no streams yet.
        TopologyMismatch: an existing stream differs from the declared one.
    """
    connection = await Connection.open(settings.connection(role))
    metrics.NATS_CONNECTED.set_function(lambda: connection.connected)
    connection.on_reconnect(metrics.NATS_RECONNECTS.inc)
    try:
        if prepare is not None:
            await prepare(connection, settings.topology())
        async with kept(connection, settings.topology()) if prepare is ensure else nullcontext():
            yield Transport(connection, JetStreamDataBus(connection), JetStreamWorkQueue(connection))
    finally:
        await connection.close()


@asynccontextmanager
async def membership(
    transport: Transport, settings: Settings, group: str, *, gives_way: Callable[[], bool] | None = None
) -> AsyncIterator[Membership]:
    """This replica's place in a group, left again at the end; ``gives_way`` as in Membership."""
    member = Membership(transport.connection, group, settings.identity, gives_way=gives_way)
    await member.start()
    try:
        yield member
    finally:
        await member.close()


def event_writer() -> EventWriter:
    return EventWriter(SystemClock(), random_ids(os.urandom))


def workflow_runner(transport: Transport, limits: EngineLimits, here: Executor | None = None) -> WorkflowRunner:
    """``here``: the executor in this process, which may drive at once what is started."""
    return WorkflowRunner(transport.bus, transport.queue, event_writer(), limits, here)


@asynccontextmanager
async def _sandboxes(settings: Settings) -> AsyncIterator[SandboxPool]:
    limits = settings.engine_limits()
    sandboxes = SandboxPool(
        FORMS, size=limits.slots, memory_bytes=limits.sandbox.memory_bytes, fresh=settings.sandbox_fresh
    )
    await sandboxes.start()
    try:
        yield sandboxes
    finally:
        await sandboxes.close()


async def rehearsed(settings: Settings, events: Sequence[InstanceEvent]) -> str | None:
    """What a run makes otherwise when its script runs again; see :func:`workflow_operator.engine.rehearse`."""
    async with _sandboxes(settings) as sandboxes:
        return await rehearse(events, sandboxes, SystemClock(), settings.engine_limits())


@asynccontextmanager
async def executor(transport: Transport, settings: Settings, log: LogSink) -> AsyncIterator[Executor]:
    """An executor with its sandboxes; it runs once its :meth:`Executor.run` does."""
    http = LateClient(settings.egress(), lambda: own_hosts(transport.connection.hosts, os.environ))
    try:
        async with _sandboxes(settings) as sandboxes:
            yield Executor(
                DriveContext(
                    bus=transport.bus,
                    queue=transport.queue,
                    sandboxes=sandboxes,
                    writer=event_writer(),
                    limits=settings.engine_limits(),
                    executor_id=settings.identity,
                    log=_bounded(log, settings),
                    alive=partial(living, transport.connection),
                    http=http,
                )
            )
    finally:
        http.close()


def own_hosts(nats: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names and addresses of what the replicas use themselves: the servers of NATS, this pod and, in a cluster, the API
    server, which may have an address of each family."""
    api_server = environ.get("KUBERNETES_SERVICE_HOST", "")
    return (*nats, socket.gethostname(), *((api_server, "kubernetes.default.svc") if api_server else ()))


def sweeper(
    transport: Transport, executor: Executor, spare: Callable[[InstanceStatus], bool] = lambda status: False
) -> Sweeper:
    """Queues what nobody sees to; it has to be told of every status. ``spare`` as in Sweeper."""
    return Sweeper(transport.queue, SystemClock(), executor, partial(living, transport.connection), spare)


def deputy(transport: Transport, executor: Executor) -> Deputy:
    """Does the sweep where no operator is left."""

    def begin() -> tuple[Sweeper, RecentStatuses]:
        return sweeper(transport, executor), RecentStatuses(transport.connection)

    made = Deputy(partial(living_operators, transport.connection), begin, SystemClock())
    transport.connection.on_reconnect(made.reconnected)
    return made


def projector(transport: Transport, shares: Membership) -> Projector:
    """A projector that compares all histories with their statuses after each reconnect."""
    made = Projector(transport.bus, Feed(transport), shares, asyncio.sleep, SystemClock().now)
    transport.connection.on_reconnect(made.compare_tails)
    return made


class Feed(ProjectionFeed):
    """The events to fold, and the histories that their statuses lag behind."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport.connection)
        self.tails = transport.bus.tails


class Stopped(Exception):
    """The process was asked to end before it had started."""


class Repeated:
    """What is said again and again: worth a line when it is new, and then once in ``every`` times."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._text = ""
        self._times = 0

    def worth(self, text: str) -> bool:
        self._times = 0 if text != self._text else self._times + 1
        self._text = text
        return self._times % self._every == 0


class Start:
    """The start of a role, which waits for what is not there yet: a replica may come up before its surroundings."""

    def __init__(self, stack: AsyncExitStack, readiness: Readiness, stop: asyncio.Event) -> None:
        self._stack = stack
        self._readiness = readiness
        self._stop = stop

    async def enter(self, what: str, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Enter a context for as long as the role runs; otherwise as :meth:`get`."""
        return await self.get(what, lambda: self._stack.enter_async_context(make()))

    async def get(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it works.

        Raises:
            Stopped: asked to end first.
        """
        self._readiness.waiting(what, "not there yet")
        stopping = asyncio.create_task(self._stop.wait())
        told = Repeated(_TRIES_BETWEEN_REMINDERS)
        try:
            while True:
                trying = asyncio.ensure_future(attempt())
                try:
                    await asyncio.wait({trying, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    trying.cancel()
                if not trying.done():
                    raise Stopped
                try:
                    return trying.result()
                except Unavailable as error:
                    if told.worth(str(error)):
                        logger.warning("waiting for %s: %s", what, error)
                    self._readiness.waiting(what, str(error))
                await asyncio.wait({stopping}, timeout=_START_RETRY_SECONDS)
        finally:
            stopping.cancel()


async def run_until_stopped(parts: dict[str, Coroutine[Any, Any, None]], stop: asyncio.Event, grace: float) -> None:
    """Run the parts side by side until ``stop`` is set or one of them ends, and then stop them all, in order.

    Args:
        grace: seconds that all of them together have to end; a part that hangs leaves the later ones no time.

    Raises:
        Exception: what ended a part.
    """
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    waiter = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait({*tasks, waiter}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiter}:
            logger.error("%s ended; stopping", task.get_name())
            task.result()
    finally:
        waiter.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        for task in tasks:
            await _stop(task, max(0.0, deadline - loop.time()))


async def _stop(task: asyncio.Task[None], seconds: float) -> None:
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        logger.error("%s did not stop within %g s; left behind", task.get_name(), seconds)
    elif not task.cancelled() and task.exception() is not None:
        logger.error("%s: %s", task.get_name(), task.exception())


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set ``stop``. A second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def handle(number: signal.Signals) -> None:
        logger.info("%s: stopping", number.name)
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)


def _bounded(log: LogSink, settings: Settings) -> LogSink:
    """Prints what a namespace may print."""
    lines = NamespaceLines(settings.namespace_log_bytes_per_minute, variable("namespace_log_bytes_per_minute"))

    def print_line(started: InstanceEvent, line: LogLine) -> None:
        for printed in lines.take(started.namespace, line, time.monotonic()):
            log(started, printed)

    return print_line

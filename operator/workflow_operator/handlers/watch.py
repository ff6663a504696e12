"""One event handler for each kind, without finalizers, annotations or storages: kopf writes nothing to any object."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

import kopf
import uvloop

from workflow_operator.handlers.listing import FIRST_OBJECTS
from workflow_operator.handlers.pulse import Pulse
from workflow_operator.handlers.session import Listener, slim_session
from workflow_operator.resources.names import GROUP, PLURAL, SIGNAL_PLURAL, VERSION

logger = logging.getLogger(__name__)

# Go refuses JSON nested deeper than 10,000 levels, Python's parser deeper than the recursion limit: any user could end
# the watch of everybody's runs with an object between the two.
_RECURSION_LIMIT = 25_000
_STACK_BYTES = 128 * 1024 * 1024

# The pulse counts in tens of seconds.
_HEARD_SECONDS = 1.0

# For kopf to end in good order; its thread holds nothing that must be kept.
_END_SECONDS = 10.0

# Together about ten minutes: what outlasts them ends the process, and Kubernetes starts it again.
_API_ERROR_BACKOFFS_SECONDS = (0.5, 1, 2, 3, 5, 8, 13, *(20 for _ in range(28)))


class ObjectSink(Protocol):
    """Takes in what the watch sees: sightings."""

    def appeared(self, run: dict[str, Any], text: memoryview) -> None:
        """An object was created while we watched. Called in the thread of the watch, before object_changed.

        ``text`` is its whole JSON, to be copied if it is to be kept.
        """

    def knows(self, run: dict[str, Any]) -> bool:
        """Whether a change of an object is known already: then it is not told of. Called in the thread of the watch."""

    def object_changed(self, run: dict[str, Any], *, appeared: bool = False) -> None: ...

    def object_over(self, run: dict[str, Any]) -> None:
        """A list holds an object that shows the end of its run, and all that belongs to it."""

    def object_deleted(self, run: dict[str, Any]) -> None: ...


class SignalSink(Protocol):
    """Takes in WorkflowSignals, whole."""

    def object_changed(self, signal: dict[str, Any]) -> None: ...

    def object_deleted(self, signal: dict[str, Any]) -> None: ...


async def watch_runs(
    sink: ObjectSink, *, pulse: Pulse, namespaces: Collection[str] = (), signals: SignalSink | None = None
) -> None:
    """Watch until cancelled. Of runs the sink gets sightings: see :mod:`workflow_operator.resources.sighting`.

    kopf runs in a thread with an event loop of its own: it takes the signals of its thread, and at its end cancels
    every task of its loop. The sink is called in the loop of the caller.

    Args:
        sink: gets every run at the start, and then every change.
        signals: gets every WorkflowSignal likewise; None watches runs alone.
        pulse: is told, by ``time.monotonic()``, whenever the API server says something.
        namespaces: what to watch; all namespaces if empty.

    Raises:
        Exception: the API server stayed away, or refused the watch, for longer than the back-offs, or it does not know
            what is watched any more.
    """
    loop = asyncio.get_running_loop()
    stop, ready = threading.Event(), threading.Event()
    gone: asyncio.Future[str] = loop.create_future()

    told: dict[str, float] = {}

    def heard(watch: str) -> None:
        # Each call wakes the other thread.
        if (now := time.monotonic()) - told.get(watch, -_HEARD_SECONDS) >= _HEARD_SECONDS:
            told[watch] = now
            loop.call_soon_threadsafe(pulse.heard, watch, now)

    def listed(watch: str) -> None:
        loop.call_soon_threadsafe(pulse.listed, watch)

    def unknown(watch: str) -> None:
        loop.call_soon_threadsafe(_settle, gone, watch)

    def over(runs: list[dict[str, Any]]) -> None:
        loop.call_soon_threadsafe(_take_in, sink.object_over, runs)

    def see(kind: str | None, run: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(_hand_over, sink, kind, run)

    async def watch() -> None:
        try:
            await kopf.operator(
                registry=_registry(
                    see,
                    None if signals is None else partial(_see_signal, loop, signals),
                    Listener(heard, listed, over, sink.appeared, sink.knows, unknown),
                ),
                settings=_settings(),
                # kopf would ask for the name of the user, and one that the cluster has numbered has none.
                identity=cast(Any, "workflow-operator"),
                clusterwide=not namespaces,
                namespaces=namespaces,
                ready_flag=ready,
                stop_flag=stop,
            )
        finally:
            # kopf waits for the flags in threads, which the end of its loop would wait for in turn.
            stop.set()
            ready.set()
        if not stopping:
            raise RuntimeError("the watch of WorkflowRuns has failed; the log says why")

    stopping = False
    thread = _in_thread(watch)
    try:
        await _ended(thread, gone)
    finally:
        stopping = True
        stop.set()
        ready.set()
        await asyncio.wait({thread}, timeout=_END_SECONDS)
        if thread.done():
            # Whatever it was, somebody else knows more.
            thread.exception()


def _settle(gone: asyncio.Future[str], watch: str) -> None:
    if not gone.done():
        gone.set_result(watch)


async def _ended(thread: asyncio.Future[None], gone: asyncio.Future[str]) -> None:
    """Wait for the end of kopf, or for what it ends by.

    When a watch is answered 404 kopf stops its other watches, and one that is being tried again may not hear of it.
    """
    either: set[asyncio.Future[Any]] = {thread, gone}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if gone.done():
        raise RuntimeError(f"the API server does not know {gone.result()} any more: was the CRD deleted?")
    thread.result()


def _in_thread(work: Callable[[], Coroutine[None, None, None]]) -> asyncio.Future[None]:
    """Run a coroutine in a new thread with a loop and, for objects as deep as the API server takes, a large stack."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end(error: BaseException | None) -> None:
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failure: Exception | None = None
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(work())
        except Exception as error:
            failure = error
        # Nobody waits any more where the loop is closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(end, failure)

    sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
    before = threading.stack_size(_STACK_BYTES)
    try:
        threading.Thread(target=run, name="kopf", daemon=True).start()
    finally:
        threading.stack_size(before)
    return done


def _see_signal(loop: asyncio.AbstractEventLoop, signals: SignalSink, kind: str | None, signal: dict[str, Any]) -> None:
    take = signals.object_deleted if kind == "DELETED" else signals.object_changed
    loop.call_soon_threadsafe(_take_in, take, [signal])


def _hand_over(sink: ObjectSink, kind: str | None, run: dict[str, Any]) -> None:
    if kind == "DELETED":
        _take_in(sink.object_deleted, [run])
    else:
        # What a list tells of, the first or a later one, has no kind.
        _take_in(partial(sink.object_changed, appeared=kind == "ADDED"), [run])


def _take_in(take: Callable[[dict[str, Any]], None], runs: Iterable[dict[str, Any]]) -> None:
    for run in runs:
        try:
            take(run)
        except Exception:
            # An object that an older or newer CRD let in must not stop the watch of all others.
            logger.exception("cannot take in %s %r", run.get("kind", "WorkflowRun"), run.get("metadata"))


See: TypeAlias = Callable[[str | None, dict[str, Any]], None]


def _registry(see: See, see_signal: See | None, listener: Listener) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def saw(event: kopf.RawEvent, **_: Any) -> None:
        see(event["type"], dict(event["object"]))

    if see_signal is not None:

        @kopf.on.event(GROUP, VERSION, SIGNAL_PLURAL, registry=registry)
        async def saw_signal(event: kopf.RawEvent, **_: Any) -> None:
            see_signal(event["type"], dict(event["object"]))

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        info = None if os.environ.get("KUBECONFIG") else kopf.login_with_service_account(**kwargs)
        info = info or kopf.login_with_kubeconfig(**kwargs)
        return None if info is None else slim_session(info, listener)

    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    # An idle worker would hold a slot.
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 1.0
    settings.watching.chunk_size = FIRST_OBJECTS
    # The API server sends a bookmark each minute: silence for longer is a dead connection.
    settings.watching.inactivity_timeout = 70.0
    settings.networking.error_backoffs = _API_ERROR_BACKOFFS_SECONDS
    return settings


class _NoProgress(kopf.ProgressStorage):
    """kopf keeps the progress of its handlers in the object; ours have none."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...

    def purge(self, **_: Any) -> None: ...

    def touch(self, **_: Any) -> None: ...

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf keeps a copy of each object in an annotation, to tell what changed; nobody asks."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, *, body: Any, patch: MutableMapping[str, Any], essence: Any) -> None: ...

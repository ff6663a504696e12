"""WorkflowSignals: their events into the histories of their runs, and what became of them into their statuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from workflow_operator.history import InstanceKey, Json, SignalInfo
from workflow_operator.history.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NotSerializable,
    RunFinished,
    TooManySignals,
    Unavailable,
    WorkflowError,
)
from workflow_operator.reconcile.objects.ports import JsonObject, Shares
from workflow_operator.reconcile.objects.queue import KeyQueue
from workflow_operator.reconcile.objects.store import instance_of
from workflow_operator.resources.run import Condition, ConditionStatus, ObservedRun
from workflow_operator.resources.schema import to_wire
from workflow_operator.resources.signal import DAY_SECONDS, SignalPhase, SignalStatus, WorkflowSignal

logger = logging.getLogger(__name__)

_WORKERS = 4
# Of what may come about by itself: a run that is created, a history that is begun, a script that takes its events.
_AGAIN_SECONDS = 5.0
# A timer for longer than this is set again: its object may be gone by then.
_LONGEST_WAIT_SECONDS = 3600.0


class SignalKey(NamedTuple):
    namespace: str
    name: str
    uid: str


class SignalCluster(Protocol):
    """The Kubernetes API; see :class:`workflow_operator.cluster.WorkflowRunClient`."""

    async def look(self, namespace: str, name: str) -> JsonObject | None: ...

    async def signal(self, namespace: str, name: str) -> JsonObject | None: ...

    async def put_signal_status(
        self, namespace: str, name: str, uid: str, resource_version: str, status: JsonObject
    ) -> None: ...

    async def delete_signal(self, namespace: str, name: str, uid: str) -> None: ...


class Sender(Protocol):
    """The engine; see :class:`workflow_operator.engine.WorkflowRunner`."""

    async def signal(self, key: InstanceKey, signal: SignalInfo, payload: Json) -> int: ...


class Verdict(NamedTuple):
    """What is to be shown of a signal; ``sequence`` is that of its event."""

    phase: SignalPhase
    reason: str
    message: str
    sequence: int | None = None


def failed(error: WorkflowError) -> Verdict:
    """What an error means for a signal. Pure."""
    match error:
        case RunFinished():
            return Verdict(SignalPhase.REJECTED, "RunFinished", "the run had ended before the event came")
        case TooManySignals():
            return Verdict(SignalPhase.PENDING, "TooManySignals", f"{error}; it is tried again")
        case NotFound():
            return Verdict(SignalPhase.PENDING, "RunNotStarted", "the run has not begun yet; it gets the event then")
        case InvalidInput() | NotSerializable():
            return Verdict(SignalPhase.REJECTED, "InvalidSignal", str(error))
        case _:
            return Verdict(SignalPhase.PENDING, "NatsUnavailable", f"{error}; it is tried again")


def shown(verdict: Verdict, before: SignalStatus, generation: int, now: datetime) -> SignalStatus:
    """The status that tells a verdict. Pure; a time that says the same as before stays."""
    kinds = {SignalPhase.PENDING: "Reconciling", SignalPhase.DELIVERED: "Delivered", SignalPhase.REJECTED: "Stalled"}
    kind = kinds[verdict.phase]
    since = next((each.last_transition_time for each in before.conditions if each.type == kind), now)
    condition = Condition(
        type=kind,
        status=ConditionStatus.TRUE,
        observed_generation=generation,
        last_transition_time=since,
        reason=verdict.reason,
        message=verdict.message,
    )
    ended = verdict.phase is not SignalPhase.PENDING
    return SignalStatus(
        phase=verdict.phase,
        history_sequence=verdict.sequence,
        completion_time=now if ended else None,
        conditions=(condition,),
    )


def expires_in(signal: WorkflowSignal, now: datetime) -> float | None:
    """Seconds until a signal is to be deleted; None if nothing has become of it yet. Pure."""
    if signal.status.completion_time is None:
        return None
    kept = signal.spec.ttl_seconds_after_delivered
    seconds = DAY_SECONDS if kept is None else kept
    return (signal.status.completion_time + timedelta(seconds=seconds) - now).total_seconds()


class SignalDesk:
    """Sees to the signals of this replica's share. Delivering one twice is harmless: its ID tells.

    Args:
        now: the time of day.
        senders: whether admission holds spec.sender to who creates the object; otherwise no script gets it.
    """

    def __init__(self, cluster: SignalCluster, now: Callable[[], datetime], *, senders: bool) -> None:
        self._cluster = cluster
        self._now = now
        self._senders = senders
        self._known: set[SignalKey] = set()
        self._queue: KeyQueue[SignalKey] = KeyQueue(asyncio.get_running_loop())

    def object_changed(self, signal: dict[str, Any]) -> None:
        """A signal as the watch shows it."""
        key = key_of(signal)
        self._known.add(key)
        parsed = _parsed(signal)
        wait = None if parsed is None else expires_in(parsed, self._now())
        if wait is None:
            self._queue.add(key)
        else:
            self._queue.add_after(key, min(max(wait, 0.0), _LONGEST_WAIT_SECONDS))

    def object_deleted(self, signal: dict[str, Any]) -> None:
        self._known.discard(key_of(signal))

    def shares_changed(self) -> None:
        """Some are this replica's now that were not before."""
        for key in self._known:
            self._queue.add(key)

    async def run(self, runner: Sender, shares: Shares) -> None:
        """Work until cancelled, on what was seen by then and what will be."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work(runner, shares))

    async def _work(self, runner: Sender, shares: Shares) -> None:
        while True:
            key = await self._queue.get()
            try:
                if key in self._known and shares.owns(f"signal {key.namespace}/{key.uid}"):
                    await self._see_to(key, runner)
            except Conflict:
                self._queue.add_after(key, 0.1)
            except WorkflowError as error:
                logger.info("WorkflowSignal %s/%s: %s; it is tried again", key.namespace, key.name, error)
                self._queue.retry(key)
            except Exception:
                logger.exception("WorkflowSignal %s/%s: cannot be seen to", key.namespace, key.name)
                self._queue.retry(key, _AGAIN_SECONDS)
            finally:
                self._queue.done(key)

    async def _see_to(self, key: SignalKey, runner: Sender) -> None:
        found = await self._cluster.signal(key.namespace, key.name)
        if found is None or key_of(found) != key:
            self._known.discard(key)
            return
        signal = _parsed(found)
        if signal is None:
            return
        if (wait := expires_in(signal, self._now())) is not None:
            await self._expire(key, wait)
            return
        verdict = await self._delivered(signal, runner)
        await self._show(key, signal, verdict)
        if verdict.phase is SignalPhase.PENDING:
            # Later each time: many of them may wait for what never comes.
            self._queue.retry(key, _AGAIN_SECONDS)
        else:
            self._queue.forget_failures(key)

    async def _expire(self, key: SignalKey, wait: float) -> None:
        if wait <= 0:
            await self._cluster.delete_signal(*key)
            self._known.discard(key)
        else:
            self._queue.add_after(key, min(wait, _LONGEST_WAIT_SECONDS))

    async def _delivered(self, signal: WorkflowSignal, runner: Sender) -> Verdict:
        spec, namespace = signal.spec, signal.metadata.namespace
        seen = await self._cluster.look(namespace, spec.run_ref.name)
        if seen is None:
            message = f"there is no WorkflowRun {spec.run_ref.name}; it gets the event when it is created"
            return Verdict(SignalPhase.PENDING, "RunNotFound", message)
        instance = instance_of(ObservedRun.model_validate(seen))
        if instance is None:
            return Verdict(SignalPhase.REJECTED, "ForeignInstance", "the run's status names no instance")
        info = SignalInfo(
            id=spec.id or signal.metadata.name, type=spec.type, sender=spec.sender if self._senders else None
        )
        try:
            sequence = await runner.signal(instance, info, Json.of(spec.payload))
        except WorkflowError as error:
            if isinstance(error, Unavailable):
                logger.info("WorkflowSignal %s/%s: %s", namespace, signal.metadata.name, error)
            return failed(error)
        message = f"the event is in the history of instance {instance}, at sequence {sequence}"
        return Verdict(SignalPhase.DELIVERED, "Delivered", message, sequence)

    async def _show(self, key: SignalKey, signal: WorkflowSignal, verdict: Verdict) -> None:
        status = shown(verdict, signal.status, signal.metadata.generation, self._now())
        if status.conditions == signal.status.conditions and status.phase is signal.status.phase:
            return
        await self._cluster.put_signal_status(*key, signal.metadata.resource_version, to_wire(status))


def key_of(signal: JsonObject) -> SignalKey:
    """Raises LookupError for an object without what each has."""
    metadata = signal["metadata"]
    return SignalKey(metadata["namespace"], metadata["name"], metadata["uid"])


def _parsed(signal: JsonObject) -> WorkflowSignal | None:
    try:
        return WorkflowSignal.model_validate(signal)
    except ValidationError as error:
        # Another CRD let it in.
        logger.warning("WorkflowSignal %r is left alone: %s", signal.get("metadata", {}).get("name"), error)
        return None

"""WorkflowRunner: the interface to start and cancel instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.write import EventWriter
from workflow_operator.history import SCRIPT_RULES, DataBus, EventType, InstanceKey, Json, Origin, WorkQueue
from workflow_operator.history.errors import Conflict, InvalidInput, NotSerializable, Unavailable
from workflow_operator.replay import cancel_request

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_SCRIPT_CHARACTERS = 65_536


class WorkflowRunner:
    """Executes workflows. Any number of runners may work on the same history.

    Args:
        bus: carries the events.
        queue: hands instances to executors.
        writer: makes the events, with the time and the identities that it is given.
        limits: how large an input may be, and how long a call waits.
    """

    def __init__(self, bus: DataBus, queue: WorkQueue, writer: EventWriter, limits: EngineLimits) -> None:
        self._bus = bus
        self._queue = queue
        self._writer = writer
        self._limits = limits

    async def execute(
        self,
        namespace: str,
        script: str,
        fn: str | None = None,
        args: Json | JsonValue = None,
        labels: Mapping[str, str] | None = None,
        *,
        instance_id: UUID | None = None,
        origin: Origin | None = None,
    ) -> UUID:
        """Start an instance, and queue it. Idempotent for the same ``instance_id``.

        Args:
            namespace: logical grouping of workflows; a DNS label.
            script: JavaScript source, at most 65,536 characters.
            fn: the entry function; None looks one up in the script.
            args: the entry's argument, any JSON; None is no argument, ``Json.NULL`` is null.
            labels: metadata for classification, carried in every status.
            instance_id: the identity of the instance; None draws one.
            origin: the object that it is started for.

        Returns:
            The instance ID. The instance survives any crash from here on.

        Raises:
            InvalidInput: the namespace, the script or the arguments cannot be accepted.
            Unavailable: NATS does not answer; the instance may have been started, so call again with the same ID.
        """
        key = InstanceKey(namespace, instance_id or self._writer.new_id())
        fields: dict[str, Any] = {
            "metadata": dict(labels or {}),
            "script": _checked_script(key, script),
            "rules": SCRIPT_RULES,
        }
        if fn is not None:
            fields["entrypoint"] = fn
        if args is not None:
            fields["input"] = _checked_input(key, args, self._limits.sandbox.payload_bytes)
        if origin is not None:
            fields["origin"] = origin
        started = self._writer.event(key, EventType.STARTED, **fields)
        async with self._answered_in_time(key):
            try:
                await self._bus.push_instance_event(started, expected=0)
            except Conflict:
                history = await self._bus.query_history(key, slim=True)
                if history and history[-1].terminal:
                    return key.instance_id
            await self._queue.enqueue(key)
        return key.instance_id

    async def cancel(self, key: InstanceKey, reason: str) -> bool:
        """Ask for the end of an instance; False if it has ended already, or does not exist. Idempotent.

        Raises:
            Unavailable: NATS does not answer; call again.
        """
        async with self._answered_in_time(key):
            while events := await self._bus.query_history(key, slim=True):
                if events[-1].terminal:
                    return False
                try:
                    if cancel_request(events) is None:
                        request = self._writer.event(
                            key, EventType.CANCEL_REQUESTED, not_before=events[-1].time, reason=reason
                        )
                        await self._bus.push_instance_event(request, expected=events[-1].sequence)
                except Conflict:
                    continue
                await self._queue.enqueue(key)
                return True
        return False

    async def requeue(self, key: InstanceKey) -> bool:
        """Queue an instance that may have been lost on its way there; False if it is queued or held already.

        Idempotent: of one that has ended, or that somebody drives, nothing comes of it.

        Raises:
            Unavailable: NATS does not answer; call again.
        """
        async with self._answered_in_time(key):
            return await self._queue.enqueue(key)

    @asynccontextmanager
    async def _answered_in_time(self, key: InstanceKey) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                yield
        except TimeoutError as error:
            raise Unavailable(
                f"instance {key}: NATS did not answer within {self._limits.request_seconds:g} s; it is tried again"
            ) from error


def _checked_script(key: InstanceKey, script: str) -> str:
    if not 0 < len(script) <= MAX_SCRIPT_CHARACTERS:
        raise InvalidInput(
            f"instance {key}: the script has {len(script)} characters; expected 1 to {MAX_SCRIPT_CHARACTERS}"
        )
    return script


def _checked_input(key: InstanceKey, args: Json | JsonValue, limit: int) -> Json:
    try:
        value = args if isinstance(args, Json) else Json.of(args)
    except NotSerializable as error:
        raise InvalidInput(f"instance {key}: the input cannot be stored: {error}") from error
    if len(value) > limit:
        raise InvalidInput(
            f"instance {key}: the input has {len(value)} bytes as JSON; expected at most {limit} "
            "(WORKFLOW_OPERATOR_PAYLOAD_BYTES)"
        )
    return value

"""The commands that look at an instance: `history`, `status`, `output` and `replay`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import click

from workflow_operator.app import roles
from workflow_operator.app.local import latest, local_history
from workflow_operator.app.settings import Settings, from_environment, variable
from workflow_operator.cli import output
from workflow_operator.cli.work import execute
from workflow_operator.history import InstanceEvent, InstanceKey, InstanceStatus, Json
from workflow_operator.history.errors import InvalidInput, NotFound, Unavailable
from workflow_operator.reconcile.showing.desired import phase_and_reason


@dataclass(frozen=True)
class Wanted:
    """The instance that is asked for: by namespace, by name or ID, and whether among the local runs only."""

    namespace: str | None
    name: str
    local: bool = False

    @property
    def instance_id(self) -> UUID | None:
        try:
            return UUID(self.name)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def wanted(name: str, namespace: str | None, *, local: bool) -> Wanted:
    """What the words of a command name.

    Raises:
        UsageError: no namespace, or two.
    """
    before, slash, behind = name.rpartition("/")
    if slash and namespace not in (None, before):
        raise click.UsageError(f"{name}: names the namespace {before}, and --namespace names {namespace}")
    found = Wanted(before or namespace, behind, local)
    if not found.name or (slash and not before) or (found.namespace is None and found.instance_id is None):
        raise click.UsageError(f"{name!r}: expected NAMESPACE/NAME, as default/{behind or 'hello'}, or an instance ID")
    return found


def print_history(asked: Wanted, form: str) -> None:
    events = execute(_history(asked))
    _print(
        form,
        output.events_table(events),
        [event.to_dict() | {"sequence": event.sequence, "place": event.place} for event in events],
    )


def print_status(asked: Wanted, form: str) -> None:
    status = execute(_status(asked))
    _print(form, output.statuses_table([status]), status.to_dict())


def print_value(asked: Wanted, field: str) -> None:
    click.echo(output.as_json(execute(_value(asked, field))))


def replay(asked: Wanted) -> int:
    """The exit code of `replay`."""
    events, differs = execute(_replayed(asked))
    if differs is not None:
        click.echo(output.not_replayed(differs), err=True)
        return 1
    click.echo(f"its {len(events)} events come out the same when its script runs again")
    return 0


async def _replayed(asked: Wanted) -> tuple[Sequence[InstanceEvent], str | None]:
    events = await _history(asked)
    return events, await roles.rehearsed(Settings(), events)


async def _history(asked: Wanted) -> Sequence[InstanceEvent]:
    async with reach(asked) as (transport, key):
        events = await transport.bus.query_history(key)
    if not events:
        raise NotFound(f"instance {asked}: no history")
    return events


async def _status(asked: Wanted) -> InstanceStatus:
    async with reach(asked) as (transport, key):
        status = (await transport.bus.query_statuses([key])).get(key)
    if status is None:
        raise NotFound(f"instance {asked}: no status yet")
    return status


async def _value(asked: Wanted, field: str) -> Any:
    status = await _status(asked)
    value: Json | None = getattr(status, field)
    if value is None:
        phase, reason, _ = phase_and_reason(status)
        raise NotFound(f"instance {asked}: has no {field}; it is {phase} ({reason})")
    return value.load()


@asynccontextmanager
async def reach(asked: Wanted) -> AsyncIterator[tuple[roles.Transport, InstanceKey]]:
    """A connection to where the instance is, and which it is; said on standard error, so that nobody takes one run
    for another of its name."""
    settings = Settings()
    named = "nats_url" in from_environment(os.environ)
    if asked.local or not named:
        async with local_history(asked.namespace, asked.name) as local:
            if local is not None:
                local_settings, key, when = local
                async with roles.transport(local_settings, "cli", prepare=None) as transport:
                    click.echo(f"local run {asked} of {when:%Y-%m-%dT%H:%M:%SZ}: instance {key}", err=True)
                    yield transport, key
                return
    if asked.local:
        raise NotFound(f"instance {asked}: not among the local runs")
    where = settings.connection("cli").addresses
    async with _connected(settings, None if named else asked) as transport:
        found, others = await _resolve(transport, asked)
        if found is None:
            raise NotFound(f"instance {asked}: not found {_where_looked(where, asked, named=named)}")
        rest = f", the latest of {others + 1} of that name" if others else ""
        click.echo(f"{where}: instance {found}{rest}", err=True)
        yield transport, found


@asynccontextmanager
async def _connected(settings: Settings, guessed_for: Wanted | None) -> AsyncIterator[roles.Transport]:
    """A connection to NATS; where nobody named it, and there is none, what was asked for is not to be found."""
    async with AsyncExitStack() as stack:
        try:
            transport = await stack.enter_async_context(roles.transport(settings, "cli", prepare=None))
        except Unavailable as error:
            if guessed_for is None:
                raise
            raise NotFound(
                f"instance {guessed_for}: not found among the local runs; to look into a cluster's NATS, set "
                f"{variable('nats_url')} ({error})"
            ) from error
        yield transport


def _where_looked(where: str, asked: Wanted, *, named: bool) -> str:
    if not named:
        return f"among the local runs, nor at {where}, where it was looked for as {variable('nats_url')} is not set"
    try:
        local = latest(asked.namespace, asked.name)
    except InvalidInput:
        local = None
    return f"at {where}" + ("; there is a local run of that name: add --local" if local else "")


async def _resolve(transport: roles.Transport, asked: Wanted) -> tuple[InstanceKey | None, int]:
    """The latest instance of that name, or the one with that ID; and how many others have the name."""
    if asked.instance_id is not None:
        statuses = await transport.bus.query_instance_status(asked.namespace, asked.instance_id)
        if statuses:
            return statuses[0].key, 0
    if asked.namespace is None:
        return None, 0
    statuses = await transport.bus.query_instance_status(asked.namespace)
    found = [each for each in statuses if each.origin and each.origin.name == asked.name]
    return (max(found, key=lambda each: each.created_at).key, len(found) - 1) if found else (None, 0)


def _print(form: str, table: str, value: Any) -> None:
    write = {"table": lambda: table, "json": lambda: output.as_json(value), "yaml": lambda: output.as_yaml(value)}
    click.echo(write[form]())

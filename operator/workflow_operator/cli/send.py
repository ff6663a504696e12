"""The commands `signal`, `suspend` and `resume`: what somebody wants of a run."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from workflow_operator.app import roles
from workflow_operator.app.local import goes_on
from workflow_operator.app.settings import Settings
from workflow_operator.cli.given import given_value
from workflow_operator.cli.look import Wanted, reach
from workflow_operator.cli.work import execute
from workflow_operator.history import Json, SignalInfo
from workflow_operator.history.errors import InvalidInput
from workflow_operator.resources.names import API_VERSION, SIGNAL_KIND

if TYPE_CHECKING:
    from workflow_operator.cluster import WorkflowRunClient


def signal(asked: Wanted, kind: str, given: str | None, signal_id: str | None, *, direct: bool) -> None:
    """Send it: to a local run, straight into the history, or as an object."""
    try:
        value = None if given is None else given_value("--data", given)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error
    if direct or asked.local or goes_on(asked.namespace, asked.name):
        info = SignalInfo(id=signal_id or str(uuid.uuid4()), type=kind)
        sequence = execute(_appended(asked, info, Json.of(value)))
        click.echo(f"event {info.type} with ID {info.id} is sequence {sequence} of the history")
    else:
        created = execute(_created(asked, kind, value, signal_id))
        click.echo(f"workflowsignal/{created} created")


def suspend(asked: Wanted, *, wanted: bool) -> None:
    """Set spec.suspend of the run in the cluster."""
    execute(_set_suspend(asked, wanted=wanted))
    click.echo(f"workflowrun/{asked.name} {'suspended' if wanted else 'resumed'}")


async def _set_suspend(asked: Wanted, *, wanted: bool) -> None:
    async with _cluster_of(asked) as (api, namespace):
        await api.suspend(namespace, asked.name, suspend=wanted)


async def _appended(asked: Wanted, info: SignalInfo, payload: Json) -> int:
    async with reach(asked) as (transport, key):
        runner = roles.workflow_runner(transport, Settings().engine_limits())
        return await runner.signal(key, info, payload)


async def _created(asked: Wanted, kind: str, payload: Any, signal_id: str | None) -> str:
    async with _cluster_of(asked) as (api, namespace):
        spec = {"runRef": {"name": asked.name}, "type": kind, "payload": payload, "sender": await api.user()}
        if signal_id is not None:
            spec["id"] = signal_id
        metadata = {"generateName": f"{asked.name[:200]}-", "namespace": namespace}
        manifest = {"apiVersion": API_VERSION, "kind": SIGNAL_KIND, "metadata": metadata, "spec": spec}
        return str((await api.create_signal(namespace, manifest))["metadata"]["name"])


@asynccontextmanager
async def _cluster_of(asked: Wanted) -> AsyncIterator[tuple[WorkflowRunClient, str]]:
    """The cluster of kubectl, and the namespace of the run.

    Raises:
        InvalidInput: it is named by its ID alone.
    """
    from workflow_operator.cluster import WorkflowRunClient, load_configuration

    if asked.namespace is None:
        raise InvalidInput(f"{asked}: expected NAMESPACE/NAME of a run in the cluster")
    async with WorkflowRunClient(await load_configuration(os.environ)) as api:
        yield api, asked.namespace

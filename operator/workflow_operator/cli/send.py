"""The command `signal`: an event from outside, for a run that waits for it."""

from __future__ import annotations

import uuid

import click

from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.cli.given import given_value
from workflow_operator.cli.look import Wanted, reach
from workflow_operator.cli.work import execute
from workflow_operator.history import Json, SignalInfo


def signal(asked: Wanted, kind: str, given: str | None, signal_id: str | None) -> None:
    """Append it to the history, and say so."""
    info = SignalInfo(id=signal_id or str(uuid.uuid4()), type=kind)
    sequence = execute(_sent(asked, info, payload(given)))
    click.echo(f"event {info.type} with ID {info.id} is sequence {sequence} of the history")


async def _sent(asked: Wanted, info: SignalInfo, value: Json) -> int:
    async with reach(asked) as (transport, key):
        runner = roles.workflow_runner(transport, Settings().engine_limits())
        return await runner.signal(key, info, value)


def payload(given: str | None) -> Json:
    """What --data says: JSON, or @FILE; null where it is not given."""
    return Json.NULL if given is None else Json.of(given_value("--data", given))

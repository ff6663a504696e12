"""The command `run`: a file, here and now."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import click

from workflow_operator.app.local import LocalEnd, LocalRun, run_locally
from workflow_operator.app.settings import variable
from workflow_operator.cli import output
from workflow_operator.cli.given import given_value
from workflow_operator.cli.manifest import Loaded, load
from workflow_operator.cli.place import pointed
from workflow_operator.cli.work import execute
from workflow_operator.history import InstanceEvent, InstanceStatus, Json, StatusValue, WaitedFor
from workflow_operator.history.errors import InvalidInput
from workflow_operator.javascript.host import LogLine

# What is tried again by itself, as NATS that is slow on a busy machine, is of no use to whoever runs one script.
_RETRYING = ("workflow_operator.jetstream", "workflow_operator.projector", "nats")


def run_file(file: Path, given: str | None, entrypoint: str | None, *, as_json: bool) -> int:
    """The exit code of `run`."""
    _configure_logs()
    try:
        loaded = _overridden(load(file), given, entrypoint)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error
    for note in loaded.notes:
        click.echo(f"Warning: {note}", err=True)
    end = execute(_local(loaded, quiet=as_json))
    status = end.status
    if as_json:
        click.echo(output.as_json(status.to_dict()))
    elif status.status is StatusValue.COMPLETE:
        click.echo(output.as_json((status.output or Json.NULL).load()))
    elif place := _place(loaded, status):
        click.echo(place, err=True)
    if end.differs is not None:
        click.echo(output.not_replayed(end.differs), err=True)
    return 0 if status.status is StatusValue.COMPLETE and end.differs is None else 1


def _configure_logs() -> None:
    asked = os.environ.get(variable("log_level"), "").upper()
    level = asked if asked in logging.getLevelNamesMapping() else "WARNING"
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", stream=sys.stderr)
    if not asked:
        for name in _RETRYING:
            logging.getLogger(name).setLevel(logging.ERROR)


def _overridden(loaded: Loaded, given: str | None, entrypoint: str | None) -> Loaded:
    run = loaded.run
    value = run.input if given is None else given_value("--input", given)
    return replace(loaded, run=replace(run, entrypoint=entrypoint or run.entrypoint, input=value))


async def _local(loaded: Loaded, *, quiet: bool) -> LocalEnd:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    run, instance_id = loaded.run, uuid.uuid4()

    def say(line: str) -> None:
        click.echo(line, err=True)

    def on_event(event: InstanceEvent) -> None:
        if quiet:
            return
        say(output.event_line(event))
        for waited in event.on:
            if waited.kind == "event":
                say(f"{'':24}  to go on, in another terminal: {_how_to_signal(run, waited)}")

    def on_line(_: InstanceEvent, line: LogLine) -> None:
        say(f"{'':24}  {line.level}: {line.text}" if not quiet else line.text)

    if not quiet:
        say(f"instance {run.namespace}/{run.name} {instance_id}")
    return await run_locally(run, instance_id, on_event, on_line, stop)


def _how_to_signal(run: LocalRun, waited: WaitedFor) -> str:
    kind = shlex.quote(output.harmless(waited.types[0]))
    return f"workflow-operator signal {shlex.quote(f'{run.namespace}/{run.name}')} {kind} --data '{{}}'"


def _place(loaded: Loaded, status: InstanceStatus) -> str:
    """Where the run failed: file and line, the line itself, and a mark under the column."""
    error = status.error
    if error is None or error.line is None:
        return ""
    shown = pointed(loaded.run.script, error.line, error.column)
    if not shown:
        return ""
    if loaded.first_line is None:
        return f"{loaded.file}, line {error.line} of the script:\n{shown}"
    return f"{loaded.file}:{loaded.first_line + error.line - 1}:\n{shown}"


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGINT and SIGTERM set ``stop``. A second one ends the process at once, even if the event loop hangs."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def handle() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, handle)

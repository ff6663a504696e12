"""The commands. Each parses its words and calls one function."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from workflow_operator.app import roles
from workflow_operator.app.executor import run_executor
from workflow_operator.app.local import LocalRun, local_history, run_locally
from workflow_operator.app.logs import RunNames, configure_logs
from workflow_operator.app.operator import run_operator
from workflow_operator.app.projector import run_projector
from workflow_operator.app.settings import Settings, explain
from workflow_operator.app.verify import VerificationFailed, verify
from workflow_operator.cli import output
from workflow_operator.cli.manifest import load
from workflow_operator.cluster import WorkflowRunClient, load_configuration
from workflow_operator.engine import SystemClock
from workflow_operator.history import InstanceEvent, InstanceKey, InstanceStatus, Json, StatusValue
from workflow_operator.history.errors import InvalidInput, NotFound, WorkflowError
from workflow_operator.javascript.host import LogLine

T = TypeVar("T")
_FORMATS = click.Choice(["table", "json", "yaml"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="workflow-operator")
def main() -> None:
    """Run JavaScript workflows that resume at the step after any crash."""


@main.command("operator")
def operator_command() -> None:
    """Watch WorkflowRuns, execute them and mirror their statuses. Any number of replicas may run."""
    _serve("operator", run_operator)


@main.command("projector")
def projector_command() -> None:
    """Fold histories into statuses. Any number of replicas may run."""
    _serve("projector", run_projector)


@main.command("executor")
def executor_command() -> None:
    """Execute WorkflowRuns beside the operators, without a word to the API server. Any number of replicas may run."""
    _serve("executor", run_executor)


@main.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--input", "input_json", metavar="JSON", help="Argument of the entry function, in place of spec.input.")
@click.option("--entrypoint", metavar="NAME", help="Function to call, in place of spec.entrypoint.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def run_command(file: Path, input_json: str | None, entrypoint: str | None, form: str) -> None:
    """Run FILE, a WorkflowRun manifest or a script (.js), here and now, without a cluster.

    Exit code 0: the run is complete; 1: it failed or was cancelled; 2: it could not be run.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    status = _execute(_local(_overridden(load_or_fail(file), input_json, entrypoint), quiet=form == "json"))
    if form == "json":
        click.echo(output.as_json(status.to_dict()))
    elif status.status is StatusValue.COMPLETE:
        click.echo(output.as_json((status.output or Json.NULL).load()))
    sys.exit(0 if status.status is StatusValue.COMPLETE else 1)


@main.command("history")
@click.argument("name", metavar="NAMESPACE/NAME|ID")
@click.option("-o", "--output", "form", type=_FORMATS, default="table", show_default=True)
def history_command(name: str, form: str) -> None:
    """Print every event of an instance. Looks at local runs first, then at NATS (WORKFLOW_OPERATOR_NATS_URL)."""
    events = _execute(_history(name))
    _print(form, output.events_table(events), [event.to_dict() | {"sequence": event.sequence} for event in events])


@main.command("status")
@click.argument("name", metavar="NAMESPACE/NAME|ID")
@click.option("-o", "--output", "form", type=_FORMATS, default="table", show_default=True)
def status_command(name: str, form: str) -> None:
    """Print the status of an instance. Looks where `history` looks."""
    status = _execute(_status(name))
    _print(form, output.statuses_table([status]), status.to_dict())


@main.command("verify")
@click.option("-n", "--namespace", required=True, help="Where the run is created; an operator must watch it.")
@click.option("--timeout", "timeout_seconds", type=float, default=60.0, show_default=True, help="Seconds to wait.")
def verify_command(namespace: str, timeout_seconds: float) -> None:
    """Prove that an installation works: create a small WorkflowRun, wait for its end, delete it.

    Exit code 0: it completed; 1: it did not; 2: the API server did not let us.
    """
    try:
        _execute(_verify(namespace, timeout_seconds))
    except VerificationFailed as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


async def _verify(namespace: str, timeout_seconds: float) -> None:
    async with WorkflowRunClient(await load_configuration(os.environ)) as cluster:
        await verify(cluster, namespace, timeout_seconds, SystemClock(), click.echo)


def load_or_fail(file: Path) -> LocalRun:
    try:
        return load(file)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def _overridden(run: LocalRun, input_json: str | None, entrypoint: str | None) -> LocalRun:
    try:
        given = run.input if input_json is None else json.loads(input_json)
    except ValueError as error:
        raise click.UsageError(f"--input {input_json!r}: expected JSON: {error}") from error
    except RecursionError as error:
        raise click.UsageError("--input: nested too deeply") from error
    return LocalRun(run.namespace, run.name, run.script, entrypoint or run.entrypoint, given)


async def _local(run: LocalRun, *, quiet: bool) -> InstanceStatus:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    instance_id = uuid.uuid4()

    def say(line: str) -> None:
        click.echo(line, err=True)

    def on_event(event: InstanceEvent) -> None:
        if not quiet:
            say(output.event_line(event))

    def on_line(_: InstanceEvent, line: LogLine) -> None:
        say(f"{'':24}  {line.level}: {line.text}" if not quiet else line.text)

    if not quiet:
        say(f"instance {run.namespace}/{run.name} {instance_id}")
    return await run_locally(run, instance_id, on_event, on_line, stop)


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


async def _history(name: str) -> Sequence[InstanceEvent]:
    async with _reach(name) as (transport, key):
        events = await transport.bus.query_history(key)
    if not events:
        raise NotFound(f"instance {name}: no history")
    return events


async def _status(name: str) -> InstanceStatus:
    async with _reach(name) as (transport, key):
        status = (await transport.bus.query_statuses([key])).get(key)
    if status is None:
        raise NotFound(f"instance {name}: no status yet")
    return status


@asynccontextmanager
async def _reach(name: str) -> AsyncIterator[tuple[roles.Transport, InstanceKey]]:
    async with local_history(name) as local:
        if local is not None:
            settings, key = local
            async with roles.transport(settings, "cli", prepare=None) as transport:
                yield transport, key
            return
    async with roles.transport(Settings(), "cli", prepare=None) as transport:
        yield transport, await _resolve(transport, name)


async def _resolve(transport: roles.Transport, name: str) -> InstanceKey:
    """The latest instance of that name, or the one with that ID."""
    namespace, slash, run = name.partition("/")
    statuses = await transport.bus.query_instance_status(namespace if slash else None)
    wanted = [
        status
        for status in statuses
        if (status.origin and slash and status.origin.name == run) or str(status.instance_id) == (run or namespace)
    ]
    if not wanted:
        where = Settings().connection("cli").addresses
        raise NotFound(f"instance {name}: not found, neither among local runs nor at {where}")
    return max(wanted, key=lambda status: status.created_at).key


def _serve(role: str, run: Callable[[Settings, RunNames], Coroutine[Any, Any, None]]) -> None:
    try:
        settings = Settings()
    except ValidationError as error:
        raise click.UsageError(f"settings: {explain(error)}") from error
    names = configure_logs(settings.log_level, {"role": role, "replica": settings.identity})
    logger = logging.getLogger(__name__)
    # What is loaded now stays: otherwise each large value has the collector walk through all modules again, which
    # makes reading it four times as dear.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(run(settings, names))
    except roles.Stopped:
        return
    except WorkflowError as error:
        logger.critical("%s", error)
        sys.exit(1)
    except Exception:
        logger.critical("the %s ends", role, exc_info=True)
        sys.exit(1)


def _execute(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except WorkflowError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except ValidationError as error:
        raise click.UsageError(f"settings: {explain(error)}") from error


def _print(form: str, table: str, value: Any) -> None:
    write = {"table": lambda: table, "json": lambda: output.as_json(value), "yaml": lambda: output.as_yaml(value)}
    click.echo(write[form]())

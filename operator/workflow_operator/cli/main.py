"""The commands. Each parses its words, and imports what it needs only then: `--help` must not wait for a cluster's
client, nor `run` for it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

_FORMATS = click.Choice(["table", "json", "yaml"])

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="workflow-operator")
def main() -> None:
    """Run JavaScript workflows that resume at the step after any crash."""


@main.command("operator")
def operator_command() -> None:
    """Watch WorkflowRuns, execute them and mirror their statuses. Any number of replicas may run."""
    _spare_what_nobody_uses()
    from workflow_operator.app.operator import run_operator
    from workflow_operator.cli.serve import serve

    serve("operator", run_operator)


@main.command("projector")
def projector_command() -> None:
    """Fold histories into statuses. Any number of replicas may run."""
    _spare_what_nobody_uses()
    from workflow_operator.app.projector import run_projector
    from workflow_operator.cli.serve import serve

    serve("projector", run_projector)


@main.command("executor")
def executor_command() -> None:
    """Execute WorkflowRuns beside the operators, without a word to the API server. Any number of replicas may run."""
    _spare_what_nobody_uses()
    from workflow_operator.app.executor import run_executor
    from workflow_operator.cli.serve import serve

    serve("executor", run_executor)


@main.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "given",
    metavar="JSON|@FILE",
    help="Argument of the entry function, in place of spec.input: JSON, or a file of JSON or YAML (@- reads it from "
    "standard input).",
)
@click.option("--entrypoint", metavar="NAME", help="Function to call, in place of spec.entrypoint.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def run_command(file: Path, given: str | None, entrypoint: str | None, form: str) -> None:
    """Run FILE, a WorkflowRun manifest or a script (.js), here and now, without a cluster.

    Exit code 0: the run is complete; 1: it failed or was cancelled; 2: it could not be run.
    """
    with _loading():
        from workflow_operator.cli.local import run_file

    sys.exit(run_file(file, given, entrypoint, as_json=form == "json"))


@contextmanager
def _loading() -> Iterator[None]:
    """Around the imports of a command that is soon over, where they take most of the time.

    NATS' client imports aiohttp for URLs of websockets. And the collector walks again and again through modules that
    will stay: so it waits until they are loaded, and then leaves them out.
    """
    from workflow_operator.lazy import put_off

    put_off("aiohttp")
    _spare_what_nobody_uses()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _spare_what_nobody_uses() -> None:
    """The clients import their other halves: of NATS' 25 ms and a megabyte, of Kubernetes' 300 ms and nine of them."""
    from workflow_operator.lazy import put_off

    put_off("nats.js")
    for part in ("config", "dynamic", "stream", "utils", "watch"):
        put_off(f"kubernetes.{part}")


_in_namespace = click.option(
    "-n", "--namespace", metavar="NAMESPACE", help="The namespace, where NAME is given without it."
)


def _names_an_instance(command: Command) -> Command:
    """NAMESPACE/NAME, NAMESPACE/ID, ID, or NAME with --namespace; and where to look for it."""
    for decorate in (
        click.option("--local", is_flag=True, help="Look among the local runs only."),
        _in_namespace,
        click.argument("name", metavar="NAMESPACE/NAME|ID"),
    ):
        command = decorate(command)
    return command


@main.command("history")
@_names_an_instance
@click.option("-o", "--output", "form", type=_FORMATS, default="table", show_default=True)
def history_command(name: str, namespace: str | None, local: bool, form: str) -> None:
    """Print every event of an instance.

    Says on standard error which instance that is, and where it was found. Looks into NATS where
    WORKFLOW_OPERATOR_NATS_URL is set, and otherwise among the local runs.
    """
    with _loading():
        from workflow_operator.cli import look

    look.print_history(look.wanted(name, namespace, local=local), form)


@main.command("status")
@_names_an_instance
@click.option("-o", "--output", "form", type=_FORMATS, default="table", show_default=True)
def status_command(name: str, namespace: str | None, local: bool, form: str) -> None:
    """Print the status of an instance.

    Phase and reason are those of kubectl. Looks where `history` looks. With -o json or yaml: all of it, as it is
    stored in NATS.
    """
    with _loading():
        from workflow_operator.cli import look

    look.print_status(look.wanted(name, namespace, local=local), form)


@main.command("output")
@_names_an_instance
@click.option("--memory", is_flag=True, help="Print the payload of the last transition instead.")
def output_command(name: str, namespace: str | None, local: bool, memory: bool) -> None:
    """Print what a run returned, whole, as JSON.

    Looks where `history` looks.
    """
    with _loading():
        from workflow_operator.cli import look

    look.print_value(look.wanted(name, namespace, local=local), "memory" if memory else "output")


@main.command("signal")
@_names_an_instance
@click.argument("kind", metavar="TYPE")
@click.option("--data", metavar="JSON|@FILE", help="Its payload: JSON, or a file of JSON or YAML. Default: null.")
@click.option("--id", "signal_id", metavar="ID", help="Of several with one ID the script gets the first.")
@click.option("--direct", is_flag=True, help="Append it to the history in NATS, without an object.")
def signal_command(
    name: str, namespace: str | None, local: bool, kind: str, data: str | None, signal_id: str | None, direct: bool
) -> None:
    """Send an event of a TYPE to a run: its script gets it from step.waitForEvent, now or later.

    Creates a WorkflowSignal in the cluster of kubectl, with you as its sender. To a local run, and with --direct, it
    is appended to the history, in NATS where WORKFLOW_OPERATOR_NATS_URL is set.
    """
    with _loading():
        from workflow_operator.cli import look, send

    send.signal(look.wanted(name, namespace, local=local), kind, data, signal_id, direct=direct)


@main.command("suspend")
@_in_namespace
@click.argument("name", metavar="NAMESPACE/NAME")
def suspend_command(name: str, namespace: str | None) -> None:
    """Suspend a run: what is under way ends and is recorded, nothing new begins.

    Sets spec.suspend in the cluster of kubectl.
    """
    _suspend(name, namespace, wanted=True)


@main.command("resume")
@_in_namespace
@click.argument("name", metavar="NAMESPACE/NAME")
def resume_command(name: str, namespace: str | None) -> None:
    """Let a suspended run go on."""
    _suspend(name, namespace, wanted=False)


def _suspend(name: str, namespace: str | None, *, wanted: bool) -> None:
    with _loading():
        from workflow_operator.cli import look, send

    send.suspend(look.wanted(name, namespace, local=False), wanted=wanted)


@main.command("replay")
@_names_an_instance
def replay_command(name: str, namespace: str | None, local: bool) -> None:
    """Run the script of an instance again, from its history, and compare.

    Nothing is sent and nothing is recorded. Exit code 0: it makes the same calls and ends the same, as far as the
    history goes; 1: it does not. Looks where `history` looks.
    """
    with _loading():
        from workflow_operator.cli import look

    sys.exit(look.replay(look.wanted(name, namespace, local=local)))


@main.command("types")
def types_command() -> None:
    """Print what a script can call, as declarations of TypeScript: for editors, of JavaScript too.

    Beside your scripts: workflow-operator types > workflow.d.ts
    """
    from importlib.resources import files

    click.echo(files("workflow_operator.javascript").joinpath("workflow.d.ts").read_text(encoding="utf-8"), nl=False)


@main.command("verify")
@click.option("-n", "--namespace", required=True, help="Where the run is created; an operator must watch it.")
@click.option("--timeout", "timeout_seconds", type=float, default=60.0, show_default=True, help="Seconds to wait.")
def verify_command(namespace: str, timeout_seconds: float) -> None:
    """Prove that an installation works: create a small WorkflowRun, wait for its end, delete it.

    Exit code 0: it completed; 1: it did not; 2: the API server did not let us.
    """
    _spare_what_nobody_uses()
    from workflow_operator.cli.serve import verify_installation

    sys.exit(verify_installation(namespace, timeout_seconds))

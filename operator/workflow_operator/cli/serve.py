"""The commands of a cluster: the roles, and the proof that they work."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click
import uvloop

from workflow_operator.app import roles
from workflow_operator.app.logs import RunNames, configure_logs
from workflow_operator.app.settings import InvalidSettings, Settings
from workflow_operator.cli.work import execute
from workflow_operator.history.errors import WorkflowError


def serve(role: str, run: Callable[[Settings, RunNames], Coroutine[Any, Any, None]]) -> None:
    """Run a role until it is asked to end; exit code 1 if it ends otherwise."""
    try:
        settings = Settings()
    except InvalidSettings as error:
        raise click.UsageError(f"settings: {error}") from error
    names = configure_logs(settings.log_level, {"role": role, "replica": settings.identity})
    logger = logging.getLogger(__name__)
    # What is loaded now stays: otherwise each large value has the collector walk through all modules again, which
    # makes reading it four times as dear.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, names))
    except roles.Stopped:
        return
    except WorkflowError as error:
        logger.critical("%s", error)
        sys.exit(1)
    except Exception:
        logger.critical("the %s ends", role, exc_info=True)
        sys.exit(1)


def verify_installation(namespace: str, timeout_seconds: float) -> int:
    """The exit code of `verify`."""
    from workflow_operator.app.verify import VerificationFailed, verify
    from workflow_operator.cluster import WorkflowRunClient, load_configuration
    from workflow_operator.engine import SystemClock

    async def work() -> None:
        async with WorkflowRunClient(await load_configuration(os.environ)) as cluster:
            await verify(cluster, namespace, timeout_seconds, SystemClock(), click.echo)

    try:
        execute(work())
    except VerificationFailed as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    return 0

"""Runs what a command does, and turns its errors into one line and exit code 2."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from workflow_operator.app.settings import InvalidSettings
from workflow_operator.history.errors import WorkflowError

T = TypeVar("T")


def execute(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; where that cannot be had, this process ends."""
    # What comes of a lost connection is in the error.
    logging.getLogger("workflow_operator.jetstream.connect.connection").setLevel(logging.ERROR)
    try:
        return asyncio.run(work)
    except WorkflowError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except InvalidSettings as error:
        raise click.UsageError(f"settings: {error}") from error

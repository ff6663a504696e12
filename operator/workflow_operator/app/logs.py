"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from pythonjsonlogger.json import JsonFormatter

from workflow_operator.history import InstanceEvent
from workflow_operator.javascript.host import LogLine

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_script_logger = logging.getLogger("workflow_operator.script")


def configure_logs(level: str, fields: Mapping[str, str]) -> None:
    """Send all logs to standard error as JSON, with ``fields`` (role, replica) in each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields=dict(fields),
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf narrates every event of every object.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf.activities").setLevel(logging.WARNING)


def log_script_line(started: InstanceEvent, line: LogLine) -> None:
    """A line that a script printed."""
    extra = {"namespace": started.namespace, "instance": str(started.instance_id)}
    if started.origin is not None:
        extra["run"] = started.origin.name
    _script_logger.log(_LEVELS[line.level], line.text, extra=extra)

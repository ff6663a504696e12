"""Structured logs: one JSON object a line on standard error, with run, namespace and instance where it is about one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from pythonjsonlogger.json import JsonFormatter

from workflow_operator.history import InstanceEvent, InstanceKey, InstanceStatus
from workflow_operator.javascript.host import LogLine
from workflow_operator.reconcile import RunKey

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_script_logger = logging.getLogger("workflow_operator.script")


class RunNames(logging.Filter):
    """Gives each record whose arguments name an instance or a run its fields: namespace, instance, the run's name."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[InstanceKey, str] = {}

    def observe(self, status: InstanceStatus) -> None:
        """Learn the name of a run; it is forgotten when the run is over."""
        if status.origin is None or status.terminal:
            self._names.pop(status.key, None)
        else:
            self._names[status.key] = status.origin.name

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        for key in arguments:
            if isinstance(key, InstanceKey):
                record.namespace, record.instance = key.namespace, str(key.instance_id)
                if (name := self._names.get(key)) is not None:
                    record.run = name
            elif isinstance(key, RunKey):
                record.namespace, record.run = key.namespace, key.name
        return True


def configure_logs(level: str, fields: Mapping[str, str]) -> RunNames:
    """Send all logs to standard error as JSON, with ``fields`` (role, replica) in each."""
    names = RunNames()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(names)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields=dict(fields),
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf narrates every event of every object, and that it leaves the signals to us.
    for noisy, least in {"kopf.objects": "WARNING", "kopf._core": "ERROR"}.items():
        logging.getLogger(noisy).setLevel(least)
    return names


def log_script_line(started: InstanceEvent, line: LogLine) -> None:
    """A line that a script printed."""
    extra = {"namespace": started.namespace, "instance": str(started.instance_id)}
    if started.origin is not None:
        extra["run"] = started.origin.name
    _script_logger.log(_LEVELS[line.level], line.text, extra=extra)

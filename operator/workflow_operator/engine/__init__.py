"""The engine: starts instances, drives their scripts and records every step."""

from workflow_operator.engine.clock import Clock, SystemClock
from workflow_operator.engine.deputy import Deputy
from workflow_operator.engine.executor import Executor
from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.measures import follow_queue_depth, follow_stored_bytes
from workflow_operator.engine.rehearsal import rehearse
from workflow_operator.engine.runner import WorkflowRunner
from workflow_operator.engine.sweep import Sweeper

__all__ = [
    "Clock",
    "Deputy",
    "EngineLimits",
    "Executor",
    "Sweeper",
    "SystemClock",
    "WorkflowRunner",
    "follow_queue_depth",
    "follow_stored_bytes",
    "rehearse",
]

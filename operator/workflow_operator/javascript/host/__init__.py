"""The executor's side of the sandbox: start processes, drive a script in one, and name what went wrong."""

from workflow_operator.javascript.host.envelope import NAME_CHARACTERS
from workflow_operator.javascript.host.messages import (
    ASKED,
    Arguments,
    Forms,
    HostCall,
    Job,
    Limits,
    LogLine,
    Returned,
    Take,
)
from workflow_operator.javascript.host.pool import SandboxPool
from workflow_operator.javascript.host.session import Session

__all__ = [
    "ASKED",
    "NAME_CHARACTERS",
    "Arguments",
    "Forms",
    "HostCall",
    "Job",
    "Limits",
    "LogLine",
    "Returned",
    "SandboxPool",
    "Session",
    "Take",
]

"""The executor's side of the sandbox: start processes, drive a script in one, and name what went wrong."""

from workflow_operator.javascript.host.envelope import NAME_CHARACTERS
from workflow_operator.javascript.host.messages import (
    ASKED,
    Arguments,
    AsyncCall,
    Effect,
    Forms,
    GivenUp,
    HostCall,
    Idle,
    Job,
    Limits,
    LogLine,
    Result,
    Returned,
    Take,
    Turn,
)
from workflow_operator.javascript.host.pool import SandboxPool
from workflow_operator.javascript.host.reports import never_sent
from workflow_operator.javascript.host.session import Said, Session

__all__ = [
    "ASKED",
    "NAME_CHARACTERS",
    "Arguments",
    "AsyncCall",
    "Effect",
    "Forms",
    "GivenUp",
    "HostCall",
    "Idle",
    "Job",
    "Limits",
    "LogLine",
    "Result",
    "Returned",
    "Said",
    "SandboxPool",
    "Session",
    "Take",
    "Turn",
    "never_sent",
]

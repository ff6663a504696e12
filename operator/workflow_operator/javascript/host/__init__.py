"""The executor's side of the sandbox: start processes, drive a script in one, and name what went wrong."""

from workflow_operator.javascript.host.messages import HostCall, Job, JsonValue, Limits, LogLine, Returned
from workflow_operator.javascript.host.pool import SandboxPool
from workflow_operator.javascript.host.session import Session

__all__ = ["HostCall", "Job", "JsonValue", "Limits", "LogLine", "Returned", "SandboxPool", "Session"]

"""kopf's side: watch WorkflowRuns and WorkflowSignals and hand every sighting on. Only queueing happens here."""

from workflow_operator.handlers.pulse import Pulse
from workflow_operator.handlers.watch import ObjectSink, SignalSink, watch_runs

__all__ = ["ObjectSink", "Pulse", "SignalSink", "watch_runs"]

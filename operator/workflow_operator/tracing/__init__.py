"""Traces of ended runs, made from their histories: a run is a trace, a step is a span."""

from workflow_operator.tracing.otlp import open_exporter
from workflow_operator.tracing.tracer import Tracer

__all__ = ["Tracer", "open_exporter"]

"""The Kubernetes API, as far as the operator calls it itself."""

from workflow_operator.cluster.client import WorkflowRunClient
from workflow_operator.cluster.configuration import load_configuration, own_namespace

__all__ = ["WorkflowRunClient", "load_configuration", "own_namespace"]

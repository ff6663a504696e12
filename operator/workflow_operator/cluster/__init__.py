"""The Kubernetes API, as far as the operator calls it itself."""

from workflow_operator.cluster.client import WorkflowRunClient
from workflow_operator.cluster.configuration import load_configuration
from workflow_operator.cluster.failures import ApiUnavailable

__all__ = ["ApiUnavailable", "WorkflowRunClient", "load_configuration"]

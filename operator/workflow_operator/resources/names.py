"""What the custom resources are called."""

from __future__ import annotations

from typing import Final

GROUP: Final = "workflow-operator.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "WorkflowRun"
PLURAL: Final = "workflowruns"
SINGULAR: Final = "workflowrun"
SHORT_NAME: Final = "wfr"
CATEGORY: Final = "workflows"

SIGNAL_KIND: Final = "WorkflowSignal"
SIGNAL_PLURAL: Final = "workflowsignals"
SIGNAL_SINGULAR: Final = "workflowsignal"
SIGNAL_SHORT_NAME: Final = "wfs"

"""The custom resource WorkflowRun: its types, and the CRD and reference generated from them.

Pure: nothing here but ``generate`` does I/O, and nothing reads a clock.
"""

from workflow_operator.resources.conditions import is_final, set_conditions
from workflow_operator.resources.run import (
    API_VERSION,
    FINAL_PHASES,
    GROUP,
    KIND,
    PLURAL,
    TERMINAL_CONDITIONS,
    VERSION,
    Condition,
    ConditionStatus,
    ConditionType,
    ConfigMapKey,
    ObjectMeta,
    Phase,
    RunError,
    RunSpec,
    RunStatus,
    ScriptSource,
    WorkflowRun,
    to_wire,
)

__all__ = [
    "API_VERSION",
    "FINAL_PHASES",
    "GROUP",
    "KIND",
    "PLURAL",
    "TERMINAL_CONDITIONS",
    "VERSION",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "ConfigMapKey",
    "ObjectMeta",
    "Phase",
    "RunError",
    "RunSpec",
    "RunStatus",
    "ScriptSource",
    "WorkflowRun",
    "is_final",
    "set_conditions",
    "to_wire",
]

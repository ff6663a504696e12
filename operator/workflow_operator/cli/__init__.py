"""The command `workflow-operator`."""

from workflow_operator.cli.main import main

__all__ = ["main"]

"""The alerts of the chart."""

from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "charts" / "workflow-operator" / "files" / "alerts.yaml"
RUNBOOKS = PROJECT / "docs" / "runbooks.md"

EVERY_NAMESPACE = 'namespace=~".+"'
"""The matcher that the chart replaces by its release's namespace."""
RUNBOOK_PREFIX = "docs/runbooks.md#"
"""The text that the chart replaces by where its user keeps the runbooks."""

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
}

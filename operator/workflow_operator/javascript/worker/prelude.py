"""The script that runs before the user's, put together from its files."""

from __future__ import annotations

import importlib.resources

from workflow_operator.javascript.worker.wire import PRELUDE_NAME


def source() -> str:
    """An expression whose value is the prelude's control function."""
    files = importlib.resources.files(__package__)
    prelude, go_time = (files.joinpath(name).read_text(encoding="utf-8") for name in ("prelude.js", "go_time.js"))
    return f"({prelude})({go_time})\n//# sourceURL={PRELUDE_NAME}"

"""The script that runs before the user's: one function, put together from the files beside this one.

Each file is a piece of that function's body. They share its scope, so that the user's script sees none of it, and stand
in the order in which they need each other.
"""

from __future__ import annotations

import importlib.resources

from workflow_operator.javascript.worker.wire import PRELUDE_NAME

FILES = ("base", "exchange", "values", "calls", "console", "go_time", "determinism", "globals", "run")


def source() -> str:
    """An expression whose value is the prelude's control function."""
    folder = importlib.resources.files(__package__)
    pieces = (folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in FILES)
    # Indentation and comments cost each isolate the time to read them. No piece has a text of several lines.
    lines = (line.strip() for piece in pieces for line in piece.splitlines())
    body = "\n".join(line for line in lines if line and not line.startswith("//"))
    return f"(() => {{\n'use strict';\n{body}\nreturn control;\n}})()\n//# sourceURL={PRELUDE_NAME}"

"""The script that runs before the user's: one function, put together from the files beside this one.

Each file is a piece of that function's body. They share its scope, so that the user's script sees none of it, and stand
in the order in which they need each other. Of ``exchange`` one is among them, as the engine needs it. What is in
``web`` is a function of its own, for scripts that name what it makes, and so is what is in ``durable``.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from typing import Literal, TypeAlias

from workflow_operator.javascript.worker.wire import PRELUDE_NAME

FILES = (
    *("base", "errors", "run", "memory", "values", "calls", "fetch", "inspect", "console", "go_time", "determinism"),
    "globals",
)
Exchange: TypeAlias = Literal["buffer", "mailbox"]
"""How texts get out: see exchange."""
WEB_FILES = ("text", "clone", "hosts", "url", "url_classes")

DURABLE_FILES = ("durations", "abort", "thrown", "calls", "step")

_NAMES_DURABLE = re.compile(r"\b(?:fetch|uuid|AbortController|AbortSignal|NonRetryableError|RetryableError)\b")
_NAMES_STEP = re.compile(r"\bstep\b")
# Many scripts have a function or a variable of that name.
_DECLARES_STEP = re.compile(r"\b(?:function\b\s*\*?\s*|(?:const|let|var|class)\s+)step\b")
_USES_STEP = re.compile(r"\bstep\s*\??\.\s*(?:do|sleep|sleepUntil|waitForEvent|map|race|info)\b")
_NAMES_WEB = re.compile(r"\b(?:URL|URLSearchParams|TextEncoder|TextDecoder|atob|btoa|structuredClone)\b")


def source(exchange: Exchange) -> str:
    """An expression whose value is the prelude's control function."""
    body = _body((*FILES[:2], f"exchange/{exchange}", *FILES[2:]))
    return f"(() => {{\n'use strict';\n{body}\nreturn control;\n}})()\n//# sourceURL={PRELUDE_NAME}"


@functools.cache
def web() -> str:
    """An expression whose value is a function: from what the prelude hands it, it makes the globals of the web."""
    return _part("web", WEB_FILES)


@functools.cache
def durable() -> str:
    """As :func:`web`, for what is done durably: steps, and calls that give a promise."""
    return _part("durable", DURABLE_FILES)


def _part(folder: str, files: tuple[str, ...]) -> str:
    body = _body(tuple(f"{folder}/{name}" for name in files))
    return f"((shared) => {{\n'use strict';\n{body}\n}})\n//# sourceURL={PRELUDE_NAME}"


def wants_web(script: str) -> bool:
    """Whether a script names a global of the web: most do not, and reading them costs a third of an isolate."""
    return _NAMES_WEB.search(script) is not None


def wants_durable(script: str) -> bool:
    """Whether a script names what is done durably, and not something of its own that is called alike."""
    if _NAMES_DURABLE.search(script) or _USES_STEP.search(script):
        return True
    return _NAMES_STEP.search(script) is not None and _DECLARES_STEP.search(script) is None


def _body(names: tuple[str, ...]) -> str:
    folder = importlib.resources.files(__package__)
    pieces = (folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in names)
    # Indentation and comments cost each isolate the time to read them. No piece has a text of several lines.
    lines = (line.strip() for piece in pieces for line in piece.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))

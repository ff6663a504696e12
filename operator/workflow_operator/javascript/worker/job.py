"""One job on one isolate: the script, its entry function, the outcome as a message."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workflow_operator.javascript.worker.bridge import EngineError, Isolate, OutOfMemory
from workflow_operator.javascript.worker.wire import SCRIPT_NAME

_IDENTIFIER = re.compile(r"[^\W\d][\w$]*|[$][\w$]*")
_DECLARATION = re.compile(
    r"\bfunction\b\s*\*?\s*(?P<declared>[\w$]+)"
    r"|\b(?:const|let|var)\s+(?P<assigned>[\w$]+)\s*="
)
_RESERVED = frozenset(
    (
        *("break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do", "else"),
        *("enum", "export", "extends", "false", "finally", "for", "function", "if", "import", "in", "instanceof"),
        *("new", "null", "return", "super", "switch", "this", "throw", "true", "try", "typeof", "var", "void"),
        *("while", "with"),
    )
)
_MAX_CANDIDATES = 500


def candidates(script: str) -> list[str]:
    """Names that may be functions at the top level, in the order of the text; the engine then says which are."""
    found = (match["declared"] or match["assigned"] for match in _DECLARATION.finditer(script))
    return [name for name in dict.fromkeys(found) if is_identifier(name)][:_MAX_CANDIDATES]


def is_identifier(name: str) -> bool:
    return _IDENTIFIER.fullmatch(name) is not None and name not in _RESERVED


def run(isolate: Isolate, job: Mapping[str, Any]) -> str:
    """Run the job to its end. Returns the text of a ``returned`` or ``failed`` message."""
    isolate.limit_heap(job["limits"]["memory_bytes"])
    script = job["script"]
    isolate.begin(json.dumps({key: value for key, value in job.items() if key != "script"}))
    try:
        # The completion value is made undefined: a BigInt or a lone surrogate there hangs the engine.
        isolate.run(f"{script}\n;void 0\n//# sourceURL={SCRIPT_NAME}")
        return _call_entry(isolate, script, job["entrypoint"])
    except OutOfMemory:
        return json.dumps(_failed("MemoryLimit", "MemoryLimit", "the script's heap is full"))
    except EngineError as error:
        return json.dumps({"kind": "failed", "error": "Thrown", "report": error.report[:65536]})


def _call_entry(isolate: Isolate, script: str, entrypoint: str | None) -> str:
    functions = _functions(isolate, candidates(script))
    name = _entry(isolate, functions, entrypoint)
    if name is None:
        wanted = "an entry function: main, flow.state, or one whose name begins with state"
        return _not_defined(wanted if entrypoint is None else f"the entry function {entrypoint}", functions)
    if not is_identifier(name) or name not in _functions(isolate, [name]):
        return _not_defined(f"the entry function {name}", functions)
    outcome = isolate.control("execute", isolate.run(name))
    if outcome is None:
        outcome = isolate.control("settle")
    assert outcome is not None
    return outcome


def _entry(isolate: Isolate, functions: list[str], entrypoint: str | None) -> str | None:
    if entrypoint is not None:
        return entrypoint
    if "main" in functions:
        return "main"
    flow = isolate.control("name", isolate.run("typeof flow === 'object' ? flow : undefined"))
    if flow is not None:
        return str(json.loads(flow))
    return next((name for name in functions if name.startswith("state")), None)


def _functions(isolate: Isolate, names: list[str]) -> list[str]:
    if not names:
        return []
    bits = isolate.text("+".join(f"(typeof {name} === 'function' ? '1' : '0')" for name in names))
    return [name for name, bit in zip(names, bits, strict=True) if bit == "1"]


def _not_defined(wanted: str, functions: list[str]) -> str:
    known = ", ".join(functions) if functions else "none"
    message = f"{wanted} is not defined in the script; its top-level functions: {known}"
    return json.dumps(_failed("Thrown", "ReferenceError", message))


def _failed(error: str, name: str, message: str) -> dict[str, str]:
    return {"kind": "failed", "error": error, "name": name, "message": message, "stack": ""}

"""One job on one isolate: the script, its entry function, the outcome as a message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from workflow_operator.javascript.worker.bridge import EngineError, Isolate, OutOfMemory
from workflow_operator.javascript.worker.wire import SCRIPT_NAME

_DECLARATION = re.compile(
    r"\bfunction(?:\s*\*\s*|\s+)(?P<declared>[\w$]+)"
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
_MAX_REPORT_CHARACTERS = 65536


def candidates(script: str) -> list[str]:
    """Names that may be functions at the top level, in the order of the text; the engine then says which are."""
    found = (match["declared"] or match["assigned"] for match in _DECLARATION.finditer(script))
    return [name for name in dict.fromkeys(found) if is_identifier(name)][:_MAX_CANDIDATES]


def is_identifier(name: str) -> bool:
    return name.replace("$", "_").isidentifier() and name not in _RESERVED


def run(isolate: Isolate, job: Mapping[str, Any]) -> str:
    """Run the job to its end. Returns the text of a ``returned`` or ``failed`` message."""
    isolate.limit_heap(job["limits"]["memory_bytes"])
    script = job["script"]
    isolate.control(json.dumps({key: value for key, value in job.items() if key != "script"}))
    try:
        # The completion value is made undefined: a BigInt or a lone surrogate there hangs the engine.
        report = _report(isolate.run, f"{script}\n;void 0\n//# sourceURL={SCRIPT_NAME}")
        if report is not None:
            isolate.control()  # after the microtasks
            return _reported(report)
        name = job["entrypoint"] or "main"
        entry = _function(isolate, name)
        if entry is None:
            functions = _functions(isolate, candidates(script))
            name = job["entrypoint"] or _default_entry(isolate, functions)
            entry = _function(isolate, name)
            if entry is None:
                return _failed("Thrown", "ReferenceError", _not_defined(name, functions))
        return _call(isolate, entry)
    except OutOfMemory:
        return _failed("MemoryLimit", "MemoryLimit", "the script's heap is full")
    except EngineError as error:
        return _reported(error.report)


def _call(isolate: Isolate, entry: Any) -> str:
    report = _report(isolate.control, entry)
    # A second task: it runs after all microtasks, so that none of them can speak after the end.
    outcome = isolate.control()
    if report is not None:
        return _reported(report, {} if outcome is None else json.loads(outcome))
    if outcome is None:
        return _failed("Deadlock", "Deadlock", "the script waits for a promise that nothing can settle")
    return outcome


def _report(action: Callable[[Any], object], argument: Any) -> str | None:
    """The engine's report of what the action threw; None if it did not."""
    try:
        action(argument)
    except EngineError as error:
        return error.report
    return None


def _function(isolate: Isolate, name: str | None) -> Any:
    # The typeof also finds what is declared with const, let or class, which is no property of the global object.
    return isolate.function(f"typeof {name} === 'function' ? {name} : undefined") if is_identifier(name or "") else None


def _default_entry(isolate: Isolate, functions: list[str]) -> str | None:
    flow = isolate.control(isolate.run("typeof flow === 'object' ? flow : null"))
    if flow is not None:
        return str(json.loads(flow))
    return next((name for name in functions if name.startswith("state")), None)


def _functions(isolate: Isolate, names: list[str]) -> list[str]:
    if not names:
        return []
    bits = isolate.text("+".join(f"(typeof {name} === 'function' ? '1' : '0')" for name in names))
    return [name for name, bit in zip(names, bits, strict=True) if bit == "1"]


def _not_defined(name: str | None, functions: list[str]) -> str:
    wanted = "no entry function: expected main, flow.state or a name that begins with state"
    known = ", ".join(functions) if functions else "none"
    missing = wanted if name is None else f"the entry function {name} is not defined in the script"
    return f"{missing}; its top-level functions: {known}"


def _failed(error: str, name: str, message: str) -> str:
    return json.dumps({"kind": "failed", "error": error, "name": name, "message": message, "stack": "", "report": ""})


def _reported(report: str, described: Mapping[str, str] | None = None) -> str:
    """A failure with the engine's text, and the thrown object's description where there is one."""
    unknown = {"error": "Thrown", "name": "", "message": "", "stack": ""}
    return json.dumps({**unknown, **(described or {}), "kind": "failed", "report": report[:_MAX_REPORT_CHARACTERS]})

"""One job in one realm: the script, its entry function, the outcome as a message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflow_operator.javascript.worker import modules, prelude, reported
from workflow_operator.javascript.worker.vm.bridge import EngineError, OutOfMemory, Realm
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
# Read once, before the process is confined.
_WEB = prelude.web()
_DURABLE = prelude.durable()
_MAX_CANDIDATES = 500
# Of the objects at the top level, which are looked into for an entry.
_MAX_OBJECTS = 20
# Of a failure's texts, in UTF-16 units; here all are counted as such.
_NAME, _MESSAGE = 256, 8192
_EXPORTED_ENTRIES = (
    *("module.exports.main", "module.exports.default", "module.exports.default.main", "module.exports"),
    f"{modules.DEFAULT}.main",
)
_HAND_OUT = (
    "a bundle must hand its functions out: export main, and bundle with esbuild --format=iife --global-name=flow"
)
_EXPORTED = ("module.exports", "module.exports.default", modules.DEFAULT)


def candidates(script: str) -> list[str]:
    """Names that may be functions at the top level, in the order of the text; the engine then says which are."""
    found = (match["declared"] or match["assigned"] for match in _DECLARATION.finditer(script))
    return [name for name in dict.fromkeys(found) if is_identifier(name)][:_MAX_CANDIDATES]


def is_identifier(name: str) -> bool:
    return name.replace("$", "_").isidentifier() and name not in _RESERVED


@dataclass
class Job:
    """A script, and ``given``: what the prelude is to know, as JSON. ``lenient``: there is only what 0.2.0 had."""

    script: str
    entrypoint: str | None
    memory_bytes: int
    given: str
    lenient: bool = False


def run(realm: Realm, job: Job) -> str:
    """Run the job to its end. Returns the text of a ``returned`` or ``failed`` message."""
    realm.limit_heap(job.memory_bytes)
    if prelude.wants_web(job.script):
        realm.control(realm.run(_WEB))
    if not job.lenient and prelude.wants_durable(job.script):
        realm.control(realm.run(_DURABLE))
    realm.control(job.given)
    try:
        script = _Script(realm, job.script)
        failure = script.evaluate()
        if failure is None:
            failure = script.call(job.entrypoint)
        return failure
    except OutOfMemory:
        return _failed("MemoryLimit", "MemoryLimit", "the script's heap is full")
    except EngineError as error:
        return _described(error.report, job.script, None)


@dataclass
class _Script:
    realm: Realm
    text: str
    exports: Mapping[str, str] = field(default_factory=dict)
    """What a module exports: exported name -> name in the script."""
    hands_out: bool = False
    """It is a module, or has ``module.exports``."""

    def evaluate(self) -> str | None:
        """Run the top level. Returns the failure, if it fails."""
        if modules.is_commonjs(self.text):
            self.hands_out = True
            self.realm.run(f"{modules.PREPARE_COMMONJS};void 0")
        report = self._evaluate(self.text)
        if report is None:
            return None
        found = reported.read(report, self.text)
        if found.parsed or ("export" not in self.text and "import" not in self.text):
            return self._top_level_failure(report)
        return self._evaluate_module(report)

    def _evaluate_module(self, refusal: str) -> str | None:
        """Nothing of the script has run: V8 refused its text."""
        try:
            module = modules.as_script(self.text)
        except modules.NoScript as error:
            line, column = _place(self.text, error.offset)
            return _failed("Thrown", "SyntaxError", error.message, line, column)
        if not module.exports:
            return self._top_level_failure(refusal)
        self.exports, self.hands_out = module.exports, True
        self.realm.run(f"{modules.PREPARE_MODULE};void 0")
        # V8 repeats lines of this text: places are looked for in it, and are those of the other.
        self.text = module.script
        report = self._evaluate(self.text)
        return None if report is None else self._top_level_failure(report)

    def _evaluate(self, text: str) -> str | None:
        # The completion value is made undefined: a BigInt or a lone surrogate there hangs the engine.
        return _report(self.realm.run, f"{text}\n;void 0\n//# sourceURL={SCRIPT_NAME}")

    def _top_level_failure(self, report: str) -> str:
        return _described(report, self.text, self.realm.control(report[:_MESSAGE]))

    def call(self, entrypoint: str | None) -> str:
        """Call the entry to its end."""
        entry = self._named(entrypoint) if entrypoint is not None else self._default()
        if entry is None:
            return self._no_entry(entrypoint)
        name, function = entry
        report = _report(self.realm.control, function)
        # Further tasks: each runs after all microtasks, so that none of them can speak after the end.
        ended = self.realm.control(None if report is None else report[:_MESSAGE])
        while ended == "turn":
            ended = self.realm.control()
        outcome = self.realm.control()
        if report is not None:
            return _described(report, self.text, outcome)
        if outcome is None:
            return _failed("Deadlock", "Deadlock", "the script waits for a promise that nothing can settle")
        if outcome.startswith('{"generator"'):
            return self._is_generator(name, json.loads(outcome)["generator"])
        return outcome

    # --- the entry: its name, and the handle of the function

    def _named(self, name: str) -> tuple[str, Any] | None:
        places = [self.exports.get(name, name), *(f"{holder}.{name}" for holder in (*_EXPORTED, "flow"))]
        return self._first(places if is_identifier(name) else [])

    def _default(self) -> tuple[str, Any] | None:
        entry = self._first([self.exports.get("main", "main")])
        if entry is not None:
            return entry
        state = self._look("flow").get("state")
        if state is not None:
            return self._named(state)
        if self.hands_out:
            exported = [self.exports["default"]] if "default" in self.exports else []
            entry = self._first([*exported, *_EXPORTED_ENTRIES])
        state_function = next((name for name in self._functions() if name.startswith("state")), None)
        if entry is None and state_function is not None:
            entry = self._first([state_function])
        held = (f"{holder}.{name}" for holder in ("flow", *self._objects()) for name in ("main", "default"))
        return entry or self._first(held)

    def _first(self, expressions: Iterable[str]) -> tuple[str, Any] | None:
        for expression in expressions:
            # Read once, and nothing but a function comes out of it: a getter could give something else the next time.
            found = f"const f = {expression}; return typeof f === 'function' ? f : undefined"
            function = self.realm.function(f"(() => {{ try {{ {found} }} catch {{}} }})()")
            if function is not None:
                return expression, function
        return None

    def _look(self, name: str) -> dict[str, Any]:
        """What the prelude sees in a global object: ``state``, the names of its functions and of objects in it."""
        found = f"const o = {name}; return typeof o === 'object' ? o : null"
        seen = self.realm.control(self.realm.run(f"(() => {{ try {{ {found} }} catch {{ return null }} }})()"))
        return {} if seen is None else dict(json.loads(seen))

    def _functions(self) -> list[str]:
        names = candidates(self.text)
        if not names:
            return []
        bits = self.realm.text("+".join(f"(typeof {name} === 'function' ? '1' : '0')" for name in names))
        return [name for name, bit in zip(names, bits, strict=True) if bit == "1"]

    def _objects(self) -> list[str]:
        """Global objects that may hold the entry: a bundle hands out one, under a name that it chose."""
        declared = [name for name in candidates(self.text) if name not in self._functions()]
        shared = [name for name in self._look("globalThis").get("objects", []) if is_identifier(name)]
        return [name for name in dict.fromkeys((*declared, *shared)) if name not in ("flow", "module")][:_MAX_OBJECTS]

    # --- what is wrong with it

    def _no_entry(self, name: str | None) -> str:
        if name is None:
            name = self._look("flow").get("state")
        wanted = "no entry function: expected main, flow.state or a name that begins with state"
        missing = wanted if name is None else f"the entry function {name} is not defined in the script"
        functions = self._functions()
        known = f"its top-level functions: {', '.join(functions) if functions else 'none'}"
        hint = "" if functions or name is not None else f"; {_HAND_OUT}"
        for holder in ("flow", *(("module.exports",) if self.hands_out else ()), *self._objects()):
            held = self._look(holder).get("functions", [])
            if held:
                known += f"; functions of {holder}: {', '.join(held)}"
                hint = ""
        return _failed("Thrown", "ReferenceError", f"{missing}; {known}{hint}")

    def _is_generator(self, name: str, kind: str) -> str:
        own = re.escape(name.rsplit(".", 1)[-1])
        declared = re.search(
            rf"\bfunction\s*\*\s*{own}\b|\b{own}\s*[=:]\s*(?:async\s+)?function\s*\*|\*\s*{own}\s*\(", self.text
        )
        place = (None, None) if declared is None else _place(self.text, declared.start())
        message = f"the entry {name} is {kind}: expected a function or an async function"
        return _failed("Thrown", "TypeError", message, *place)


def _report(action: Callable[[Any], object], argument: Any) -> str | None:
    """The engine's report of what the action threw; None if it did not."""
    try:
        action(argument)
    except EngineError as error:
        return error.report
    return None


def _place(script: str, offset: int) -> tuple[int, int]:
    """Line and column of a place in the script, from 1; the column in UTF-16 units."""
    lines = re.split(r"\r\n|[\n\r\u2028\u2029]", script[:offset])
    return len(lines), len(lines[-1].encode("utf-16-le", "surrogatepass")) // 2 + 1


def _failed(error: str, name: str, message: str, line: int | None = None, column: int | None = None) -> str:
    texts = {"name": name[:_NAME], "message": message[:_MESSAGE], "stack": "", "cause": ""}
    return json.dumps({"kind": "failed", "error": error, **texts, "line": line, "column": column})


def _described(report: str, script: str, described: str | None) -> str:
    """A failure: what the prelude says of the thrown value, and of the engine's report what it does not know."""
    found = reported.read(report, script)
    if described is None:
        return _failed("Thrown", found.name, found.message, found.line, found.column)
    failure = json.loads(described)
    if failure["line"] is None:
        failure.update(line=found.line, column=found.column)
    return json.dumps(failure)

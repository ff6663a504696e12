"""How the rest of the sandbox sees V8: realms, in which one job each is run, and the engines that make them.

mini-racer's public API has no synchronous call from JavaScript to Python. Its C library does: a function made by
``mr_make_js_callback`` runs the Python callback on the isolate's own thread, and JavaScript waits. There are two
engines on top of it:

    isolates.py   an isolate for each run. It needs nothing but mini-racer's C functions.
    realms.py     a context for each run, in one isolate that many runs use one after the other. It needs symbols of
                  V8 that the library exports, and is several times as fast.

The pinned mini-racer version is what both rest on; tests/javascript/test_bridge.py is their contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

V8_FLAGS = (
    "--single-threaded",
    "--jitless",
    "--disallow-code-generation-from-strings",
    # In KiB, of the 2 MiB that a thread has at least: transitions inside each other end at a number of their own.
    "--stack-size=1800",
)

Fresh: TypeAlias = Literal["realm", "isolate"]
"""What a run gets that no run before it had."""


class Exchange(Protocol):
    """Where the script's messages go, as UTF-8. Both run on the isolate's thread."""

    def tell(self, message: bytes) -> None: ...

    def ask(self, message: bytes) -> bytes: ...


class Realm(Protocol):
    """Global object and built-ins of one run, with the prelude in them. All microtasks run after each call."""

    def limit_heap(self, size: int) -> None:
        """Stop the script with OutOfMemory when it has more than ``size`` bytes of heap after a collection."""

    def run(self, script: str) -> Any:
        """Evaluate in the global scope. Returns a handle. Raises EngineError, OutOfMemory."""

    def function(self, expression: str) -> Any:
        """The handle of the function that is the expression's value; None for any other value."""

    def text(self, expression: str) -> str:
        """The value of an expression that gives a well-formed string; any other kind of value is an error."""

    def control(self, this: Any = None) -> str | None:
        """Call the prelude's function, which does what ``this`` tells it: a text, a handle or nothing.

        What it returns is a text of JSON, or nothing. Raises EngineError, OutOfMemory.
        """


class Jobs(Protocol):
    """What an engine is given to run."""

    def run(self, realm: Realm) -> None:
        """Wait for a job and run it. What the realm costs to make is no part of the wait for its outcome."""

    def ended(self, collect: Callable[[], None]) -> bool:
        """Nothing of the job can speak any more. Whether there may be another one.

        ``collect`` frees what it left in the engine.
        """


class Engine(Protocol):
    def serve(self, jobs: Jobs) -> None:
        """Run jobs until there may be no other, each in a realm that was made before it is waited for."""


class EngineError(Exception):
    """A script did not evaluate. ``report`` is V8's text: place, message, source line, marker, stack."""

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


class OutOfMemory(Exception):
    """The script reached its memory limit and was stopped. Its isolate is of no further use."""

"""One bad item never ends a loop: each that serves many of them survives whatever one of them brings about."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "operator" / "workflow_operator"

SERVING = ("reconcile", "handlers", "app", "engine", "jetstream", "tracing", "cluster")

OF_ONE_ITEM = {
    "app/local.py:_status_at": "waits for the end of one instance, for one person",
    "app/verify.py:_finished": "waits for the end of one run, for one person",
    "app/roles.py:get": "the start of a role: what is no Unavailable is a mistake in the installation, and ends it",
    "app/operator.py:end_with_the_watch": "ends the process, when the watch is dead; what it asks never fails",
    "cluster/client.py:_uids": "the pages of one list",
    "engine/driving/drive.py:*": "one instance; the executor survives what it raises",
    "engine/driving/script.py:*": "one instance; the executor survives what it raises",
    "engine/driving/tail.py:_store": "one commit",
    "engine/driving/turns.py:*": "one instance; the executor survives what it raises",
    "engine/runner.py:signal": "one event, for one sender; each turn reads what came before it",
    "engine/runner.py:suspend": "one toggle, for one object; each turn reads what came before it",
    "engine/executor.py:run": "each turn is _pull_once, which survives",
    "handlers/listing.py:read_on": "the pages of one list; kopf asks for those again that cannot be read",
    "handlers/session.py:iter_chunked": "one connection; kopf makes the next",
    "jetstream/connect/connection.py:_keep": "each turn is _connect, which raises Unavailable and nothing else",
    "jetstream/lanes.py:_serve": "one inbox; _run survives what it raises, and takes another",
    "jetstream/watch.py:_delivered": "one consumer; statuses survives what it raises, and makes another",
    "jetstream/reads.py:direct_batch": "the answers to one request",
    "tracing/tracer.py:run": "each turn is _export, which survives",
}
"""Loops without an end that need not survive everything, by file and function, and why."""


def loops() -> Iterator[tuple[str, str, ast.While]]:
    for package in SERVING:
        for path in sorted((PACKAGE / package).rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text())):
                if isinstance(function, ast.AsyncFunctionDef):
                    for node in ast.walk(function):
                        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
                            yield path.relative_to(PACKAGE).as_posix(), function.name, node


def survives(loop: ast.While) -> bool:
    """Whether a handler of every Exception stands inside the loop, and does not raise it again."""
    handlers = [node for node in ast.walk(loop) if isinstance(node, ast.ExceptHandler)]
    return any(
        isinstance(handler.type, ast.Name)
        and handler.type.id == "Exception"
        and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
        for handler in handlers
    )


FOUND = list(loops())


@pytest.mark.parametrize(("file", "function", "loop"), FOUND, ids=[f"{file}:{name}" for file, name, _ in FOUND])
def test_a_loop_survives_every_item(file: str, function: str, loop: ast.While) -> None:
    if not {f"{file}:{function}", f"{file}:*"} & OF_ONE_ITEM.keys():
        assert survives(loop), f"{file}, line {loop.lineno}: handle Exception inside the loop, or say here why not"


def test_no_reason_is_left_over() -> None:
    named = {f"{file}:{function}" for file, function, _ in FOUND} | {f"{file}:*" for file, _, _ in FOUND}
    assert OF_ONE_ITEM.keys() <= named


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("while True:\n  try: f()\n  except Exception: g()", True),
        ("while True:\n  try: f()\n  except ValueError: g()", False),
        ("while True:\n  try: f()\n  except Exception: raise", False),
        ("while True: f()", False),
    ],
)
def test_what_survives(source: str, expected: bool) -> None:
    [loop] = ast.parse(source).body
    assert isinstance(loop, ast.While)
    assert survives(loop) is expected

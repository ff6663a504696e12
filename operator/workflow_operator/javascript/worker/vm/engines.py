"""Loads V8 and chooses the engine."""

from __future__ import annotations

from collections.abc import Callable

from workflow_operator.javascript.worker import prelude
from workflow_operator.javascript.worker.vm import v8
from workflow_operator.javascript.worker.vm.bridge import V8_FLAGS, Engine, Exchange, Fresh
from workflow_operator.javascript.worker.vm.isolates import IsolateEngine
from workflow_operator.javascript.worker.vm.racer import dll
from workflow_operator.javascript.worker.vm.realms import RealmEngine


def initialise() -> list[str]:
    """Load V8 and set its flags: once per process, before the first engine.

    Gives the symbols that the library lacks for ``realm``; AttributeError where it lacks one that is always needed.
    """
    dll.init_mini_racer(flags=V8_FLAGS)
    return v8.load()


def possible(wanted: Fresh, missing: list[str]) -> Fresh:
    """What is wanted, or what needs no more than mini-racer offers."""
    return "isolate" if missing else wanted


def source(fresh: Fresh) -> str:
    """The prelude for the engine that makes this."""
    return prelude.source("mailbox" if fresh == "realm" else "buffer")


def engine(fresh: Fresh, source: str, exchange: Exchange, *, on_error: Callable[[BaseException], None]) -> Engine:
    """The engine that makes this for each run. It can be made in a confined process."""
    return (RealmEngine if fresh == "realm" else IsolateEngine)(source, exchange, on_error=on_error)

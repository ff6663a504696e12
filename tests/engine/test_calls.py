"""The registry of host calls: what is in it, and what the sandbox's side knows of it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from workflow_operator.engine import calls
from workflow_operator.engine.calls import ASYNC_CALLS, CALLS, EFFECTS, FORMS
from workflow_operator.javascript.host import Limits
from workflow_operator.javascript.worker import answers, prelude

FILES = {path.stem for path in Path(calls.__file__).parent.glob("*.py")} - {"__init__", "call", "policy"}


def test_each_call_is_a_file_and_a_line() -> None:
    modules = {call.take.__module__.rsplit(".", 1)[1] for call in (*CALLS.values(), *ASYNC_CALLS.values())}
    assert modules == FILES
    assert FORMS.takes.keys() == CALLS.keys() | ASYNC_CALLS.keys()
    # By its name a replay knows which of the two a recorded call was.
    assert not CALLS.keys() & ASYNC_CALLS.keys()
    assert EFFECTS.keys() <= CALLS.keys() | ASYNC_CALLS.keys()


def test_the_prelude_asks_for_what_there_is() -> None:
    assert set(re.findall(r"\bask\('(\w+)'", prelude.source("mailbox"))) == CALLS.keys()
    assert set(re.findall(r"\bcall\('([\w.]+)'", prelude.durable())) == ASYNC_CALLS.keys()
    assert set(re.findall(r"\beffect\('(\w+)'", prelude.durable())) | {"fetchSync"} == EFFECTS.keys()


def test_the_sandbox_waits_for_all_but_the_markers() -> None:
    told = {re.findall(rb'"name":"(\w+)"', prefix)[0].decode() for prefix in answers._MARKERS}
    assert told == FORMS.markers


@pytest.mark.parametrize("name", FORMS.takes)
@pytest.mark.parametrize("arguments", [b"{}", b"[]", b"7", b'{"other":1}', b'{"function":"f","payload":1,"more":1}'])
def test_what_the_prelude_never_sends_is_no_call(name: str, arguments: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        FORMS.takes[name](msgspec.Raw(arguments), Limits())

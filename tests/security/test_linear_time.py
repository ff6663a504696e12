"""What tenants write is read in time that grows with its length: every pattern and parser, with a mebibyte of each.

The patterns are found by looking through the modules, so a new one is held to the same.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import msgspec
import pytest
from yarl import URL

import workflow_operator
from workflow_operator.engine.calls import FORMS
from workflow_operator.engine.calls.fetch import _Arguments, recorded, request_of
from workflow_operator.history import Json, commit_ids, decode_commit, decode_event, decode_status
from workflow_operator.history.errors import WorkflowError
from workflow_operator.history.values import nesting, well_formed
from workflow_operator.http import Answer, Request, TooLarge, rules
from workflow_operator.http.body import BadBody, Body
from workflow_operator.http.request import following
from workflow_operator.javascript.host import Limits
from workflow_operator.javascript.host.envelope import Malformed, parse
from workflow_operator.javascript.host.messages import Exit
from workflow_operator.javascript.host.places import Place, Source
from workflow_operator.javascript.host.reports import cut, death, no_start
from workflow_operator.javascript.worker.wire import Decoder

pytestmark = pytest.mark.integration

SIZE = 1 << 20
# For one text. Most take some hundredths; what is quadratic takes hours.
SECONDS = 10.0

UNITS = [
    *("\n", "\r", "\r\n", "\u2028", " ", "\t", "^", "(", ")", "\\", "'", '"', "`", "[", "]", "{", "}", ","),
    *("\ud800", "\udc00", "\\ud800", '\\"', "at ", "    at ", "1", "9", ":", "x", "é", "=", "$", ".", "-"),
    *("x\n^\n", " \n^\n", "    at (", "\n    at (", "workflow.js:1:1", "(workflow.js:", "Error: "),
    *("function ", "const a", "[]", "{}", "[[]", "1e", "\\\\", "\n \n", "a."),
]  # fmt: skip


def hostile(unit: str) -> str:
    return (unit * (SIZE // len(unit) + 1))[:SIZE]


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(workflow_operator.__path__, "workflow_operator."):
        # What runs in a sandbox is stopped with it.
        if not found.name.startswith("workflow_operator.javascript.worker."):
            yield importlib.import_module(found.name)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Every compiled pattern of the program, by module and name."""
    return {
        f"{module.__name__}.{name}": value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Break off what takes longer: regular expressions look for signals."""

    def too_long(number: int, frame: object) -> None:
        raise AssertionError(f"took more than {seconds:g} s for {SIZE} bytes")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def scan(pattern: re.Pattern[Any], text: str) -> None:
    given = text.encode("utf-8", "surrogatepass") if isinstance(pattern.pattern, bytes) else text
    pattern.fullmatch(given)
    for _ in pattern.finditer(given):
        pass


LIMITS = Limits(payload_bytes=8 * SIZE)
SOURCE = Source("function main() {}\nmain()")


def message(**fields: Any) -> Any:
    with suppress(Malformed, WorkflowError):
        return parse(json.dumps(fields).encode(), SOURCE, LIMITS, FORMS.takes)
    return None


def failed(text: str) -> None:
    # Each at the length that the form allows, so that it gets to what reads it.
    message(
        kind="failed",
        error="Thrown",
        name=text[:256],
        message=text[:8192],
        line=None,
        column=None,
        stack=text[:16384],
        cause=text[:4096],
    )


def value(text: str) -> None:
    for data in (text, json.dumps(text), '{"a":' + text + "}"):
        with suppress(WorkflowError):
            Json.checked(data.encode("utf-8", "surrogatepass"), "it").load()


def record(decode: Callable[[bytes], object]) -> Callable[[str], None]:
    def read(text: str) -> None:
        for data in (text, json.dumps({"version": 1, "script": text}), '{"version":1,"memory":' + text + "}"):
            with suppress(WorkflowError, ValueError):
                decode(data.encode("utf-8", "surrogatepass"))

    return read


def commit(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    for body in (data, b'{"version":3,"type":"commit","events":[' + data + b"]}"):
        commit_ids(body)
        with suppress(WorkflowError):
            decode_commit(body)


def frames(text: str) -> None:
    decoder = Decoder(SIZE)
    body = text.encode("utf-8", "surrogatepass")[:SIZE]
    data = len(body).to_bytes(4, "big") + body
    for start in range(0, len(data), 4096):
        decoder.feed(data[start : start + 4096])


def places(text: str) -> None:
    source = Source(text[:65536])
    for _ in range(1000):
        source.within(Place(1, 70000))
        source.within(Place(10**6, 1))


def parse_raw(text: str) -> None:
    with suppress(Malformed, WorkflowError):
        parse(text.encode("utf-8", "surrogatepass"), SOURCE, LIMITS, FORMS.takes)


def request(text: str) -> None:
    """What a script has sent, in each of its places; the prelude's own bounds are not relied on."""
    whole = {"method": "GET", "url": "http://a/", "params": [], "headers": [], "timeout": 1, "skipTls": False}
    places: list[dict[str, Any]] = [
        {"url": text},
        {"url": f"http://{text[:8000]}/"},
        {"url": f"http://a/{text[:8000]}"},
        {"params": [[text, text]]},
        {"headers": [[text, "a"]]},
        {"headers": [["a", text]]},
        {"body": text, "username": text, "password": text},
    ]
    for place in places:
        with suppress(Malformed, WorkflowError, ValueError):
            asked = message(kind="call", name="fetchSync", line=1, column=1, arguments=whole | place)
            if asked is not None:
                request_of(msgspec.json.decode(asked.arguments["request"].data, type=_Arguments), "key")
    with suppress(ValueError):
        following(Request("GET", URL("http://a/"), {}), 302, text)


def answer(text: str) -> None:
    """What any server answers."""
    body = text.encode("utf-8", "surrogatepass")
    kinds = ["", text[:8000], *(f"text/plain; charset={name}" for name in ("utf-8", "utf-16", "gb18030", "cp1252"))]
    for kind in (*kinds, "text/plain; charset=punycode", "text/plain; charset=idna", "text/plain; charset=utf-7"):
        recorded("GET", Answer("http://a/", 200, text[:8000], {"content-type": [kind]}, body, False))
    for encoding in ("gzip", "deflate", text[:8000]):
        with suppress(BadBody, TooLarge):
            Body(SIZE, encoding).feed(body)


def rule(text: str) -> None:
    with suppress(ValueError):
        rules(text)


PARSERS: dict[str, Callable[[str], object]] = {
    "request": request,
    "answer": answer,
    "egress": rule,
    "log": lambda text: message(kind="log", level="info", text=text),
    "returned": lambda text: message(kind="returned", output=text),
    "payload": lambda text: message(
        kind="call", name="transition", line=1, column=1, arguments={"function": "f", "payload": text}
    ),
    "function": lambda text: message(
        kind="call", name="transition", line=1, column=1, arguments={"function": text, "payload": 1}
    ),
    "failed": failed,
    "raw": parse_raw,
    "cut": lambda text: cut(text, 1000),
    "death": lambda text: death(Exit(70), text, LIMITS, "before its first host call"),
    "no start": lambda text: no_start(text, None, "0"),
    "places": places,
    "value": value,
    "nesting": lambda text: nesting(text.encode("utf-8", "surrogatepass")),
    "well formed": well_formed,
    "event": record(decode_event),
    "commit": commit,
    "status": record(decode_status),
    "frames": frames,
}


def test_patterns_are_found() -> None:
    assert "workflow_operator.javascript.host.places._LINE_END" in patterns()


@pytest.mark.parametrize("name", patterns())
def test_a_pattern_takes_linear_time(name: str) -> None:
    for unit in UNITS:
        with within(SECONDS):
            scan(patterns_by_name[name], hostile(unit))


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_takes_linear_time(name: str) -> None:
    for unit in UNITS:
        with within(SECONDS):
            PARSERS[name](hostile(unit))


def test_what_is_not_linear_is_seen() -> None:
    with pytest.raises(AssertionError, match="took more"), within(0.1):
        scan(re.compile(r"^\s+at x$", re.MULTILINE), hostile("\n")[:100_000])


patterns_by_name = patterns()

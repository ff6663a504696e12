"""Each script of the page for authors runs, and gives what the page says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.javascript.sandbox import Transcript, run
from workflow_operator.engine.calls import FORMS
from workflow_operator.history import Json
from workflow_operator.javascript.host import HostCall, SandboxPool

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text()
TASKS = {
    heading: script
    for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for script in re.findall(r"```js\n(.*?)```", body, re.DOTALL)
}


class Expected(NamedTuple):
    """The end of a task: its output or its error, the functions of its steps and its sleeps, a line that it prints."""

    output: Any
    calls: tuple[str | int, ...]
    line: str = ""
    error: str = ""


EXPECTED = {
    "Run a step after another": Expected({"charged": 42}, ("price", "charge"), "charging 42"),
    "Repeat a step": Expected({"sum": 550}, ("fetchPage",) * 10),
    "Work through a long list": Expected({"sum": 31118, "refused": [7]}, ("book",) * 3, "200 of 250"),
    "Wait, and look again until something is so": Expected(
        {"ready": True, "rounds": 3}, ("check", 10, "check", 10, "check")
    ),
    "Try again when a step fails": Expected(
        {"booked": True, "attempts": 3}, ("book", 2, "book", 4, "book"), "attempt 2 failed: Error: busy"
    ),
    "Call a service": Expected({"order": 17, "attempts": 3}, ("POST", 2, "POST", 4, "POST")),
    "Undo what was done": Expected(
        None, ("reserve", "reserve", "cancel"), "cancelled hotel", "RangeError: no seats left"
    ),
    "Work with async functions": Expected({"sizes": [1, 2, 3]}, ("count",) * 3),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(FORMS, size=1, idle=1)
    await pool.start()
    yield pool
    await pool.close()


def answering(call: HostCall, number: int) -> Json | None:
    """A service that does not answer at first, then fails, and then does."""
    if call.name != "fetchSync":
        return None
    request = call.arguments["request"].load()
    if number == 1:
        return Json.of({"url": request["url"], "error": "nobody there"})
    answer = {"url": request["url"], "statusText": "", "redirected": False, "headers": {}}
    return Json.of({**answer, "status": 503 if number == 3 else 201, "text": '{"id":17}'})


async def done(pool: SandboxPool, script: str) -> Transcript:
    async with pool.session("tests") as session:
        return await run(session, script, answering)


def shown(call: HostCall) -> str | int:
    given = call.arguments
    return given["request"]["method"] if "request" in given else given.get("function", given.get("seconds"))


def test_each_task_is_here() -> None:
    assert TASKS.keys() == EXPECTED.keys()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("task", EXPECTED)
async def test_a_task_ends_as_the_page_says(task: str, pool: SandboxPool) -> None:
    expected, found = EXPECTED[task], await done(pool, TASKS[task])
    error = f"{found.error.name}: {found.error.message}" if found.error else ""
    assert (found.output, error) == (expected.output, expected.error)
    calls = tuple(shown(call) for call in found.calls)
    assert calls == expected.calls
    assert any(expected.line in text for text in found.texts) or not expected.line


@pytest.mark.asyncio(loop_scope="module")
async def test_a_step_that_never_succeeds_tells_its_cause(pool: SandboxPool) -> None:
    script = TASKS["Try again when a step fails"].replace("attempt < 3", "attempt < 9")
    found = await done(pool, script)
    assert found.error is not None
    shown = re.search(r"`booking failed 5 times`, and `(caused by .*?)`", PAGE)
    assert shown
    assert found.error.message.startswith("booking failed 5 times")
    assert shown[1] in found.error.message

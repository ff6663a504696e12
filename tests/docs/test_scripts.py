"""Each script of the page for authors runs, and gives what the page says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.fixtures.driven import Done, Driver
from workflow_operator.engine.calls import FORMS
from workflow_operator.history import EventType, InstanceEvent
from workflow_operator.http import Answer, NoAnswer, Request
from workflow_operator.javascript.host import SandboxPool

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text()
TASKS = {
    heading: script
    for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for script in re.findall(r"```js\n(.*?)```", body, re.DOTALL)
}


class Expected(NamedTuple):
    """The end of a task: its output or its error; its steps, attempts that fail (``name!``) and sleeps in seconds; a
    line that it prints."""

    output: Any
    calls: tuple[str | int, ...]
    line: str = ""
    error: str = ""


EXPECTED = {
    "Do a step, and then another": Expected({"charged": 42}, ("price", "charge"), "charging 42"),
    "Try again when a step fails": Expected(
        {"id": 17}, ("order!", "order!", "order"), "attempt 2, after Error: shop: nobody there"
    ),
    "Wait": Expected({"sent": 2}, ("remind", 259200, "remind")),
    "Wait for somebody": Expected({"approved": True, "note": "fine"}, ("approval",)),
    "Do things side by side": Expected({"sizes": [1, 2, 3], "first": 1}, ("measure",) * 3),
    "Take what is ready first": Expected({"winner": "quick", "value": "here"}, ("quick",)),
    "Call a service, and keep its answer": Expected({"order": 17}, ("POST", "GET")),
    "Run a function after another": Expected({"charged": 42}, ("price", "charge"), "charging 42"),
    "Repeat a step": Expected({"sum": 550}, ("fetchPage",) * 10),
    "Work through a long list": Expected({"sum": 31118, "refused": [7]}, ("book",) * 3, "200 of 250"),
    "Wait, and look again until something is so": Expected(
        {"ready": True, "rounds": 3}, ("check", 10, "check", 10, "check")
    ),
    "Undo what was done": Expected(
        None, ("reserve hotel", "reserve flight", "cancel hotel"), "cancelled hotel", "NonRetryableError: no seats left"
    ),
    "Without promises": Expected({"order": 17, "attempts": 3}, ("POST", 2, "POST", 4, "POST")),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(FORMS, size=1, idle=1)
    await pool.start()
    yield pool
    await pool.close()


class Shop:
    """A service that does not answer at first, then fails, and then does."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: Request) -> Answer:
        self.asked += 1
        if self.asked == 1 and request.url.host != "steady.example":
            raise NoAnswer("nobody there")
        status = 503 if self.asked == 2 and request.url.host != "steady.example" else 201
        return Answer(str(request.url), status, "", {}, b'{"id":17}', False)


def shown(event: InstanceEvent) -> str | int | None:
    match event.type:
        case EventType.TIMER_STARTED:
            assert event.fire_at is not None
            return round((event.fire_at - event.time).total_seconds())
        case EventType.ATTEMPT_FAILED:
            return f"{event.function}!"
        case EventType.TRANSITION:
            return event.function
        case EventType.CALL_COMPLETED:
            return event.function or (event.result and event.result.load()["method"])
    return None


def test_each_task_is_here() -> None:
    assert TASKS.keys() == EXPECTED.keys()


async def done(pool: SandboxPool, script: str) -> Done:
    return await Driver(pool).to_its_end(script, answer=Shop(), sent=[("approve", {"note": "fine"})])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("task", EXPECTED)
async def test_a_task_ends_as_the_page_says(task: str, pool: SandboxPool) -> None:
    expected, found = EXPECTED[task], await done(pool, TASKS[task])
    if expected.error:
        assert f"{found.error.name}: {found.error.message}".startswith(expected.error)
    else:
        assert found.output == expected.output
    assert tuple(call for call in map(shown, found.history) if call is not None) == expected.calls
    assert any(expected.line in text for text in found.lines) or not expected.line

"""Requests of scripts: what is sent, what is recorded, and what a replay gives."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tests.fakes.http import FakeHttp, answering
from tests.fakes.sandbox import ScriptBody, fetch, transition
from tests.fakes.world import HandDelivery, World, driven
from workflow_operator.engine.calls.fetch import _Arguments, recorded, request_of
from workflow_operator.engine.driving.drive import drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.history import EventType
from workflow_operator.history.errors import Thrown
from workflow_operator.http import Answer, InvalidRequest, NoAnswer, Request, TooLarge

T = EventType


def arguments(**given: Any) -> _Arguments:
    asked = {"method": "GET", "url": "http://a.example/", "params": [], "headers": [], "timeout": 30, "skipTls": False}
    return msgspec.convert(asked | given, _Arguments)


def refused(error: Exception) -> Any:
    def answer(_: Request) -> Answer:
        raise error

    return answer


def caught(*calls: Any) -> Any:
    """A script that makes these calls, and returns what each of the requests gave or threw."""

    def script(_: Any) -> ScriptBody:
        found = []
        for call in calls:
            try:
                given = yield call
            except Thrown as error:
                found.append(f"{error.name}: {error.message}")
            else:
                if call.name == "fetchSync":
                    found.append(given.load())
        return found

    return script


async def output(world: World) -> Any:
    last = (await world.history())[-1]
    assert last.type is T.SUCCEEDED, last
    assert last.output is not None
    return last.output.load()


async def test_an_answer_is_recorded_and_given_to_each_replay() -> None:
    world = World(caught(transition("a"), fetch("POST", body="{}"), transition("b")), park_after_seconds=0)
    world.http.answer = answering(b'{"a":1}', 201, {"Content-Type": "application/json"})
    await driven(world)
    [told] = await output(world)
    assert (told["status"], told["text"]) == (201, '{"a":1}')
    history = await world.history()
    [done] = [event for event in history if event.type is T.CALL_COMPLETED]
    assert done.version == 2, "0.2.0 has no such call, and would fail the run"
    assert done.result is not None
    assert done.result.load() == told

    again = World(world.sandboxes.script)
    again.http.answer = refused(AssertionError("asked once more"))
    expected = 0
    for event in history[:-1]:
        expected = (await again.bus.push_instance_event(event, expected=expected)).sequence
    await again.queue.enqueue(history[0].key)
    await again.drive_once()
    assert await output(again) == [told]
    assert again.http.requests == []


async def test_what_was_done_before_is_stored_before_it_is_sent() -> None:
    world = World(caught(transition("a"), fetch()))
    stored: list[EventType] = []

    class Looking(FakeHttp):
        async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
            stored.extend(await world.types())
            return await super().send(request, namespace, max_bytes)

    world.http = Looking()
    await driven(world)
    assert stored == [T.STARTED, T.TRANSITION]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoAnswer("nobody there"), {"method": "GET", "url": "http://a.example/", "error": "nobody there"}),
        (InvalidRequest("led astray"), {"method": "GET", "url": "http://a.example/", "error": "led astray"}),
        (
            TooLarge(),
            "PayloadTooLarge: fetchSync: the answer to GET http://a.example/ has more than 262144 bytes as JSON "
            "(limit of one value, setting payload_bytes); ask for a part of it",
        ),
    ],
)
async def test_what_goes_wrong_is_recorded_too(error: Exception, expected: Any) -> None:
    world = World(caught(fetch(), transition("a")))
    world.http.answer = refused(error)
    await driven(world)
    assert await output(world) == [expected]


async def test_an_answer_that_is_too_large_as_json() -> None:
    world = World(caught(fetch()))
    world.http.answer = answering(b"\x01" * 200_000)
    await driven(world)
    [told] = await output(world)
    assert told.startswith("PayloadTooLarge")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"url": "nowhere"}, "an absolute URL"),
        ({"url": "http://["}, "Invalid"),
        ({"method": "TRACE"}, "methods"),
        ({"timeout": 1e9}, "timeout"),
        ({"url": "http://" + "a\u0300\u0316" * 2000 + "/"}, "512 of them for login and host"),
        ({"params": [["a", "b" * 9000]]}, "at most 8192 characters as it is sent, got 90"),
        ({"headers": [("Host", "b")]}, "set by the connection"),
        ({"username": "a", "headers": [("authorization", "b")]}, "either username and password, or the header"),
    ],
)
async def test_what_cannot_be_sent_throws(given: dict[str, Any], expected: str) -> None:
    world = World(caught(fetch(**given)))
    await driven(world)
    [told] = await output(world)
    assert told.startswith("TypeError: fetchSync: ")
    assert expected in told
    assert world.http.requests == []


def test_how_a_request_is_put_together() -> None:
    request = request_of(
        arguments(
            method="PUT",
            url="http://a.example/b?c=d",
            params=[("e", "f g"), ("e", "&")],
            headers=[("X", "y")],
            body="é",
            username="u:",
            password="p",
            timeout=3,
            skipTls=True,
        ),
        "key",
    )
    assert str(request.url) == "http://a.example/b?c=d&e=f+g&e=%26"
    assert (request.method, request.body, request.timeout_seconds, request.skip_tls) == ("PUT", "é".encode(), 3, True)
    login = base64.b64encode(b"u::p").decode()
    assert request.headers == {"X": "y", "Authorization": f"Basic {login}", "Idempotency-Key": "key"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_needs_no_key(method: str) -> None:
    assert request_of(arguments(method=method), "key").headers == {}


def test_a_key_of_the_script_is_its_own() -> None:
    assert request_of(arguments(method="POST", headers=[("idempotency-key", "mine")]), "key").headers == {
        "idempotency-key": "mine"
    }


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"a", "text/plain", {"text": "a"}),
        ("é".encode(), "", {"text": "é"}),
        ("\ufeffé".encode(), "text/plain; charset=UTF-8", {"text": "é"}),
        ("é".encode("latin-1"), 'text/plain; charset="ISO-8859-1"', {"text": "é", "base64": "6Q=="}),
        ("é".encode("utf-16"), "text/plain;charset=utf-16", {"text": "é", "base64": "//7pAA=="}),
        (b"\x89PNG", "image/png", {"base64": "iVBORw=="}),
        (b"\xff", "text/plain; charset=ascii", {"base64": "/w=="}),
        (b"a", "text/plain; charset=zip", {"text": "a"}),
        (b"a", "text/plain; charset=base64", {"text": "a"}),
        (b"a", "text/plain; charset=no-such", {"text": "a"}),
        (b"a", "text/plain; charset=idna", {"text": "a"}),
        (b"a", "text/plain; charset=punycode", {"text": "a"}),
        (b"+AOk-", "text/plain; charset=utf-7", {"text": "+AOk-"}),
        ("é".encode("shift_jisx0213"), "text/plain; charset=shift_jisx0213", {"text": "é", "base64": "hX4="}),
        (b"", "", {"text": ""}),
    ],
)
def test_how_a_body_is_kept(body: bytes, kind: str, expected: dict[str, str]) -> None:
    kept = recorded("GET", Answer("http://a/", 200, "O\udcffK", {"content-type": [kind], "x": ["\udcff"]}, body, False))
    assert {name: kept[name] for name in ("text", "base64") if name in kept} == expected
    assert (kept["statusText"], kept["headers"]["x"]) == ("O\ufffdK", ["\ufffd"])


async def test_who_has_waited_for_long_makes_room_for_others() -> None:
    world = World(caught(fetch(), transition("a")))

    class TakesItsTime(FakeHttp):
        async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
            await world.clock.sleep(8)
            return await super().send(request, namespace, max_bytes)

    world.http = TakesItsTime()
    await world.start()
    held = Holding(HandDelivery(), contended=lambda: True)
    await world.clock.until(drive(world.context(), held))
    assert (await world.types())[-2:] == [T.CALL_COMPLETED, T.WAITING]
    await world.drive_to_the_end()
    assert (await world.types())[-1] is T.SUCCEEDED
    assert len(world.http.requests) == 1


async def test_a_run_whose_answers_are_too_large_sends_no_further_request() -> None:
    world = World(caught(fetch(), fetch(), fetch()), answers_bytes=3000)
    world.http.answer = answering(b"x" * 2000)
    events, _ = await driven(world)
    error = events[-1].error
    assert error is not None
    assert (error.name, len(world.http.requests)) == ("HistoryLimit", 2)
    assert "answers of" in error.message
    assert "expected at most 3000 bytes" in error.message
    # Whoever goes on with such a run finds the same.
    again = World(world.sandboxes.script, answers_bytes=3000)
    expected = 0
    for event in events[:-1]:
        expected = (await again.bus.push_instance_event(event, expected=expected)).sequence
    await again.queue.enqueue(events[0].key)
    await again.drive_once()
    assert ((await again.history())[-1].type, again.http.requests) == (T.FAILED, [])

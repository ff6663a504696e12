"""fetchSync as scripts see it: what it asks for, and what it gives."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from tests.javascript.sandbox import START_MS, job, run
from workflow_operator.history import Json
from workflow_operator.history.errors import Thrown
from workflow_operator.javascript.host import HostCall, Limits, Returned, Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PLAIN = {"method": "GET", "url": "http://a/", "params": [], "headers": [], "timeout": 30, "skipTls": False}
ANSWER = {
    "method": "GET",
    "url": "http://a/b",
    "status": 200,
    "statusText": "OK",
    "redirected": False,
    "headers": {"x": ["1", "2"]},
    "text": '{"a":[1,"é😀"]}',
}


async def asked(session: Session, script: str) -> HostCall:
    await session.begin(job(script))
    call = await session.next()
    assert isinstance(call, HostCall)
    return call


async def given(session: Session, script: str, answer: Any) -> Any:
    await asked(session, script)
    await session.answer(Json.of(answer), START_MS + 1)
    end = await session.next()
    assert isinstance(end, Returned)
    return end.output.load()


JSON_TYPE = ["Content-Type", "application/json"]
PLAIN_TYPE = ["content-type", "text/plain"]
API_TYPE = ["Content-Type", "a/b+JSON"]
PARAMS = [["a", "1"], ["b", "true"], ["b", "x"]]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("'http://a/'", {}),
        ("'http://a/', {}", {}),
        ("'http://a/', null", {}),
        ("new URL('/b', 'http://a')", {"url": "http://a/b"}),
        ("'http://a/', {method: 'post'}", {"method": "POST"}),
        ("'http://a/', {timeout: 1.5, skipTls: true}", {"timeout": 1.5, "skipTls": True}),
        ("'http://a/', {skipTls: 'yes'}", {}),
        ("'http://a/', {username: 'u', password: 7}", {"username": "u", "password": "7"}),
        ("'http://a/', {params: {a: 1, b: [true, 'x'], c: null, d: undefined}}", {"params": PARAMS}),
        ("'http://a/', {headers: {'X-A': 1, b: ['c', 'd'], e: undefined}}", {"headers": [["X-A", "1"], ["b", "c, d"]]}),
        ("'http://a/', {body: {a: [1]}}", {"body": '{"a":[1]}', "headers": [JSON_TYPE]}),
        ("'http://a/', {body: 'é'}", {"body": '"é"', "headers": [JSON_TYPE]}),
        ("'http://a/', {body: 0}", {"body": "0", "headers": [JSON_TYPE]}),
        ("'http://a/', {body: null}", {}),
        ("'http://a/', {body: 'a', headers: {'content-type': 'text/plain'}}", {"body": "a", "headers": [PLAIN_TYPE]}),
        ("'http://a/', {body: 'a', headers: {'Content-Type': 'a/b+JSON'}}", {"body": '"a"', "headers": [API_TYPE]}),
        ("'http://a/', {body: [1], headers: {'content-type': 'text/plain'}}", {"body": "[1]", "headers": [PLAIN_TYPE]}),
        ("'http://a/\\ud800'", {"url": "http://a/\ufffd"}),
    ],
)  # fmt: skip
async def test_what_is_asked_for(session: Session, call: str, expected: dict[str, Any]) -> None:
    made = await asked(session, f"function main() {{ fetchSync({call}) }}")
    request = made.arguments["request"]
    assert isinstance(request, Json)
    assert (made.name, request.load(), made.wants_answer) == ("fetchSync", PLAIN | expected, True)


@pytest.mark.parametrize(
    ("call", "name", "message"),
    [
        ("", "TypeError", "fetchSync: expected a URL as first argument, got undefined"),
        ("''", "TypeError", "fetchSync: expected a URL as first argument, got ''"),
        ("{}", "TypeError", "fetchSync: expected a URL as first argument, got {}"),
        ("'x'.repeat(8193)", "TypeError", "fetchSync: expected a URL of at most 8192 characters, got one of 8193"),
        ("'a', 'b'", "TypeError", "fetchSync: expected an object as second argument, got 'b'"),
        ("'a', {header: {}}", "TypeError", "fetchSync: expected no member header; there are method, headers, params,"),
        ("'a', {method: 7}", "TypeError", "fetchSync: expected a method of HTTP, got 7"),
        ("'a', {timeout: '1s'}", "TypeError", "fetchSync: expected a number of seconds as timeout, got '1s'"),
        ("'a', {timeout: NaN}", "TypeError", "fetchSync: expected a number of seconds as timeout, got NaN"),
        ("'a', {headers: ['b']}", "TypeError", "fetchSync: expected an object as headers, got ['b']"),
        ("'a', {params: {b: {}}}", "TypeError", "fetchSync: expected a string, a number or a boolean in params"),
        ("'a', {username: {}}", "TypeError", "fetchSync: expected a string as username, got {}"),
        ("'a', {body: new Map()}", "NotSerializable", "fetchSync: the body is a Map: use Object.fromEntries(map)"),
    ],
)  # fmt: skip
async def test_a_wrong_request_names_what_was_expected(session: Session, call: str, name: str, message: str) -> None:
    result = await run(session, f"function main() {{\n  fetchSync({call})\n}}")
    assert result.calls == []
    found = result.failure()
    assert (found[0], found[2]) == (name, 2)
    assert message.split(", got")[0] in found[1]


async def test_what_an_answer_holds(session: Session) -> None:
    script = """function main() {
      const r = fetchSync('http://a/');
      return [{ ...r }, r.text(), r.json().a[1], r.base64(), r.json() !== r.json()];
    }"""
    found, text, member, encoded, fresh = await given(session, script, ANSWER)
    assert found == {
        "responseType": "basic", "error": "", "ok": True, "redirected": False, "status": 200, "statusText": "OK",
        "url": "http://a/b", "headers": {"x": ["1", "2"]},
    }  # fmt: skip
    assert (text, member, fresh) == (ANSWER["text"], "é😀", True)
    assert base64.b64decode(encoded) == str(ANSWER["text"]).encode()


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "é", "€uro", "😀", "\x00\x7f\x80߿ࠀ￿𐀀"])
async def test_base64_is_that_of_the_bytes(session: Session, text: str) -> None:
    encoded = await given(
        session, "function main() { return fetchSync('http://a/').base64() }", ANSWER | {"text": text}
    )
    assert base64.b64decode(encoded, validate=True) == text.encode()


async def test_what_is_no_text(session: Session) -> None:
    script = """function main() {
      const r = fetchSync('http://a/');
      const threw = (f) => { try { f() } catch (e) { return e.message } };
      return [r.base64(), threw(() => r.text()), threw(() => r.json()), threw(() => r.text.call({}))];
    }"""
    binary = {name: value for name, value in ANSWER.items() if name != "text"} | {"base64": "iVBORw=="}
    assert await given(session, script, binary) == [
        "iVBORw==",
        "text: the body is no text; use base64()",
        "json: the body is no text; use base64()",
        "text: expected a response, got an object",
    ]


async def test_no_answer_is_no_error(session: Session) -> None:
    script = "function main() { const r = fetchSync('http://a/'); return [{ ...r }, r.text()] }"
    found, text = await given(session, script, {"method": "GET", "url": "http://a/", "error": "nobody there"})
    assert found == {
        "responseType": "error", "error": "nobody there", "ok": False, "redirected": False, "status": 0,
        "statusText": "", "url": "http://a/", "headers": {},
    }  # fmt: skip
    assert text == ""


@pytest.mark.parametrize(("status", "ok"), [(199, False), (200, True), (299, True), (300, False), (404, False)])
async def test_what_is_ok(session: Session, status: int, ok: bool) -> None:
    answer = ANSWER | {"status": status}
    assert await given(session, "function main() { return fetchSync('http://a/').ok }", answer) is ok


async def test_an_error_is_thrown_where_it_was_asked(session: Session) -> None:
    await asked(
        session,
        """function main() {
      try { fetchSync('http://a/') } catch (e) { return [e.name, e instanceof TypeError] }
    }""",
    )
    await session.throw("TypeError", "no", START_MS + 1)
    end = await session.next()
    assert isinstance(end, Returned)
    assert end.output.load() == ["TypeError", True]
    await asked(session, "function main() {\n  fetchSync('http://a/')\n}")
    await session.throw("PayloadTooLarge", "too much", START_MS + 1)
    with pytest.raises(Thrown) as thrown:
        await session.next()
    assert (thrown.value.name, thrown.value.message, thrown.value.line) == ("PayloadTooLarge", "too much", 2)


@pytest.mark.parametrize("what", ["return fetchSync('http://a/')", "transition(f, {r: fetchSync('http://a/')})"])
async def test_a_response_is_no_value(session: Session, what: str) -> None:
    await asked(session, f"function f() {{}}\nfunction main() {{ {what} }}")
    await session.answer(Json.of(ANSWER), START_MS + 1)
    with pytest.raises(Exception, match=r"a response.*use response\.json\(\) or response\.text\(\)"):
        await session.next()


async def test_what_the_script_changes_changes_no_request(session: Session) -> None:
    script = """
      Array.prototype.toJSON = Object.prototype.toJSON = String.prototype.toJSON = () => 'spoiled';
      String.prototype.toUpperCase = String.prototype.toLowerCase = () => 'spoiled';
      Object.defineProperty(Object.prototype, '0', { set() { throw 1 }, configurable: true });
      Object.defineProperty(Array.prototype, '0', { set() { throw 1 }, configurable: true });
      JSON.stringify = JSON.parse = () => 'spoiled';
      function main() {
        return fetchSync('http://a/', { method: 'put', headers: { a: 'b' }, params: { c: 'd' } }).json().a[0];
      }"""
    call = await asked(session, script)
    request = call.arguments["request"]
    assert isinstance(request, Json)
    assert request.load() == PLAIN | {"method": "PUT", "headers": [["a", "b"]], "params": [["c", "d"]]}
    await session.answer(Json.of(ANSWER), START_MS + 1)
    end = await session.next()
    assert isinstance(end, Returned)
    assert end.output.load() == 1


async def test_a_replay_is_asked_for_what_has_a_value_alone(session: Session) -> None:
    script = """function f() {}
    function main() { transition(f, 1); const s = fetchSync('http://a/').status; transition(f, s) }"""
    what = replace(job(script), answered_ms=[START_MS + 1, -1, START_MS + 3])
    await session.begin(what)
    times = []
    while isinstance(message := await session.next(), HostCall):
        times.append(message.time_ms)
        if message.wants_answer:
            await session.answer(Json.of(ANSWER), START_MS + 2)
    assert times == [START_MS + 1, None, START_MS + 3]


async def test_a_run_of_an_older_release_has_none(session: Session) -> None:
    lenient = replace(job("function main() { fetchSync('http://a/') }"), lenient=True)
    assert (await run(session, lenient)).failure()[:2] == ("NotAvailable", "fetchSync is not available in this version")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 32_767, 32_768, 32_769, 70_000, 250_000])
async def test_answers_of_every_size_arrive_unchanged(session: Session, size: int) -> None:
    text = ("aé€😀" * (size // 4 + 1))[:size]
    script = "function main() { finish(fetchSync('http://a/').text()) }"
    what = replace(job(script), limits=Limits(payload_bytes=4 * 1024 * 1024))
    await session.begin(what)
    assert isinstance(await session.next(), HostCall)
    await session.answer(Json.of(ANSWER | {"text": text}), START_MS + 1)
    finished = await session.next()
    assert isinstance(finished, HostCall)
    output = finished.arguments["output"]
    assert isinstance(output, Json)
    assert output.load() == text
    assert isinstance(await session.next(), Returned)

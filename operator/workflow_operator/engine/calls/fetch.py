"""``fetch(url, config)`` and ``fetchSync``: an HTTP request, made by the executor, and its answer, recorded.

It is made at least once: who dies between the answer and its record leaves the request to be made again. So one that
may change something carries a key by which its receiver can know it again.
"""

from __future__ import annotations

import base64
import codecs
import re
from functools import partial
from typing import Annotated, Any

import msgspec

from workflow_operator.engine.calls.call import Call, Run, gives_way, told
from workflow_operator.engine.calls.call import Request as RequestCall
from workflow_operator.engine.outcome import Outcome
from workflow_operator.history import ErrorInfo, EventType, Json, well_formed
from workflow_operator.http import (
    MAX_URL_CHARACTERS,
    SAFE,
    Answer,
    InvalidRequest,
    NoAnswer,
    Request,
    TooLarge,
    checked,
    url_of,
)
from workflow_operator.javascript.host import Arguments, HostCall, Limits
from workflow_operator.replay import New, Unanswered

_KEY = "Idempotency-Key"
_ERROR_CHARACTERS = 4096
# Python's codecs for charsets of the web. Others unpack, or take a time that grows with the square of the length.
_OF_TEXT = re.compile(
    r"iso8859-\d+|cp\d+|koi8-[rut]|utf-(?:16|32)(?:-[bl]e)?|mac-\w+|shift_jis\w*|euc_\w+|gb\w+|big5\w*"
)
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([A-Za-z0-9._:+-]{1,40})", re.IGNORECASE)


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """As prelude/fetch.js writes them."""

    method: Annotated[str, msgspec.Meta(max_length=16)]
    url: Annotated[str, msgspec.Meta(max_length=MAX_URL_CHARACTERS)]
    params: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    timeout: int | float
    skip_tls: bool = msgspec.field(name="skipTls")
    body: str | None = None
    username: str | None = None
    password: str | None = None


_ARGUMENTS = msgspec.json.Decoder(_Arguments)


def take(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"request": Json}"""
    _ARGUMENTS.decode(arguments)
    return {"request": Json.checked(memoryview(arguments), "fetch: the request", limits.payload_bytes)}


async def handle(run: Run, found: New | Unanswered, call: HostCall) -> Outcome | None:
    run.check_room(EventType.CALL_COMPLETED)
    fields = await FETCH_SYNC_EFFECT.send(run, call.arguments, f"{run.key.instance_id}-{found.call.index}")
    await run.record(EventType.CALL_COMPLETED, found.call, **fields, **told(call))
    if (parked := await gives_way(run)) is not None:
        return parked
    await run.flush()
    return None


async def send(name: str, run: Run, asked: Arguments, key: str) -> dict[str, Any]:
    """What is recorded: a result, or the error that the script is thrown.

    ``name`` is that of the call; ``key`` tells it from every other one, and is the same each time that it is made.
    """
    given = asked["request"]
    assert isinstance(given, Json)
    arguments = _ARGUMENTS.decode(given.data)
    # What has led here must not be done again once others have seen what comes of it.
    await run.flush()
    limit = run.limits.sandbox.payload_bytes
    try:
        request = request_of(arguments, key)
    except (InvalidRequest, ValueError) as error:
        return {"error": ErrorInfo(name="TypeError", message=f"{name}: {error}")}
    try:
        answer = await run.http.send(request, run.key.namespace, limit)
    except (NoAnswer, InvalidRequest) as error:
        # As scripts expect it: no answer is no error.
        asked = {"method": arguments.method, "url": arguments.url}
        return {"result": Json.of({**asked, "error": well_formed(str(error))[:_ERROR_CHARACTERS]})}
    except TooLarge:
        return {"error": _too_large(name, request, limit)}
    result = Json.of(recorded(request.method, answer))
    return {"error": _too_large(name, request, limit)} if len(result) > limit else {"result": result}


def request_of(arguments: _Arguments, key: str) -> Request:
    """What to send. ``key`` tells this call from every other one, and is the same each time that it is made.

    Raises:
        InvalidRequest, ValueError: it cannot be sent.
    """
    url = url_of(arguments.url)
    if arguments.params:
        url = url.extend_query(arguments.params)
    headers = dict(arguments.headers)
    named = {name.lower() for name in headers}
    if arguments.username is not None or arguments.password is not None:
        if "authorization" in named:
            raise InvalidRequest("expected either username and password, or the header Authorization")
        login = f"{arguments.username or ''}:{arguments.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    if arguments.method not in SAFE and _KEY.lower() not in named:
        headers[_KEY] = key
    body = None if arguments.body is None else arguments.body.encode()
    return checked(Request(arguments.method, url, headers, body, arguments.timeout, arguments.skip_tls))


def recorded(method: str, answer: Answer) -> dict[str, Any]:
    """An answer as it is kept. ``text`` is its body where that is text; ``base64`` where it is not UTF-8."""
    kept: dict[str, Any] = {
        "method": method,
        "url": answer.url,
        "status": answer.status,
        "statusText": well_formed(answer.reason),
        "redirected": answer.redirected,
        "headers": {well_formed(name): [*map(well_formed, values)] for name, values in answer.headers.items()},
    }
    charset = _charset(answer)
    try:
        kept["text"] = answer.body.decode(charset or "utf-8-sig")
    except ValueError:
        charset = "binary"
    if charset is not None:
        kept["base64"] = base64.b64encode(answer.body).decode()
    return kept


def _charset(answer: Answer) -> str | None:
    """The Python codec of a body that says that it is text of another charset than UTF-8; None otherwise."""
    named = _CHARSET.search(answer.headers.get("content-type", [""])[0])
    try:
        codec = codecs.lookup(named[1] if named else "utf-8")
    except LookupError:
        return None
    return codec.name if _OF_TEXT.fullmatch(codec.name) else None


def _too_large(name: str, request: Request, limit: int) -> ErrorInfo:
    return ErrorInfo(
        name="PayloadTooLarge",
        message=f"{name}: the answer to {request.method} {request.url.with_query(None).with_user(None)} has more "
        f"than {limit} bytes as JSON (limit of one value, setting payload_bytes); ask for a part of it",
    )


FETCH_SYNC = Call("fetchSync", take, handle)
FETCH_SYNC_EFFECT = RequestCall("fetchSync", take, partial(send, "fetchSync"))
FETCH = RequestCall("fetch", take, partial(send, "fetch"))

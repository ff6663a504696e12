"""Reads what a sandbox sends. Pure; a sandbox is not trusted, so everything is checked, in linear time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec

from workflow_operator.history import MAX_NESTING, Caught, CaughtStep, ErrorInfo, Json
from workflow_operator.history.errors import NotSerializable, ScriptError
from workflow_operator.history.values import without_lone_surrogates
from workflow_operator.javascript.host import reports
from workflow_operator.javascript.host.messages import (
    Arguments,
    AsyncCall,
    Effect,
    GivenUp,
    HostCall,
    Idle,
    Limits,
    LogLine,
    Result,
    Returned,
    Spent,
    Take,
)
from workflow_operator.javascript.host.places import Place, Source

NAME_CHARACTERS = 256
CAUGHT_CHARACTERS = 200
MOST_CAUGHT = 8
LONGEST_RETRY_MS = 30 * 24 * 3600 * 1000
MOST_DETAILS_BYTES = 64 * 1024
MOST_MS = 8_640_000_000_000_000  # that a Date can show

Message: TypeAlias = HostCall | AsyncCall | Effect | GivenUp | Result | Idle | LogLine | Returned | Spent | ScriptError


class Malformed(Exception):
    """The sandbox sent something that it never sends."""


_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]
_Number: TypeAlias = _Count | None


class _Form(msgspec.Struct, tag_field="kind", forbid_unknown_fields=True, gc=False):
    """One kind of message; how it is sent says javascript/worker/wire.py."""


class _CaughtStep(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    function: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS)]
    error: Annotated[str, msgspec.Meta(max_length=CAUGHT_CHARACTERS)] | None = None


class _Caught(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    steps: Annotated[list[_CaughtStep], msgspec.Meta(min_length=1, max_length=MOST_CAUGHT)]
    more: Annotated[int, msgspec.Meta(ge=0, le=999_999_999)]


class _Call(_Form, tag="call"):
    name: Annotated[str, msgspec.Meta(max_length=64)]
    line: _Number
    column: _Number
    arguments: msgspec.Raw
    caught: _Caught | msgspec.UnsetType = msgspec.UNSET
    time_ms: Annotated[int, msgspec.Meta(ge=0, le=MOST_MS)] | None = None
    attempt: _Count | None = None


class _Async(_Form, tag="async"):
    number: _Count
    name: Annotated[str, msgspec.Meta(max_length=64)]
    line: _Number
    column: _Number
    arguments: msgspec.Raw


class _Effect(_Form, tag="effect"):
    number: _Count
    attempt: _Count
    name: Annotated[str, msgspec.Meta(max_length=64)]
    line: _Number
    column: _Number
    arguments: msgspec.Raw


class _Abort(_Form, tag="abort"):
    number: _Count


class _Cut(_Form, tag="cut"):
    number: _Count


class _Error(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]
    message: Annotated[str, msgspec.Meta(max_length=8192)]
    line: _Number
    column: _Number
    stack: Annotated[str, msgspec.Meta(max_length=2048)]


class _Result(_Form, tag="result"):
    number: _Count
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Error | None = None
    details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    final: bool = False
    retry_after: Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)] | None = msgspec.field(
        name="retryAfter", default=None
    )


class _Idle(_Form, tag="idle"):
    returned: bool


class _Log(_Form, tag="log"):
    level: Literal["info", "debug", "warn", "error"]
    text: str


class _Spent(_Form, tag="spent"):
    pass


class _Returned(_Form, tag="returned"):
    output: msgspec.Raw
    caught: _Caught | msgspec.UnsetType = msgspec.UNSET


class _Failed(_Form, tag="failed"):
    error: Annotated[str, msgspec.Meta(max_length=64)]
    name: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]
    message: Annotated[str, msgspec.Meta(max_length=8192)]
    line: _Number
    column: _Number
    stack: Annotated[str, msgspec.Meta(max_length=16384)]
    cause: Annotated[str, msgspec.Meta(max_length=4096)]


_MESSAGE = msgspec.json.Decoder(
    _Call | _Async | _Effect | _Abort | _Cut | _Result | _Idle | _Log | _Spent | _Returned | _Failed
)


def parse(body: bytes, source: Source, limits: Limits, takes: Mapping[str, Take]) -> Message:
    """One message of a sandbox; a ScriptError if it says that the run failed. ``takes``: what calls there are.

    Raises:
        NotSerializable: a value in it is nested too deeply, or no JSON that can be stored.
        PayloadTooLarge: a value in it is larger than the cap. The prelude looks first; this is for who took its place.
        Malformed: anything else that is no message.
    """
    try:
        match _MESSAGE.decode(without_lone_surrogates(body)):
            case _Call() as call:
                line, column = source.within(_place(call.line, call.column))
                arguments = _taken(call.name, call.arguments, limits, takes)
                return HostCall(call.name, arguments, line, column, _caught(call.caught), call.time_ms, call.attempt)
            case _Log(level, text):
                return LogLine(level, reports.cut(text, limits.log_line_bytes))
            case _Returned(output, caught):
                value = Json.checked(memoryview(output), "the return value", limits.payload_bytes)
                return Returned(value, _caught(caught))
            case _Failed(error, name, text, line, column, stack, cause):
                place = source.within(_place(line, column))
                return reports.failure(error, name, text, place, (stack, cause), limits)
            case _Spent():
                return Spent()
            case message:
                return _asynchronous(message, source, limits, takes)
    except ScriptError:
        raise
    except RecursionError:
        raise NotSerializable(
            f"a value is nested too deeply: expected at most {MAX_NESTING} levels of arrays and objects"
        ) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"{error}: {body[:200]!r}") from None


def _asynchronous(
    message: _Async | _Effect | _Abort | _Cut | _Result | _Idle,
    source: Source,
    limits: Limits,
    takes: Mapping[str, Take],
) -> AsyncCall | Effect | GivenUp | Result | Idle:
    match message:
        case _Async(number, name, line, column, raw):
            line, _ = source.within(_place(line, column))
            return AsyncCall(number, name, _taken(name, raw, limits, takes), line)
        case _Effect(number, attempt, name, _, _, raw):
            return Effect(number, attempt, name, _taken(name, raw, limits, takes))
        case _Abort(number):
            return GivenUp(number, effect=False)
        case _Cut(number):
            return GivenUp(number, effect=True)
        case _Result():
            return _result(message, source, limits)
        case _Idle(returned):
            return Idle(returned)


def _taken(name: str, arguments: msgspec.Raw, limits: Limits, takes: Mapping[str, Take]) -> Arguments:
    if (take := takes.get(name)) is None:
        raise Malformed(f"unknown host call {name!r}")
    return take(arguments, limits)


def _result(given: _Result, source: Source, limits: Limits) -> Result:
    if given.error is None:
        if given.output is msgspec.UNSET:
            return Result(given.number)
        what = "step.do: the result"
        return Result(given.number, Json.checked(memoryview(given.output), what, limits.payload_bytes))
    line, column = source.within(_place(given.error.line, given.error.column))
    error = ErrorInfo(
        name=given.error.name, message=given.error.message, line=line, column=column, stack=given.error.stack or None
    )
    after = None if given.retry_after is None else int(min(given.retry_after, LONGEST_RETRY_MS))
    return Result(given.number, None, error, _details(given.details), given.final, after)


def _details(given: msgspec.Raw | msgspec.UnsetType) -> Json | None:
    """Fields and causes of an error, as far as they can be stored."""
    if given is msgspec.UNSET:
        return None
    try:
        return Json.checked(memoryview(given), "the fields of an error", MOST_DETAILS_BYTES)
    except ScriptError:
        return None


def _caught(caught: _Caught | msgspec.UnsetType) -> Caught | None:
    if caught is msgspec.UNSET:
        return None
    steps = tuple(CaughtStep(function=step.function, error=step.error) for step in caught.steps)
    return Caught(steps=steps, more=caught.more)


def _place(line: int | None, column: int | None) -> Place | None:
    return None if line is None else Place(line, column)

"""Reads what a sandbox sends. Pure; a sandbox is not trusted, so everything is checked, in linear time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec

from workflow_operator.history import MAX_NESTING, Caught, CaughtStep, Json
from workflow_operator.history.errors import NotSerializable, ScriptError
from workflow_operator.history.values import without_lone_surrogates
from workflow_operator.javascript.host import reports
from workflow_operator.javascript.host.messages import HostCall, Limits, LogLine, Returned, Spent, Take
from workflow_operator.javascript.host.places import Place, Source

NAME_CHARACTERS = 256
CAUGHT_CHARACTERS = 200
MOST_CAUGHT = 8
MOST_MS = 8_640_000_000_000_000  # that a Date can show

Message: TypeAlias = HostCall | LogLine | Returned | Spent | ScriptError


class Malformed(Exception):
    """The sandbox sent something that it never sends."""


_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)] | None


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


_MESSAGE = msgspec.json.Decoder(_Call | _Log | _Spent | _Returned | _Failed)


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
                if (take := takes.get(call.name)) is None:
                    raise Malformed(f"unknown host call {call.name!r}")
                arguments = take(call.arguments, limits)
                return HostCall(call.name, arguments, line, column, _caught(call.caught), call.time_ms)
            case _Log(level, text):
                return LogLine(level, reports.cut(text, limits.log_line_bytes))
            case _Returned(output, caught):
                value = Json.checked(memoryview(output), "the return value", limits.payload_bytes)
                return Returned(value, _caught(caught))
            case _Failed(error, name, text, line, column, stack, cause):
                place = source.within(_place(line, column))
                return reports.failure(error, name, text, place, (stack, cause), limits)
            case _:
                return Spent()
    except ScriptError:
        raise
    except RecursionError:
        raise NotSerializable(
            f"a value is nested too deeply: expected at most {MAX_NESTING} levels of arrays and objects"
        ) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"{error}: {body[:200]!r}") from None


def _caught(caught: _Caught | msgspec.UnsetType) -> Caught | None:
    if caught is msgspec.UNSET:
        return None
    steps = tuple(CaughtStep(function=step.function, error=step.error) for step in caught.steps)
    return Caught(steps=steps, more=caught.more)


def _place(line: int | None, column: int | None) -> Place | None:
    return None if line is None else Place(line, column)

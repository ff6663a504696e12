"""How the arguments of a host call are compared with those that a history holds: by a digest, never by the value.

What is recorded has one of two forms:

    <32 digits>           of the canonical JSON of the parsed arguments, as every release reads it
    sha256:<32 digits>    of their bytes, for what is too large to be parsed at each call; in events of version 2
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec

from workflow_operator.history.format import BYTES_DIGEST_VERSION, FORMAT_VERSION
from workflow_operator.history.values import MAX_NESTING, Json, nesting

Arguments: TypeAlias = Any
"""Json, plain JSON values, or a mapping from names to these."""

CANONICAL_BYTES = 4096
_OF_BYTES = "sha256:"
_DIGITS = 32


def arguments_json(arguments: Arguments) -> Json:
    """The arguments as one JSON text, in the order of their names; values in it stay as they are."""
    if isinstance(arguments, Json):
        return arguments
    if not isinstance(arguments, Mapping):
        return Json.of(arguments)
    return Json(b"{%b}" % b",".join([_named(name) + _member(arguments[name]) for name in sorted(arguments)]))


def digest(arguments: Arguments) -> str:
    """What to record of a call's arguments: 128 bits of SHA-256.

    Small ones are digested as 0.2.0 does, so that while an installation is upgraded its replicas replay one another's
    runs. Parsing a large one costs up to a second for each 4 MiB, at each call of each replay.
    """
    text = arguments_json(arguments)
    return _canonical(text, arguments) if len(text) <= CANONICAL_BYTES else _OF_BYTES + _hash(text.data)


def matches(recorded: str, arguments: Arguments) -> bool:
    """Whether a recorded digest is that of these arguments. What was recorded of its bytes is not parsed."""
    text = arguments_json(arguments)
    return recorded == (_OF_BYTES + _hash(text.data) if recorded.startswith(_OF_BYTES) else _canonical(text, arguments))


def version_of(recorded: str) -> Literal[1, 2]:
    """The format version of an event that holds this digest."""
    return BYTES_DIGEST_VERSION if recorded.startswith(_OF_BYTES) else FORMAT_VERSION


def _member(value: Arguments) -> bytes:
    if isinstance(value, Json):
        return value.data
    if isinstance(value, str) and len(value) <= _REMEMBERED_CHARACTERS:
        return _text(value)
    return arguments_json(value).data


@lru_cache(maxsize=1024)
def _text(name: str) -> bytes:
    """Names of functions come again with each call."""
    return Json.of(name).data


@lru_cache(maxsize=64)
def _named(name: str) -> bytes:
    return Json.of(name).data + b":"


def _canonical(text: Json, arguments: Arguments) -> str:
    # Names of a mapping are in order.
    if isinstance(arguments, Mapping) and _PLAIN_CALL.fullmatch(text.data):
        return _hash(text.data)
    if _DIFFERS.search(text.data) is None and nesting(text.data) <= MAX_NESTING:
        return _hash(_SORTED.encode(_PLAIN.decode(text.data)))
    return _hash(_ENCODER.encode(text.load()).encode())


_REMEMBERED_CHARACTERS = 256
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
# Twice as fast, and writes the same but for these: escapes, what is not ASCII, and fractions.
_SORTED = msgspec.json.Encoder(order="sorted")
_PLAIN = msgspec.json.Decoder()
# A call whose text parser and encoder would only write again: values of it are scalars, or lists of these.
_STRING = rb'"[ !#-\[\]-~]*"'
_SCALAR = rb"(?:0|-?[1-9][0-9]{0,15}|null|true|false|%b)" % _STRING
_MEMBER = rb"%b:(?:%b|\[(?:%b(?:,%b)*)?\])" % (_STRING, _SCALAR, _SCALAR, _SCALAR)
_PLAIN_CALL = re.compile(rb"\{%b(?:,%b)*\}" % (_MEMBER, _MEMBER))
_DIFFERS = re.compile(rb"[\\\x00-\x1f\x7f-\xff]|[0-9][.eE]")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]

"""How the arguments of a host call are compared with those that a history holds: by a digest, never by the value.

What is recorded has one of two forms:

    <32 digits>           of the canonical JSON of the parsed arguments, as every release reads it
    sha256:<32 digits>    of their bytes, for what is too large to be parsed at each call; in events of version 2
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from workflow_operator.history.format import BYTES_DIGEST_VERSION, FORMAT_VERSION
from workflow_operator.history.values import Json

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
    parts = (Json.of(name).data + b":" + arguments_json(arguments[name]).data for name in sorted(arguments))
    return Json(b"{" + b",".join(parts) + b"}")


def digest(arguments: Arguments) -> str:
    """What to record of a call's arguments: 128 bits of SHA-256.

    Small ones are digested as 0.2.0 does, so that while an installation is upgraded its replicas replay one another's
    runs. Parsing a large one costs up to a second for each 4 MiB, at each call of each replay.
    """
    text = arguments_json(arguments)
    return _canonical(text) if len(text) <= CANONICAL_BYTES else _OF_BYTES + _hash(text.data)


def matches(recorded: str, arguments: Arguments) -> bool:
    """Whether a recorded digest is that of these arguments. What was recorded of its bytes is not parsed."""
    text = arguments_json(arguments)
    return recorded == (_OF_BYTES + _hash(text.data) if recorded.startswith(_OF_BYTES) else _canonical(text))


def version_of(recorded: str) -> Literal[1, 2]:
    """The format version of an event that holds this digest."""
    return BYTES_DIGEST_VERSION if recorded.startswith(_OF_BYTES) else FORMAT_VERSION


def _canonical(text: Json) -> str:
    canonical = json.dumps(text.load(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return _hash(canonical.encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]

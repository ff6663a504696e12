"""What a run is started with, read from the JSON of its object when it starts, and dropped after that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from workflow_operator.resources.run import RunSpec, ScriptSource


class _Metadata(msgspec.Struct):
    uid: str
    labels: dict[str, str] | None = None


class _Spec(msgspec.Struct):
    script: Any = None
    scriptFrom: Any = None  # noqa: N815
    entrypoint: Any = None
    input: msgspec.Raw = msgspec.Raw(b"null")
    suspend: Any = None


class _Object(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


_DECODER = msgspec.json.Decoder(_Object)


@dataclass(frozen=True, slots=True)
class Start:
    """``input`` is JSON text, not looked into yet; None is no argument. Either ``script`` or ``script_from`` is set."""

    uid: str
    labels: dict[str, str]
    script: str | None
    script_from: ScriptSource | None
    entrypoint: str | None
    input: bytes | None
    suspend: bool = False


def read_start(data: bytes) -> Start:
    """From the JSON of the whole object.

    Raises:
        ValueError: the spec cannot be read; the text says why.
    """
    try:
        found = _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested deeper than can be followed") from error
    spec = found.spec
    try:
        read = RunSpec.model_validate(
            {
                "script": spec.script,
                "scriptFrom": spec.scriptFrom,
                "entrypoint": spec.entrypoint,
                "suspend": spec.suspend,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if read.script is None and read.script_from is None:
        raise ValueError("neither script nor scriptFrom is set")
    value = bytes(spec.input)
    return Start(
        uid=found.metadata.uid,
        labels=found.metadata.labels or {},
        script=read.script,
        script_from=read.script_from,
        entrypoint=read.entrypoint,
        input=None if value == b"null" else without_html_escapes(value),
        suspend=bool(read.suspend),
    )


def without_html_escapes(text: bytes) -> bytes:
    """JSON as its author wrote it: the API server sends each of ``<``, ``>``, ``&`` as six bytes, as Go does.

    Otherwise a value would count six times what it has.
    """
    if b"\\u00" not in text:
        return text
    # An escaped backslash before u003c makes it no escape. 0xFF occurs in no UTF-8.
    text = text.replace(rb"\\", b"\xff")
    for escape, character in ((rb"\u003c", b"<"), (rb"\u003e", b">"), (rb"\u0026", b"&")):
        text = text.replace(escape, character)
    return text.replace(b"\xff", rb"\\")

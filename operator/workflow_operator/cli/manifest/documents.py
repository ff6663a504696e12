"""Reads a file as kubectl does: JSON, or documents of YAML. Pure.

Everything is a copy of what kubectl does with a file before it sends it (sigs.k8s.io/yaml over goyaml.v2), so that
local mode runs what a cluster would be given. Of two keys with one name the last one counts, there as here. Two
differences remain: bytes that are no UTF-8 are refused, where kubectl sends marks in their places; and libyaml, being
newer, takes the escape ``\\/`` and an empty value of a tag before a comma, which goyaml refuses.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, Final

from workflow_operator.cli.manifest import scalars
from workflow_operator.cli.manifest.scalars import Unreadable
from workflow_operator.cli.manifest.yaml_reader import MAX_DEPTH, Document, YamlReader
from workflow_operator.history.errors import InvalidInput
from workflow_operator.history.values import well_formed

_BLANKS: Final = " \t\r\n\v\f\x85\xa0"
_ENCODINGS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    b"": "utf-8",
}


def read(data: bytes) -> list[Document]:
    """The documents of a file, without the empty ones.

    Raises:
        InvalidInput: kubectl would refuse the file, or cannot be meant; the text says where and why.
    """
    documents: list[Document] = []
    data = _utf8(data)
    if data.lstrip(_BLANKS.encode("ascii", "ignore")).startswith(b"{"):
        documents, data = _json_stream(data)
    try:
        documents += [YamlReader(first_line).document(part) for first_line, part in _parts(data)]
    except RecursionError as error:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels") from error
    return [document for document in documents if document.value is not None]


def _utf8(data: bytes) -> bytes:
    mark = next(mark for mark in _ENCODINGS if data.startswith(mark))
    try:
        return data.removeprefix(mark).decode(_ENCODINGS[mark]).encode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInput(f"line {line}: not {_ENCODINGS[mark].upper()} text; save the file as UTF-8") from error


def _json_stream(data: bytes) -> tuple[list[Document], bytes]:
    """The objects of a JSON file, and what is left to be read as YAML: all of it, if it is not JSON after all."""
    text = data.decode()
    found: list[Document] = []
    at = 0
    while rest := text[at:].lstrip(_BLANKS):
        at = len(text) - len(rest)
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return found, rest.encode()
        found.append(Document(_in_order(value, 0)))
    return found, b""


def json_value(text: str) -> Any:
    """One value of JSON, as the API server would hold it.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return _in_order(_DECODER.decode(text), 0)
    except RecursionError as error:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _json_number(text: str) -> int | float:
    try:
        return scalars.number(int(text) if text.lstrip("-").isdigit() and len(text) <= 20 else float(text))
    except Unreadable as error:
        raise InvalidInput(str(error)) from error


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_int=_json_number, parse_float=_json_number, parse_constant=_no_number)


def _in_order(value: Any, depth: int) -> Any:
    """With the keys of all objects in order, as the API server stores them."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {well_formed(name): _in_order(value[name], depth + 1) for name in sorted(value)}
    if isinstance(value, list):
        return [_in_order(each, depth + 1) for each in value]
    return well_formed(value) if isinstance(value, str) else value


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number of its first line, from 0; text) of each document, cut at the lines that begin with ``---``."""
    begin, part = 0, bytearray()
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n")):
        if line.startswith(b"---"):
            rest = line[3:].strip()
            if rest and not rest.startswith(b"#"):
                raise InvalidInput(
                    f"line {number + 1}: behind --- only a comment may stand, found "
                    f"{rest[:40].decode(errors='replace')!r}"
                )
            if part:
                yield begin, bytes(part)
                begin, part = number + 1, bytearray()
                continue
        if not part:
            begin = number
        part += line.removesuffix(b"\r") + b"\n"
    if part:
        yield begin, bytes(part)

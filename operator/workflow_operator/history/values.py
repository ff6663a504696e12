"""A JSON value that is carried and not looked into: raw bytes, checked once where they come in.

A script decides how large its values are, and what reads them serves every other script too: parsed, a value takes up
to 26 times its bytes in memory. So input, memory, output and results stay as they came, from the sandbox to the object.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, ClassVar

import msgspec

from workflow_operator.history.errors import InvalidInput, NotSerializable, PayloadTooLarge

# The JSON parsers of the readers give up near 200 levels; a status or a page that embeds a value adds some.
MAX_NESTING = 100


class Json:
    """A JSON value as its text in UTF-8. ``Json(data)`` checks nothing: for what a trusted store holds.

    ``len()`` is the number of bytes, which is how values are counted everywhere. Two are equal if their texts are.
    """

    NULL: ClassVar[Json]

    __slots__ = ("data",)
    data: bytes

    def __init__(self, data: bytes) -> None:
        object.__setattr__(self, "data", data)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} of a Json cannot be set")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"Json({self.data!r})"

    @classmethod
    def of(cls, value: Any) -> Json:
        """The compact JSON of plain Python data; what :meth:`checked` mends is mended.

        Raises:
            NotSerializable: it has none (NaN, a cycle, another type), or is nested deeper than MAX_NESTING levels.
        """
        try:
            text = _COMPACT.encode(value)
        except (ValueError, TypeError) as error:
            raise NotSerializable(f"a value has no JSON form that can be stored: {error}") from error
        except RecursionError:
            raise _too_deep("a value") from None
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = well_formed(text).encode()
        if not isinstance(value, str):
            _check_depth_and_numbers(data, "a value")
        return cls(data)

    @classmethod
    def checked(cls, data: bytes | memoryview, what: str, max_bytes: int | None = None) -> Json:
        """Text that an untrusted side sent as JSON, checked in linear time. It is told as ``what`` in errors.

        A lone half of a surrogate pair, which has no UTF-8 form, becomes U+FFFD.

        Raises:
            PayloadTooLarge: more than ``max_bytes`` bytes; looked at before anything else.
            NotSerializable: not JSON in UTF-8, nested deeper than MAX_NESTING levels, or a number that no reader holds.
        """
        if max_bytes is not None and len(data) > max_bytes:
            raise PayloadTooLarge(f"{what} has {len(data)} bytes as JSON; expected at most {max_bytes}")
        data = bytes(data)
        if _SMALL.fullmatch(data):
            return cls(data)
        if not data.isascii() or b"\\" in data:
            try:
                str(data, "utf-8")
            except UnicodeDecodeError as error:
                raise NotSerializable(f"{what} is not JSON in UTF-8: {error}") from error
            data = without_lone_surrogates(data)
        try:
            _SYNTAX.decode(data)
        except ValueError as error:
            raise NotSerializable(f"{what} is not JSON: {error}") from error
        except RecursionError:
            raise _too_deep(what) from None
        _check_depth_and_numbers(data, what)
        return cls(data)

    def __len__(self) -> int:
        return len(self.data)

    def load(self) -> Any:
        """The value, parsed: only for what is small, or looked into.

        Raises:
            InvalidInput: no value that a reader could follow; only if it was not checked.
        """
        if nesting(self.data) > MAX_NESTING:
            raise InvalidInput(f"a stored value is nested deeper than {MAX_NESTING} levels")
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"a stored value is not JSON: {error}") from error

    def text(self, most_characters: int) -> str:
        """The text for people, cut and marked where it is longer."""
        # A character has at most four bytes.
        shown = self.data[: 4 * most_characters + 4].decode(errors="replace")
        return shown if len(shown) <= most_characters else shown[: most_characters - 1] + "…"


Json.NULL = Json(b"null")

_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# Most values of markers: nothing is to be looked for in them.
_SMALL = re.compile(rb"-?(?:0|[1-9][0-9]{0,30})|\"[ !#-\[\]-~]{0,100}\"|null|true|false")
_SYNTAX = msgspec.json.Decoder(msgspec.Raw)


def well_formed(text: str) -> str:
    """Halves that lie side by side become one character again, a lone one becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def nesting(data: bytes, most: int = MAX_NESTING) -> int:
    """How many levels of arrays and objects this JSON has; ``most`` + 1 for more than ``most``, and for no JSON."""
    if not (opened := data.count(b"[") + data.count(b"{")):
        return 0
    if opened == 1:
        # A bracket that is the only one and does not begin the value stands in a string.
        return int(data.lstrip(b" \t\r\n")[:1] in (b"[", b"{"))
    brackets = _outside_strings(data).translate(_ONE_KIND, _NO_BRACKETS)
    # Each pass takes away what holds nothing: a level, and in most values nearly all of the brackets.
    for level in range(_FLAT):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            # What is left was never closed.
            return most + 1 if outer else level
        brackets = outer
    if brackets.count(b"[") * 2 != len(brackets):
        return most + 1
    return min(max(accumulate(memoryview(brackets.translate(_STEPS)).cast("b"), initial=_FLAT)), most + 1)


_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")  # one down, one up
_FLAT = 4
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def _outside_strings(data: bytes) -> bytes:
    if b"\\" in data:
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    return b" ".join(data.split(b'"')[::2])


def _check_depth_and_numbers(data: bytes, what: str) -> None:
    if nesting(data) > MAX_NESTING:
        raise _too_deep(what)
    if len(data) < _MOST_DIGITS and b"e" not in data and b"E" not in data:
        return
    shapes = data.translate(_SHAPES)
    if any(shape in shapes for shape in _MAYBE_TOO_LARGE):
        for number in _NUMBER.findall(_outside_strings(data)):
            if float(number) in _INFINITE:
                raise NotSerializable(f"{what} holds a number larger than 1.8e308, which JSON readers cannot hold")


def _too_deep(what: str) -> NotSerializable:
    return NotSerializable(
        f"{what} is nested deeper than {MAX_NESTING} levels of arrays and objects, which no history holds; "
        "pass a flatter one"
    )


# A quick look first, faster than any regular expression: a number needs such a part to be too large, and few texts have
# one.
_MOST_DIGITS = 300
_MAYBE_TOO_LARGE = (b"e111", b"e+111", b"1" * _MOST_DIGITS)
_SHAPES = bytes.maketrans(b"0123456789E", b"1111111111e")
_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INFINITE = (float("inf"),)


def without_lone_surrogates(data: bytes) -> bytes:
    """JSON in which each escape of a lone half of a surrogate pair is U+FFFD, as in V8's toWellFormed."""
    if b"\\" not in data or not _ESCAPED_HALF.search(data):
        return data
    # 0xFE and 0xFF are no UTF-8: they stand for what is no escape of a lone half, so that every step is done in C.
    data = data.replace(rb"\\", b"\xff")
    data = _ESCAPED_PAIR.sub(b"\xfe\\1\xfe\\2", data)
    data = _ESCAPED_HALF.sub("\N{REPLACEMENT CHARACTER}".encode(), data)
    return data.replace(b"\xfe", rb"\u").replace(b"\xff", rb"\\")


_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_ESCAPED_PAIR = re.compile(rb"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")

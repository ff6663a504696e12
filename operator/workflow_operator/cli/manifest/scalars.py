"""What a word of YAML means to kubectl: the rules of goyaml.v2, then those of JSON in Go. Pure.

kubectl reads YAML with sigs.k8s.io/yaml: between YAML 1.1 and 1.2, and unlike PyYAML in both directions. ``9:30:00`` is
text, ``1e3`` and ``0o17`` are numbers, a date is text, and ``n`` is false.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Mapping
from datetime import date
from typing import Final

Scalar = str | int | float | bool | None

_PREFIX: Final = "tag:yaml.org,2002:"
_BINARY: Final = _PREFIX + "binary"
_TIMESTAMP: Final = _PREFIX + "timestamp"
_RESOLVED: Final[dict[str, type]] = {
    _PREFIX + "bool": bool,
    _PREFIX + "int": int,
    _PREFIX + "float": float,
    _PREFIX + "null": type(None),
    _TIMESTAMP: date,
}

_NAN: Final = math.nan
_INFINITY: Final = math.inf
_WORDS: Final[Mapping[str, Scalar]] = {"": None} | {
    word: value
    for value, words in (
        (True, "y Y yes Yes YES true True TRUE on On ON"),
        (False, "n N no No NO false False FALSE off Off OFF"),
        (None, "~ null Null NULL"),
        (_NAN, ".nan .NaN .NAN"),
        (_INFINITY, ".inf .Inf .INF +.inf +.Inf +.INF"),
        (-_INFINITY, "-.inf -.Inf -.INF"),
    )
    for word in words.split(" ")
}

_INT: Final = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]{0,19})")
_SIGNED_BITS: Final = re.compile(r"0b[-+][01]{1,63}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"([Tt ]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})([.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
_BASES: Final = {"x": 16, "b": 2, "o": 8}

_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)
_FLOAT32_DIGITS: Final = 9
_WITHOUT_EXPONENT: Final = range(-4, 6)


class Unreadable(ValueError):
    """A word that kubectl refuses; the text says which, and why."""


def scalar(text: str, tag: str | None, plain: bool) -> Scalar:
    """What a scalar of YAML stands for.

    Args:
        tag: its long form (``tag:yaml.org,2002:int``) or ``!own``; None where it has none.
        plain: it stands without quotes, and not as a block.

    Raises:
        Unreadable: the text is not what its tag says.
    """
    if tag is None:
        return _implied(text) if plain else text
    if tag == _BINARY:
        return _from_base64(text)
    if tag == _TIMESTAMP and _is_timestamp(text):
        return text
    if tag not in _RESOLVED:
        return text
    found, wanted = _implied(text), _RESOLVED[tag]
    if wanted is float and type(found) is int and found in _INT64:
        return float(found)
    if type(found) is wanted:
        return found
    raise Unreadable(f"{text[:40]!r} is tagged !!{tag.removeprefix(_PREFIX)}, and is none")


def number(value: float) -> int | float:
    """The number that the API server makes of one: whole numbers of 64 bits are integers.

    Raises:
        Unreadable: JSON has no such number (NaN, infinity).
    """
    if not math.isfinite(value):
        raise Unreadable(f"{_key_of_float(value)} is no number in JSON; put it in quotes")
    if isinstance(value, int):
        return value if value in _INT64 else float(value)
    return int(value) if value.is_integer() and int(value) in _INT64 else value


def key(value: Scalar) -> str:
    """The name in JSON that a key becomes: ``yes`` is ``true``, ``0x10`` is ``16``.

    Raises:
        Unreadable: null, or a whole number above 64 bits with sign.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _key_of_float(value)
    if value is None or value not in _INT64:
        raise Unreadable(f"{'null' if value is None else value} cannot be a key; put it in quotes")
    return str(value)


def _implied(text: str) -> Scalar:
    """Without a tag and without quotes. Only a word that begins like one is looked at as a number."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-0123456789":
        return _as_number(text, text.replace("_", ""))
    if text[0] == "." and _FLOAT.fullmatch(text):
        return _as_float(text, text)
    return text


def _as_number(text: str, digits: str) -> Scalar:
    if (found := _INT.fullmatch(digits)) is not None:
        sign, body = found.groups()
        base = _BASES.get(body[1:2].lower(), 8 if body[0] == "0" else 10)
        value = int(body[2:] if body[1:2].isalpha() else body, base)
        if sign == "-":
            value = -value
        if value in _INT64 or (not sign and value in _UINT64):
            return value
    if _FLOAT.fullmatch(digits):
        return _as_float(text, digits)
    return int(digits[2:], 2) if _SIGNED_BITS.fullmatch(digits) else text


def _as_float(text: str, digits: str) -> Scalar:
    """A number too large for 64 bits of floating point stays text."""
    value = float(digits)
    return value if math.isfinite(value) else text


def _is_timestamp(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    try:
        date(int(found[1]) or 4, int(found[2]), int(found[3]))
    except ValueError:
        return False
    if not found[4]:
        return True
    in_a_day = int(found[5]) <= 23 and int(found[6]) <= 59 and int(found[7]) <= 59
    # Kept to, as kubectl does: a blank before the time, and no zone behind it; or neither.
    return in_a_day and (found[4][0] == " ") == (found[9] is None)


def _from_base64(text: str) -> str:
    try:
        data = base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"{text[:40]!r} is tagged !!binary, and is no base64: {error}") from error
    # Go writes one mark for each byte that is no UTF-8, Python's own replacement one for several.
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))


def _key_of_float(value: float) -> str:
    """As Go's ``FormatFloat(value, 'g', -1, 32)``: the shortest text that names the same number of 32 bits."""
    narrow = _float32(value)
    if not math.isfinite(narrow):
        return ".nan" if math.isnan(narrow) else ".inf" if narrow > 0 else "-.inf"
    candidates = (f"{narrow:.{digits}e}" for digits in range(_FLOAT32_DIGITS))
    text = next(text for text in candidates if _float32(float(text)) == narrow)
    mantissa, _, exponent = text.partition("e")
    if int(exponent) not in _WITHOUT_EXPONENT:
        return text
    digits = len(mantissa.lstrip("-").replace(".", ""))
    return f"{narrow:.{max(digits - 1 - int(exponent), 0)}f}"


def _float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)

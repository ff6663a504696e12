"""Reads a body within a bound, of what it is once it is decoded. Pure."""

from __future__ import annotations

import zlib
from typing import Any, Final

ACCEPTED: Final = "gzip, deflate"
_GZIP_BITS: Final = 31
_ZLIB_BITS: Final = 15
_RAW_BITS: Final = -15


class TooLarge(Exception):
    """There is more of it than allowed."""


class BadBody(Exception):
    """It is not what its Content-Encoding says."""


class Body:
    """Takes a body as it comes. At most ``max_bytes`` of it are kept, also of one that grows when it is decoded.

    ``encoding``: its Content-Encoding; one that is not known is left as it is.
    """

    def __init__(self, max_bytes: int, encoding: str) -> None:
        named = encoding.strip().lower()
        self.decodes = named in ("gzip", "x-gzip", "deflate")
        self._max = max_bytes
        self._data = bytearray()
        # Of deflate the first two bytes tell which of two forms it has.
        self._inflate: Any = zlib.decompressobj(_GZIP_BITS) if self.decodes and named != "deflate" else None
        self._head = b""

    def feed(self, data: bytes) -> None:
        """Raises TooLarge, BadBody."""
        if self.decodes:
            data = self._decoded(data)
        if len(self._data) + len(data) > self._max:
            raise TooLarge
        self._data += data

    def done(self) -> bytes:
        """All of it. Raises BadBody where the end is missing."""
        if self._head and (self._inflate is None or not self._inflate.eof):
            raise BadBody("it ends in the middle of what is encoded")
        return bytes(self._data)

    def _decoded(self, data: bytes) -> bytes:
        if len(self._head) < 2:
            before, self._head = self._head, (self._head + data)[:2]
            if self._inflate is None:
                if len(self._head) < 2:
                    return b""
                data = before + data
                self._inflate = zlib.decompressobj(_ZLIB_BITS if _is_zlib(self._head) else _RAW_BITS)
        if data and self._inflate.eof:
            # It would be kept, and is no part of the body.
            raise BadBody("it goes on behind the end of what is encoded")
        try:
            # One byte more than may be kept tells that there is too much.
            decoded: bytes = self._inflate.decompress(data, self._max - len(self._data) + 1)
        except zlib.error as error:
            raise BadBody(str(error)) from error
        if self._inflate.unused_data:
            raise BadBody("it goes on behind the end of what is encoded")
        return decoded


def _is_zlib(head: bytes) -> bool:
    """Whether it begins as RFC 1950 says; some servers leave these two bytes out."""
    return head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0

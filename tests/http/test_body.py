"""A body is bounded by what it is once it is decoded."""

from __future__ import annotations

import gzip
import zlib

import pytest

from workflow_operator.http.body import BadBody, Body, TooLarge

TEXT = b"the answer " * 50


def read(data: bytes, encoding: str, most: int = len(TEXT), pieces: int = 7) -> bytes:
    body = Body(most, encoding)
    for start in range(0, len(data), pieces):
        body.feed(data[start : start + pieces])
    return body.done()


def raw_deflate(data: bytes) -> bytes:
    packed = zlib.compressobj(wbits=-15)
    return packed.compress(data) + packed.flush()


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), "X-GZIP"),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2, 7, 10_000])
def test_it_is_read_whole(data: bytes, encoding: str, pieces: int) -> None:
    assert read(data, encoding, pieces=pieces) == TEXT
    with pytest.raises(TooLarge):
        read(data, encoding, most=len(TEXT) - 1, pieces=pieces)


def test_what_is_not_known_is_left_as_it_is() -> None:
    assert read(b"\x00\x01", "br") == b"\x00\x01"


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_nothing_is_nothing(encoding: str) -> None:
    assert read(b"", encoding) == b""


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(TEXT)[:-9], "gzip"),
        (gzip.compress(TEXT)[:5], "gzip"),
        (b"no gzip at all", "gzip"),
        (b"no deflate at all", "deflate"),
        (gzip.compress(TEXT) + b"x" * 100, "gzip"),
    ],
)
def test_what_is_not_what_it_says(data: bytes, encoding: str) -> None:
    with pytest.raises(BadBody):
        read(data, encoding)


def test_a_bomb_takes_no_more_than_the_bound() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    body = Body(1000, "gzip")
    with pytest.raises(TooLarge):
        body.feed(bomb)
    assert len(body._data) <= 1001

"""Reads a list of runs on, in pages as large as the objects in it allow.

Each page costs the API server a look at all objects behind it: in pages of 25, a list of 100,000 takes it minutes. But
objects may have 1.5 MiB each, and a page is in memory at once. So the first page is small, and the next ones are what
its objects allow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from aiohttp import ClientError, ClientResponse
from yarl import URL

from workflow_operator.resources.sighting import JsonObject, Page, page, shows_end

logger = logging.getLogger(__name__)

FIRST_OBJECTS: Final = 25
"""In a page whose objects may have any size."""
MOST_OBJECTS: Final = 500
"""In a page of small ones; kubectl asks for as many."""
WANTED_BYTES: Final = 4 * 1024 * 1024
MAX_BYTES: Final = 40 * 1024 * 1024
"""Of a page that turns out to be larger nothing is read on: FIRST_OBJECTS of it are asked for again."""
PASSED_ON: Final = 500
"""So many objects that are not over, or up to a page more, are handed to kopf at once."""

Get = Callable[[URL], AbstractAsyncContextManager[ClientResponse]]


class Told(Protocol):
    """Who is told of a list while it is read."""

    def heard(self, watch: str, /) -> None: ...

    def over(self, runs: list[JsonObject], /) -> None: ...

    def listed(self, watch: str, /) -> None: ...


def next_limit(objects: int, size: int) -> int:
    """How many objects to ask for behind a page of so many, and of so many bytes. Pure."""
    return max(FIRST_OBJECTS, min(MOST_OBJECTS, WANTED_BYTES * objects // max(1, size)))


async def read_on(body: bytes, url: URL, get: Get, told: Told) -> JsonObject:
    """A list as kopf takes it, from the page that it asked for and those behind it, without the runs that are over.

    These are told of here, in the order of the list: kopf would make a task of each. What goes wrong behind the first
    page is kopf's to meet, who gets the list up to there and asks for the rest.

    Raises:
        ValueError: the first page is no list.
    """
    going_on: list[JsonObject] = []
    found, size = page(body), len(body)
    del body
    while True:
        for fault in found.faults:
            logger.error("left out of the list of runs: %s", fault)
        items, more = found.page["items"], found.page["metadata"].get("continue")
        over: list[JsonObject] = []
        for run in items:
            (over if shows_end(run) else going_on).append(run)
        told.over(over)
        told.heard(url.path)
        if not more:
            told.listed(url.path)
            break
        if len(going_on) >= PASSED_ON:
            break
        limit = str(next_limit(len(items), size))
        following = await _read(get, url.update_query({"limit": limit, "continue": more}))
        if following is None:
            break
        found, size = following
    return found.page | {"items": going_on}


async def _read(get: Get, url: URL) -> tuple[Page, int] | None:
    """A page and its bytes; None if there was none, or one that is too large."""
    body = bytearray()
    try:
        async with get(url) as response:
            if response.status != 200:
                return None
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    return None
        return page(bytes(body)), len(body)
    except (ClientError, TimeoutError, ValueError) as error:
        logger.info("the list of runs is asked for again behind %d bytes of a page: %s", len(body), error)
        return None

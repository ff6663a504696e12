"""Waiting for a condition, never for a time; and whether a process has ended, which tests wait for most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, deadline_seconds: float = 10.0) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, deadline_seconds: float = 10.0) -> T: ...
async def eventually(condition: Callable[[], Awaitable[T]] | Callable[[], T], *, deadline_seconds: float = 10.0) -> T:
    """The first true value of ``condition``.

    Raises:
        AssertionError: still false at the deadline; names the last value.
    """
    value: T | None = None
    try:
        async with asyncio.timeout(deadline_seconds):
            while True:
                result = condition()
                value = await result if isinstance(result, Awaitable) else result
                if value:
                    return value
                await asyncio.sleep(0.01)
    except TimeoutError as error:
        raise AssertionError(f"not within {deadline_seconds} s; last value: {value!r}") from error


def ended(pid: int | None) -> bool:
    """Whether a process is over. A reader of /proc sees its end in three ways, the last between open and read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True

"""Finds the addresses of names, so that no namespace keeps another one from finding them."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

_THREADS: Final = 64
_OWN_THREADS: Final = 2
AT_ONCE: Final = 4
"""Look-ups of one namespace that may be under way, those included that nobody waits for any more: one takes as long as
the servers of DNS that its name leads to, which anybody can have for himself. Others wait for them."""


class Names:
    """The system's resolver, in threads of its own: those of the event loop are for others too."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "names")
        self._own_threads = ThreadPoolExecutor(_OWN_THREADS, "own names")
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    def close(self) -> None:
        for threads in (self._threads, self._own_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def of(self, namespace: str) -> AbstractResolver:
        """What looks names up for a namespace; for the operator itself with an empty one."""
        return _Resolver(self, namespace)

    async def look_up(self, namespace: str, host: str, port: int, family: socket.AddressFamily) -> list[Any]:
        """What getaddrinfo gives, once the namespace has a place for it. Raises OSError: there is no such name."""
        place = self._places[namespace]
        await place.acquire()
        loop = asyncio.get_running_loop()

        def ended(_: Future[Any]) -> None:
            # In a thread, and perhaps after the loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(place.release)

        threads = self._threads if namespace else self._own_threads
        work = threads.submit(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        # Not when somebody stops waiting: the thread goes on.
        work.add_done_callback(ended)
        return await asyncio.wrap_future(work)


class _Resolver(AbstractResolver):
    def __init__(self, names: Names, namespace: str) -> None:
        self._names = names
        self._namespace = namespace

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._names.look_up(self._namespace, host, port, family)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=of, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for of, _, protocol, _, address in found
        ]

    async def close(self) -> None: ...

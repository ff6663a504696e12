"""A client that is made for the first request: to load what it needs takes longer than most local runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workflow_operator.http.egress import Egress
from workflow_operator.http.request import Answer, Request

if TYPE_CHECKING:
    from workflow_operator.http.client import HttpClient


class LateClient:
    """An HttpClient; ``egress`` and ``own`` as there."""

    def __init__(self, egress: Egress, own: Callable[[], tuple[str, ...]]) -> None:
        self._egress = egress
        self._own = own
        self._client: HttpClient | None = None

    async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
        from workflow_operator.http.client import HttpClient

        self._client = self._client or HttpClient(self._egress, self._own)
        return await self._client.send(request, namespace, max_bytes)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

"""The outside world of scripts, without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workflow_operator.http import Answer, NoAnswer, Request


def answering(
    body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[Request], Answer]:
    named = {name.lower(): [value] for name, value in (headers or {}).items()}
    return lambda request: Answer(str(request.url), status, "OK", named, body, False)


class FakeHttp:
    """Answers as it is told to, and keeps what was asked."""

    def __init__(self, answer: Callable[[Request], Answer] | None = None) -> None:
        self.answer = answer or answering()
        self.requests: list[Request] = []

    async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
        self.requests.append(request)
        return self.answer(request)


class NoHttp:
    """A network that nobody is connected to."""

    async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
        raise NoAnswer("there is no network here")

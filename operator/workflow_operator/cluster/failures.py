"""What an answer of the API server other than success means, as one of the project's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from workflow_operator.history.errors import Conflict, InvalidInput, NotFound, Unavailable, WorkflowError


class Request(NamedTuple):
    """What was asked, in the words of RBAC: ``patch``, ``workflowruns/status``, ``team-a/nightly``."""

    verb: str
    resource: str
    target: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.target}".rstrip()


class Answer(NamedTuple):
    """The status code, headers and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def failure(request: Request, answer: Answer) -> WorkflowError:
    """The error for an answer whose status is not 2xx."""
    status = _status_object(answer.body)
    said = str(status.get("message") or answer.body[:500].decode(errors="replace") or "no message")
    text = f"{request}: the API server answered {answer.status}: {said}"
    match answer.status:
        case 401:
            return Unavailable(f"{text}. The credentials are not accepted; check the token or client certificate")
        case 403:
            return Unavailable(f"{text}. Grant verb {request.verb} on {request.resource} to this account")
        case 404:
            return NotFound(f"{text}")
        case 409:
            return Conflict(f"{text}")
        case 422 if not (status.get("details") or {}).get("causes"):
            # A JSON patch whose test failed has no causes; the only test is the one of the uid.
            return Conflict(f"{request}: the object was deleted and created again")
        case code if code in (408, 429) or code >= 500:
            return Unavailable(text, retry_after=_retry_after(answer.headers, status))
        case _:
            return InvalidInput(text)


def _status_object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _retry_after(headers: Mapping[str, str], status: Mapping[str, Any]) -> float | None:
    asked = headers.get("Retry-After") or (status.get("details") or {}).get("retryAfterSeconds")
    try:
        return float(asked) if asked is not None else None
    except ValueError:
        # The header may hold a date; Kubernetes never sends one, a proxy before it might.
        return None

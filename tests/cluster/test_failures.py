"""What each answer of the API server means."""

import json
from typing import Any

import pytest

from workflow_operator.cluster.failures import Answer, Request, failure
from workflow_operator.history.errors import Conflict, InvalidInput, NotFound, Unavailable

PATCH = Request("patch", "workflowruns/status", "team-a/nightly")


def answer(code: int, headers: dict[str, str] | None = None, **status: Any) -> Answer:
    return Answer(code, headers or {}, json.dumps({"kind": "Status", "message": "said", **status}).encode())


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (answer(400), InvalidInput, "the API server answered 400: said"),
        (answer(401), Unavailable, "check the token or client certificate"),
        (answer(403), Unavailable, "Grant verb patch on workflowruns/status to this account"),
        (answer(404), NotFound, "the API server answered 404: said"),
        (answer(408), Unavailable, "the API server answered 408: said"),
        (answer(409), Conflict, "the API server answered 409: said"),
        (answer(413), InvalidInput, "the API server answered 413: said"),
        (answer(422, details={"causes": [{"field": "status"}]}), InvalidInput, "answered 422: said"),
        (answer(422, details={}), Conflict, "the object was deleted and created again"),
        (answer(422), Conflict, "the object was deleted and created again"),
        (answer(429), Unavailable, "the API server answered 429: said"),
        (answer(500), Unavailable, "the API server answered 500: said"),
        (answer(504), Unavailable, "the API server answered 504: said"),
        (Answer(502, {}, b"<html>bad gateway"), Unavailable, "answered 502: <html>bad gateway"),
        (Answer(503, {}, b""), Unavailable, "answered 503: no message"),
        (Answer(503, {}, b"[]"), Unavailable, "answered 503: []"),
    ],
)
def test_an_answer_means_one_error(given: Answer, kind: type[Exception], words: str) -> None:
    error = failure(PATCH, given)
    assert type(error) is kind
    assert str(error).startswith("patch workflowruns/status team-a/nightly: ")
    assert words in str(error)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (answer(429, {"Retry-After": "7"}), 7.0),
        (answer(429, details={"retryAfterSeconds": 3}), 3.0),
        (answer(503, {"Retry-After": "2"}, details={"retryAfterSeconds": 3}), 2.0),
        (answer(503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
        (answer(500), None),
    ],
)
def test_the_wait_that_the_server_asks_for_is_told(given: Answer, seconds: float | None) -> None:
    error = failure(PATCH, given)
    assert isinstance(error, Unavailable)
    assert error.retry_after == seconds

"""HTTP requests on behalf of scripts: which may be sent, and what comes back, within bounds."""

from workflow_operator.http.body import TooLarge
from workflow_operator.http.egress import Egress, rules
from workflow_operator.http.late import LateClient
from workflow_operator.http.request import (
    MAX_URL_CHARACTERS,
    SAFE,
    Answer,
    InvalidRequest,
    NoAnswer,
    Request,
    checked,
    url_of,
)

__all__ = [
    "MAX_URL_CHARACTERS",
    "SAFE",
    "Answer",
    "Egress",
    "InvalidRequest",
    "LateClient",
    "NoAnswer",
    "Request",
    "TooLarge",
    "checked",
    "rules",
    "url_of",
]

"""Values that the words of a command give: JSON, or a file of JSON or YAML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from workflow_operator.cli.manifest import json_value, read
from workflow_operator.history.errors import InvalidInput


def given_value(option: str, text: str) -> Any:
    """The value of an option: JSON, or ``@FILE``, where ``@-`` is standard input.

    Raises:
        InvalidInput: it is neither.
    """
    if not text.startswith("@"):
        try:
            return json_value(text)
        except InvalidInput as error:
            raise InvalidInput(f"{option} {text[:80]!r}: expected JSON, or @FILE: {error}") from error
    try:
        data = sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
        documents = read(data)
    except (OSError, InvalidInput) as error:
        raise InvalidInput(f"{option} {text}: cannot be read: {error}") from error
    if len(documents) > 1:
        raise InvalidInput(f"{option} {text}: expected one document, found {len(documents)}")
    return documents[0].value if documents else None

"""What settings cannot be together, and that the complaint names variables and no values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow_operator.app.settings import InvalidSettings, Settings

PREFIX = "WORKFLOW_OPERATOR_"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"nats_user": "a"}, "NATS_USER is set, and WORKFLOW_OPERATOR_NATS_PASSWORD_FILE is not; expected both"),
        ({"nats_password_file": "file"}, "NATS_PASSWORD_FILE is set, and WORKFLOW_OPERATOR_NATS_USER is not"),
        (
            {"nats_credentials_file": "file", "nats_nkey_seed_file": "file"},
            "NATS_CREDENTIALS_FILE and WORKFLOW_OPERATOR_NATS_NKEY_SEED_FILE: each is a login to NATS; expected one",
        ),
        (
            {"nats_user": "a", "nats_password_file": "file", "nats_url": "nats://b:hidden@nats"},
            "NATS_USER and WORKFLOW_OPERATOR_NATS_URL: each is a login to NATS; expected one of them",
        ),
        ({"nats_tls_key_file": "file"}, "NATS_TLS_KEY_FILE is set, and WORKFLOW_OPERATOR_NATS_TLS_CERTIFICATE_FILE"),
        ({"nats_credentials_file": "missing"}, "NATS_CREDENTIALS_FILE: expected the path of a file, and there is none"),
        ({"watch_namespaces": "team-*"}, "WATCH_NAMESPACES: Expected `str` matching"),
        (
            {"nats_inbox_prefix": "all.>", "nats_url": "nats://b:hidden@nats"},
            "NATS_INBOX_PREFIX: Expected `str`",
        ),
        ({"nats_inbox_prefix": "_INBOX.a\n"}, "NATS_INBOX_PREFIX: Expected `str`"),
        (
            {"executor_slots": "many", "crash_limit": "0"},
            "EXECUTOR_SLOTS: Expected `int`; WORKFLOW_OPERATOR_CRASH_LIMIT: Expected `int` >= 1",
        ),
        ({"shutdown_seconds": "nan"}, "SHUTDOWN_SECONDS: Expected `float` >= 0"),
        ({"log_level": "info"}, "LOG_LEVEL: Invalid enum value"),
        (
            {"executor_slots": 0, "crash_limit": 0},
            "EXECUTOR_SLOTS: Expected `int` >= 1; WORKFLOW_OPERATOR_CRASH_LIMIT: Expected",
        ),
    ],
)
def test_refuses(
    given: dict[str, Any], complaint: str, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = {"file": str(file), "missing": str(tmp_path / "missing")}
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name.upper(), paths.get(str(value), str(value)))
    with pytest.raises(InvalidSettings) as caught:
        Settings()
    assert str(caught.value).startswith(PREFIX + complaint)
    assert "hidden" not in str(caught.value)


def test_reads_numbers_as_they_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"executor_slots": " 3 ", "crash_limit": "5.0", "park_after_seconds": "2"}.items():
        monkeypatch.setenv(PREFIX + name.upper(), text)
    settings = Settings()
    assert (settings.executor_slots, settings.crash_limit, settings.park_after_seconds) == (3, 5, 2.0)


def test_hands_the_login_to_the_connection(file: Path) -> None:
    settings = Settings(nats_user="a", nats_password_file=file, nats_inbox_prefix="_INBOX.a", nats_url="x, y")
    options = settings.connection("operator")
    assert (options.user, options.password_file, options.inbox_prefix) == ("a", file, "_INBOX.a")
    assert options.servers == ("x", "y")

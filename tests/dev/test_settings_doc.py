from dataclasses import fields

from dev import settings_doc
from workflow_operator.app.settings import Settings


def test_the_page_is_what_the_settings_say() -> None:
    assert settings_doc.PAGE.read_text() == settings_doc.page(), "run: make docs"


def test_every_setting_says_what_it_means() -> None:
    assert [field.name for field in fields(Settings) if not field.metadata["description"]] == []

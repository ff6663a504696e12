"""Which instance the words of a command name."""

import uuid

import click
import pytest

from workflow_operator.cli.look import Wanted, wanted

ID = str(uuid.UUID(int=5))


@pytest.mark.parametrize(
    ("name", "namespace", "found"),
    [
        ("default/hello", None, Wanted("default", "hello")),
        ("hello", "default", Wanted("default", "hello")),
        ("default/hello", "default", Wanted("default", "hello")),
        (ID, None, Wanted(None, ID)),
        (f"default/{ID}", None, Wanted("default", ID)),
        (ID, "default", Wanted("default", ID)),
    ],
)
def test_what_is_asked_for(name: str, namespace: str | None, found: Wanted) -> None:
    assert wanted(name, namespace, local=False) == found
    assert (found.instance_id is None) == (found.name == "hello")


@pytest.mark.parametrize(
    ("name", "namespace", "words"),
    [
        ("hello", None, "'hello': expected NAMESPACE/NAME, as default/hello, or an instance ID"),
        ("/hello", None, "expected NAMESPACE/NAME"),
        ("default/", None, "expected NAMESPACE/NAME"),
        ("", "default", "expected NAMESPACE/NAME"),
        ("a/b", "c", "names the namespace a, and --namespace names c"),
    ],
)
def test_what_names_no_instance(name: str, namespace: str | None, words: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        wanted(name, namespace, local=False)
    assert words in str(refused.value)

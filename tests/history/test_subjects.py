from __future__ import annotations

from uuid import UUID

import pytest

from workflow_operator.history import InstanceKey
from workflow_operator.history.errors import InvalidInput

ID = UUID("0aaaaaaa-1111-4111-8111-111111111111")


@pytest.mark.parametrize("namespace", ["a", "0", "team-a", "a" * 63, "x--y", "kube-system"])
def test_a_dns_label_makes_a_subject(namespace: str) -> None:
    key = InstanceKey(namespace, ID)
    assert key.history_subject == f"instances.history.{namespace}.{ID}"
    assert key.status_subject == f"instances.status.{namespace}.{ID}"
    assert InstanceKey.of_subject(key.history_subject) == InstanceKey.of_subject(key.status_subject) == key


@pytest.mark.parametrize(
    "namespace",
    ["", "a.b", "*", ">", "a b", "A", "-a", "a-", "a_b", "a" * 64, "ä", "a\n", "\na", "a\x00", "²", "a/b", "$SYS"],
    ids=ascii,
)
def test_anything_else_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidInput, match="expected a DNS label"):
        InstanceKey(namespace, ID)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "instances",
        f"a.{ID}",
        "instances.history.a",
        "instances.history.a.17",
        f"instances.history.a.{{{ID}}}",
        f"instances.history.a.urn:uuid:{ID}",
        f"instances.history.a.{ID.hex}",
        f"instances.history.a.{str(ID).upper()}",
        f"instances.history.A.{ID}",
        f"instances.history..{ID}",
    ],
)
def test_no_two_subjects_are_one_instance(subject: str) -> None:
    with pytest.raises(InvalidInput):
        InstanceKey.of_subject(subject)

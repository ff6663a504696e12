"""The one grammar of subjects.

instances.history.<namespace>.<instanceID>    the events of an instance
instances.status.<namespace>.<instanceID>     its status
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from workflow_operator.history.errors import InvalidInput

HISTORY = "instances.history"
STATUS = "instances.status"

# A DNS label (RFC 1123): it holds neither a dot nor a wildcard, so no two namespaces can share a subject.
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_namespace(name: str) -> bool:
    """Whether a namespace may have this name: a DNS label."""
    return _DNS_LABEL.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, order=True)
class InstanceKey:
    """Names an instance.

    Raises:
        InvalidInput: the namespace is not a DNS label.
    """

    namespace: str
    instance_id: UUID

    def __post_init__(self) -> None:
        if not is_namespace(self.namespace):
            raise InvalidInput(
                f"namespace {self.namespace!r}: expected a DNS label "
                "(lower-case letters, digits and '-', at most 63), as Kubernetes names namespaces"
            )

    def __str__(self) -> str:
        return f"{self.namespace}/{self.instance_id}"

    @property
    def history_subject(self) -> str:
        return self.subject(HISTORY)

    @property
    def status_subject(self) -> str:
        return self.subject(STATUS)

    def subject(self, prefix: str) -> str:
        return f"{prefix}.{self.namespace}.{self.instance_id}"

    @classmethod
    def of_subject(cls, subject: str) -> InstanceKey:
        """Read the last two tokens of any subject of the grammar."""
        try:
            _, namespace, instance_id = subject.rsplit(".", 2)
            key = cls(namespace, UUID(instance_id))
        except ValueError as error:
            raise InvalidInput(f"subject {subject!r}: expected <prefix>.<namespace>.<instanceID>") from error
        if str(key.instance_id) != instance_id:
            # UUID reads several spellings; one of them is the subject's, or two subjects would be one instance.
            raise InvalidInput(f"subject {subject!r}: expected the instance ID as {key.instance_id}")
        return key

"""SECURITY.md says what is so."""

import re

import yaml

from tests.security.page import PROJECT, TEXT, section
from workflow_operator.javascript.worker.syscalls import ARCHITECTURES


def rules() -> set[tuple[str, str, tuple[str, ...]]]:
    """Group, resource and verbs of each rule of the operator."""
    documents = yaml.safe_load_all((PROJECT / "charts" / "workflow-operator" / "files" / "rbac.yaml").read_text())
    (role,) = (each for each in documents if each["kind"] == "ClusterRole")
    return {
        (group or "core", resource, tuple(sorted(rule["verbs"])))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_table_of_rights_is_the_operators_role() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", section("Rights"), re.MULTILINE)
    told = {(group, resource, tuple(sorted(verbs.split(", ")))) for group, resource, verbs in rows if group != "Group"}
    assert told == rules()


def test_the_number_of_system_calls_is_about_what_is_told() -> None:
    (told,) = re.findall(r"lists about (\d+) calls", TEXT)
    assert all(abs(len(each.calls) - int(told)) <= 2 for each in ARCHITECTURES.values())

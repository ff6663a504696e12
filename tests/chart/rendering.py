"""Renders the chart, and makes of what comes out a text that a person can compare."""

import difflib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dev.chart import CHART
from tests.chart.scenarios import NAMESPACE, RELEASE

Object = dict[str, Any]
CLUSTER_SCOPED = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
WORKLOADS = {"Deployment", "StatefulSet"}


class RenderingFailed(Exception):
    """What helm said."""


def helm_template(helm: Path, values: Mapping[str, Any], *flags: str) -> list[Object]:
    """The objects, and raises RenderingFailed."""
    command = [helm, "template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", "-", *flags]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RenderingFailed(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def find(objects: Iterable[Object], kind: str, name: str = "") -> Object:
    """The one object of this kind whose name ends so."""
    [found] = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return found


def pods(objects: Iterable[Object]) -> list[Object]:
    """A Pod for each workload as its controller would make it, and those that are in the chart themselves."""
    made = []
    for each in objects:
        if each["kind"] == "Pod":
            made.append(each)
        if each["kind"] in WORKLOADS:
            template = each["spec"]["template"]
            spec = dict(template["spec"])
            for claim in each["spec"].get("volumeClaimTemplates", []):
                name = claim["metadata"]["name"]
                volume = {"name": name, "persistentVolumeClaim": {"claimName": name}}
                spec["volumes"] = [*spec["volumes"], volume]
            metadata = {**template["metadata"], "name": f"{each['metadata']['name']}-0", "namespace": NAMESPACE}
            made.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return made


def texts(objects: Iterable[Object]) -> dict[str, str]:
    """Each object as text below its identity, without what other tests hold or what differs each time."""
    found = {}
    for each in objects:
        metadata = each["metadata"]
        identity = f"{each['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        assert identity not in found, identity
        found[identity] = yaml.safe_dump(_abridged(each), width=120)
    return dict(sorted(found.items()))


def _abridged(each: Object) -> Object:
    each = json.loads(json.dumps(each))
    kind = each["kind"]
    if kind == "CustomResourceDefinition":
        each.pop("spec")
    if kind in ("ClusterRole", "Role") and any("configmaps" in rule["resources"] for rule in each["rules"]):
        each["rules"] = "as in files/rbac.yaml"
    if kind == "PrometheusRule":
        each["spec"] = "as in files/alerts.yaml"
    if kind == "Secret":
        each["data"] = sorted(each["data"])
    if kind == "ConfigMap":
        for name, text in each.get("data", {}).items():
            if name == "nats.conf":
                each["data"][name] = re.sub(r"permissions: .*", "permissions: ...", text)
            if name.endswith(".json"):
                each["data"][name] = "as in files/dashboard.json"
        settings = [name for name in each.get("data", {}) if re.match("WORKFLOW_OPERATOR_(?!NATS|WATCH)", name)]
        for name in settings:
            del each["data"][name]
    if kind in WORKLOADS:
        annotations = each["spec"]["template"]["metadata"]["annotations"]
        for name in annotations:
            if name.startswith("checksum/"):
                annotations[name] = "..."
    labels = each["metadata"].get("labels", {})
    for name in ("app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by"):
        labels.pop(name, None)
    return dict(each)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What another scenario renders otherwise: objects that come, go or change."""
    parts = []
    for identity in sorted(before.keys() | after.keys()):
        old, new = before.get(identity), after.get(identity)
        if old is None or new is None:
            word = "gone" if new is None else "new"
            parts.append(f"=== {identity}: {word}\n{new or ''}")
        elif old != new:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=2, lineterm="")
            kept = [re.sub(r"^@@.*", "@@", line) for line in lines if not line.startswith(("---", "+++"))]
            parts.append(f"=== {identity}: changed\n" + "\n".join(kept) + "\n")
    return "\n".join(parts)

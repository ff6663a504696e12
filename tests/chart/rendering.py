"""Renders the chart, and makes of what comes out a text that a person can compare."""

import difflib
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dev.chart import CHART
from tests.chart.scenarios import NAMESPACE, RELEASE

Object = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
CLUSTER_SCOPED = {
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
WORKLOADS = {"Deployment", "StatefulSet"}


class RenderingFailed(Exception):
    """What helm said."""


def helm_template(helm: Path, values: Mapping[str, Any], *flags: str, chart: Path = CHART) -> list[Object]:
    """The objects. Raises RenderingFailed."""
    arguments = ["template", RELEASE, str(chart), "--namespace", NAMESPACE, "--values", "-", *flags]
    text = run_helm(helm, *arguments, values=json.dumps(values))
    return [each for each in yaml.load_all(text, LOADER) if each]


def run_helm(helm: Path, *arguments: str, values: str = "") -> str:
    """What `helm *arguments` prints, with `values` for its standard input. Raises RenderingFailed."""
    done = subprocess.run([helm, *arguments], input=values, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RenderingFailed(f"{done.stdout}\n{done.stderr}")
    return done.stdout


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
        found[identity] = yaml.dump(_abridged(each), Dumper=DUMPER, width=10_000)
    return dict(sorted(found.items()))


def _abridged(each: Object) -> Object:
    each = json.loads(json.dumps(each))
    for name in ("app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by"):
        each["metadata"].get("labels", {}).pop(name, None)
    if shorten := _SHORTER.get(each["kind"]):
        shorten(each)
    return dict(each)


def _crd(each: Object) -> None:
    each.pop("spec")


def _role(each: Object) -> None:
    if any("configmaps" in rule["resources"] for rule in each["rules"]):
        each["rules"] = "as in files/rbac.yaml"


def _alerts(each: Object) -> None:
    each["spec"] = "as in files/alerts.yaml"


def _secret(each: Object) -> None:
    each["data"] = sorted(each["data"])


def _config_map(each: Object) -> None:
    data = each.get("data", {})
    for name, text in list(data.items()):
        if name == "nats.conf":
            data[name] = re.sub(r"permissions: .*", "permissions: ...", text).splitlines()
        if name.endswith(".json"):
            data[name] = "as in files/dashboard.json"
        if re.match("WORKFLOW_OPERATOR_(?!NATS|WATCH)", name):
            del data[name]


def _workload(each: Object) -> None:
    annotations = each["spec"]["template"]["metadata"]["annotations"]
    annotations |= dict.fromkeys((name for name in annotations if name.startswith("checksum/")), "...")


_SHORTER: dict[str, Callable[[Object], None]] = {
    "CustomResourceDefinition": _crd,
    "ClusterRole": _role,
    "Role": _role,
    "PrometheusRule": _alerts,
    "Secret": _secret,
    "ConfigMap": _config_map,
    "Deployment": _workload,
    "StatefulSet": _workload,
}


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

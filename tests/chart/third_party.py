"""The CRDs of others whose objects the chart can create, from the Go modules that they publish, each by its hash."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dev.go_build import find_go, go_environment, required_version
from dev.tools import SOURCE, cache_folder


@dataclass(frozen=True)
class Crds:
    """Files of one version of a module; `checksum` is what go.sum would hold."""

    module: str
    version: str
    checksum: str
    files: tuple[str, ...]


_PROMETHEUS = "example/prometheus-operator-crd/monitoring.coreos.com_"
ALL = (
    Crds(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (f"{_PROMETHEUS}podmonitors.yaml", f"{_PROMETHEUS}prometheusrules.yaml"),
    ),
    Crds(
        "github.com/kedacore/keda/v2",
        "v2.18.0",
        "h1:ttR223fii/4QJ0YvtrhcWHaEoezByb/t5CeFopjl6EI=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    ),
)


def download(crds: Crds, folder: Path) -> list[Path]:
    """The files, from Go's module cache; `folder` is empty and stays so."""
    go = find_go(required_version((SOURCE / "go.mod").read_text()), cache_folder(), print)
    command = [go, "mod", "download", "-json", f"{crds.module}@{crds.version}"]
    # The checksum here stands in for the one of a database that need not be reachable.
    environment = {**go_environment(os.environ), "GONOSUMDB": "*"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "{}")
    assert found.get("Sum") == crds.checksum, f"{crds.module}@{crds.version}: {found.get('Error', found)} {done.stderr}"
    return [Path(found["Dir"]) / file for file in crds.files]

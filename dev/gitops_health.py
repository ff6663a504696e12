"""What GitOps tools make of objects, by their own code: Flux by kstatus and its variables, Argo CD by Lua."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dev.go_build import Progress, build, find_go, required_version
from dev.tools import build_once, cache_folder, cache_key

SOURCE = Path(__file__).with_name("gitopshealth")
SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"
BUILD_FLAGS = ("-buildvcs=false", "-trimpath", "-ldflags=-s -w")


class Verdict(NamedTuple):
    """What a tool says of an object: a status of that tool, and why."""

    status: str
    message: str


class GitOpsHealth:
    """The program that judges; `program` is what built() returns."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def kstatus(self, objects: Iterable[dict[str, Any]]) -> list[Verdict]:
        """InProgress, Current, Failed or Terminating of each object. Raises CalledProcessError."""
        return self._judge(["kstatus"], objects)

    def argocd(self, health_check: Path, objects: Iterable[dict[str, Any]]) -> list[Verdict]:
        """Healthy, Progressing, Degraded or Suspended of each object, as the Lua file says. Raises CalledProcessError.

        Argo CD judges an object that is being deleted by itself, unless it is a hook of its own.
        """
        return self._judge(["argocd", str(health_check)], objects)

    def substituted(self, manifest: Mapping[str, Any], variables: Mapping[str, str], *, strict: bool) -> dict[str, Any]:
        """The object that Flux applies for a manifest in a Kustomization with ``postBuild.substitute``.

        Flux leaves alone what is annotated or labelled so. Raises CalledProcessError, in the strict mode also for a
        variable that is not given.
        """
        metadata = manifest["metadata"]
        if "disabled" in (metadata.get(kind, {}).get(SUBSTITUTE) for kind in ("annotations", "labels")):
            return dict(manifest)
        flags = ["--strict"] if strict else []
        command = [str(self._program), "substitute", *flags, *(f"{name}={value}" for name, value in variables.items())]
        text = yaml.safe_dump(manifest, sort_keys=False, width=10_000)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        found: dict[str, Any] = yaml.safe_load(done.stdout)
        return found

    def _judge(self, arguments: list[str], objects: Iterable[dict[str, Any]]) -> list[Verdict]:
        lines = "".join(json.dumps(each) + "\n" for each in objects)
        done = subprocess.run([self._program, *arguments], input=lines, capture_output=True, text=True, check=True)
        return [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]


def built(progress: Progress = print) -> Path:
    """The program; the first call compiles it, in two minutes of one core, or less. Raises BuildError."""
    cache = cache_folder()
    parts = [(SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")]

    def compile_to(file: Path) -> None:
        progress("building the checks of health for GitOps (kstatus, Lua), once for this machine")
        go = find_go(required_version((SOURCE / "go.mod").read_text()), cache, progress)
        build(go, SOURCE, BUILD_FLAGS, file, lambda line: progress(line) if _counts(line) else None)

    return build_once(
        cache / f"gitopshealth-{cache_key([*parts, ' '.join(BUILD_FLAGS).encode()])}", compile_to, progress
    )


def _counts(line: str) -> bool:
    """Whether it says how far a build is; its first words are for one of ten minutes."""
    return line.startswith(("fetching the sources: ", "compiled "))

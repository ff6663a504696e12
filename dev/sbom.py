"""The image's bill of materials in CycloneDX; runs in the Dockerfile's build stage, with the standard library only."""

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

Component = dict[str, Any]

APPLICATION = "workflow-operator"
ENGINE = "py_mini_racer/libmini_racer.so"


def text(site: Path, reports: Iterable[Path], packages: Mapping[str, str], v8_version: str) -> str:
    """CycloneDX 1.6 as JSON: the same bytes for the same content.

    `site` is where the image's distributions are installed, `reports` are what pip wrote when it installed them, and
    `packages` the entries of Debian's data base by name.
    """
    hashes = wheel_hashes(json.loads(report.read_text(encoding="utf-8")) for report in reports)
    found = [distribution_component(each, hashes) for each in distributions(path=[str(site)])]
    [application] = [each for each in found if each["name"] == APPLICATION]
    parts = [each for each in found if each is not application]
    parts += [debian_component(stanza) for stanza in packages.values()]
    parts += [python_component(), v8_component(v8_version, (site / ENGINE).read_bytes())]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**application, "type": "application"}},
        "components": sorted(parts, key=lambda each: str(each["bom-ref"])),
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def wheel_hashes(reports: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 of each wheel that pip's installation reports name, by the distribution's normalised name."""
    return {
        normalised(item["metadata"]["name"]): item["download_info"]["archive_info"]["hash"].removeprefix("sha256=")
        for report in reports
        for item in report["install"]
    }


def distribution_component(distribution: Distribution, hashes: Mapping[str, str]) -> Component:
    """A component with the version and licence it has by its own metadata, and the hash of its wheel."""
    name = normalised(distribution.name)
    component = _component(name, distribution.version, f"pkg:pypi/{name}@{distribution.version}")
    component["hashes"] = [{"alg": "SHA-256", "content": hashes[name]}]
    if licence := _licence(distribution):
        component["licenses"] = [licence]
    return component


def debian_component(stanza: str) -> Component:
    """A component from an entry of dpkg's data base."""
    fields = dict(re.findall(r"^(Package|Version|Architecture): (.*)$", stanza, re.MULTILINE))
    name, version = fields["Package"], fields["Version"]
    quoted = version.replace("+", "%2B").replace(":", "%3A")
    return _component(name, version, f"pkg:deb/debian/{name}@{quoted}?arch={fields['Architecture']}")


def python_component() -> Component:
    version = platform.python_version()
    return _component("cpython", version, f"pkg:generic/cpython@{version}")


def v8_component(version: str, library: bytes) -> Component:
    component = _component("v8", version, f"pkg:generic/v8@{version}")
    component["description"] = f"In {ENGINE} of mini-racer, whose hash this is"
    component["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(library).hexdigest()}]
    return component


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _licence(distribution: Distribution) -> dict[str, Any] | None:
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return {"expression": metadata["License-Expression"]}
    names = [each.split(" :: ")[-1] for each in metadata.get_all("Classifier", []) if each.startswith("License ::")]
    # Some put the licence's whole text here.
    if "License" in metadata and "\n" not in metadata["License"].strip():
        names.insert(0, metadata["License"].strip())
    names = [name for name in names if name]
    return {"license": {"name": names[0]}} if names else None

"""The image's bill of materials."""

import json
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from dev import sbom

DEBIAN = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u1\nDescription: C\n"
DIGEST = "a" * 64


def install(site: Path, name: str, version: str, *lines: str) -> Distribution:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines])
    )
    return Distribution.at(folder)


def report(*names: str) -> dict[str, object]:
    """What pip writes, of the parts that are read: 23.0 has the hash in this form only, later ones in this one too."""
    archive = {"hash": f"sha256={DIGEST}"}
    return {"install": [{"metadata": {"name": name}, "download_info": {"archive_info": archive}} for name in names]}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    install(site, "workflow-operator", "1.2.3", "License-Expression: Apache-2.0")
    install(site, "Mini.Racer", "0.1", "License: ISC")
    (site / "py_mini_racer").mkdir()
    (site / sbom.ENGINE).write_bytes(b"\x7fELF")
    return site


def document(site: Path, tmp_path: Path) -> str:
    reports = []
    for name in ("workflow_operator", "mini-racer"):
        reports.append(tmp_path / f"{name}.json")
        reports[-1].write_text(json.dumps(report(name)))
    return sbom.text(site, reports, {"libc6": DEBIAN}, "14.0.1")


def test_it_holds_to_the_schema(site: Path, tmp_path: Path) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document(site, tmp_path)) is None


def test_it_names_python_s_debian_s_and_v8_s_parts(site: Path, tmp_path: Path) -> None:
    parsed = json.loads(document(site, tmp_path))
    assert parsed["metadata"]["component"]["purl"] == "pkg:pypi/workflow-operator@1.2.3"
    assert [component["purl"] for component in parsed["components"]] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64",
        f"pkg:generic/cpython@{sys.version.split()[0]}",
        "pkg:generic/v8@14.0.1",
        "pkg:pypi/mini-racer@0.1",
    ]
    assert parsed["components"][3]["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]


def test_the_same_content_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    assert document(site, tmp_path) == document(site, tmp_path)


def test_a_distribution_that_no_report_names_is_an_error(site: Path, tmp_path: Path) -> None:
    install(site, "smuggled", "1")
    with pytest.raises(KeyError, match="smuggled"):
        document(site, tmp_path)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: MIT", "License: not this"], [{"expression": "MIT"}]),
        (["License: BSD", "Classifier: License :: OSI Approved :: MIT License"], [{"license": {"name": "BSD"}}]),
        (
            ["License: a whole", "        text", "Classifier: License :: OSI Approved :: MIT License"],
            [{"license": {"name": "MIT License"}}],
        ),
        ([], None),
    ],
)
def test_the_licence_is_the_distribution_s_own_word(tmp_path: Path, lines: list[str], licence: object) -> None:
    install(tmp_path, "part", "1", *lines)
    [found] = distributions(path=[str(tmp_path)])
    assert sbom.distribution_component(found, {"part": DIGEST}).get("licenses") == licence

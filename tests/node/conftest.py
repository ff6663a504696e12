"""A real node with the image and a release of the chart; for `make e2e-node`, and in no other way collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev import image
from dev.node.choose import Cluster, choose
from dev.node.packages import MissingError
from tests.node.release import CHART, PREVIOUS_TAG, Release

ORDER = ("node", "image", "install", "sandbox", "requests", "crashes", "uninstall", "upgrade", "tenants")
"""The files' order: the first ones share a release, which `uninstall` removes."""

_setup_seconds: dict[str, float] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker("node")
    here.sort(key=lambda item: ORDER.index(item.path.stem.removeprefix("test_")))
    items[:] = [item for item in items if item not in here] + here


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print each step's time beside its name, its fixtures' included."""
    if report.when == "setup":
        _setup_seconds[report.nodeid] = report.duration
    if report.when == "call" and report.outcome in ("passed", "failed"):
        seconds = _setup_seconds[report.nodeid] + report.duration
        word, letter = report.outcome, "." if report.passed else "F"
        return word, letter, f"{word.upper()} in {seconds:.1f} s"
    return None


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print to the terminal, also while output is captured."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def print_now(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {text}", end="", flush=True)

    return print_now


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, say: Callable[[str], None]) -> Iterator[Cluster]:
    try:
        chosen = choose(say)
    except MissingError as error:
        pytest.skip(str(error))
    with chosen as node:
        yield node
        if request.session.testsfailed:
            say(node.diagnosis())
            for kind in ("pods", "events"):
                say(node.kubectl("get", kind, "--all-namespaces", "--sort-by=.metadata.creationTimestamp"))


@pytest.fixture(scope="session")
def images(node: Cluster, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]) -> Path:
    """The image under its own tag and under that of the previous version, and the one of NATS, are on the node.

    Returns the archive of the image.
    """
    folder = tmp_path_factory.mktemp("images")
    archives = [
        image.build(f"{image.NAME}:{tag}", folder / f"{tag}.tar", progress=say)
        for tag in (image.version(), PREVIOUS_TAG)
    ]
    for archive in (*archives, image.nats_archive(say)):
        node.load(archive)
    return archives[0]


@pytest.fixture(scope="session")
def chart(node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as it is published: packed, and the same until the end of the tests."""
    folder = tmp_path_factory.mktemp("chart")
    node.helm("package", str(CHART), f"--destination={folder}")
    (packed,) = folder.iterdir()
    return packed


@pytest.fixture(scope="session")
def release(node: Cluster, images: Path, chart: Path) -> Release:
    """The chart with its defaults and a NATS of its own, watching all namespaces; runs go into another namespace."""
    made = Release(node, chart, "workflows", "team")
    made.install()
    return made

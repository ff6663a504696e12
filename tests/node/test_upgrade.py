"""From the previous version of the chart and the image to this one, while runs are in flight."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import image
from dev.node.choose import Cluster
from tests.node.release import CHART, PREVIOUS_TAG, Release
from tests.node.test_crashes import assert_all_complete, start

(PACKED,) = Path(__file__).with_name("previous").glob("*.tgz")
GRANTS = ("files/nats-permissions.yaml", "files/rbac.yaml")


@pytest.fixture(scope="module")
def previous_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the previous version, in which the roles may do what they need today.

    The image under the previous tag holds the program of today.
    """
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(PACKED) as packed:
        packed.extractall(folder, filter="data")
    chart = folder / CHART.name
    for grants in GRANTS:
        (chart / grants).write_text((CHART / grants).read_text())
    return chart


@pytest.fixture(scope="module")
def upgraded(node: Cluster, images: Path, chart: Path, previous_chart: Path) -> Iterator[Release]:
    """A release of the previous version."""
    release = Release(node, chart, "workflows", "team")
    release.install(f"--set=image.tag={PREVIOUS_TAG}", chart=previous_chart)
    yield release
    release.uninstall()


def image_tags(release: Release) -> set[str]:
    components = ("operator", "projector")
    pods = [pod for component in components for pod in release.pods(component)]
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods}


def test_a_rolling_upgrade_loses_and_repeats_nothing(upgraded: Release) -> None:
    assert image_tags(upgraded) == {PREVIOUS_TAG}
    names = start(upgraded)
    upgraded.install(f"--set=image.tag={image.version()}")
    driven = assert_all_complete(upgraded, names)
    assert any(len(executors) > 1 for executors in driven), "no run changed hands, so nothing was proved"
    assert image_tags(upgraded) == {image.version()}


def test_and_back_again(upgraded: Release) -> None:
    names = start(upgraded)
    upgraded.helm("rollback", upgraded.name, "1", "--wait", "--timeout=180s")
    assert_all_complete(upgraded, names)
    assert image_tags(upgraded) == {PREVIOUS_TAG}

"""Pods that go away while runs are in flight: no run is lost, and no recorded step is done again."""

from __future__ import annotations

from tests.e2e.scripts import STEPS, TICKING
from tests.e2e.world import JsonObject, assert_sound, drivers, transitions
from tests.node.release import Release, numbered

RUNS = 24


def start(release: Release, count: int = RUNS, prefix: str = "ticking") -> dict[str, JsonObject]:
    """Apply runs that take ten seconds and more, and wait until most of them are in the middle of it."""
    runs = numbered(count, {"script": TICKING}, prefix)
    release.apply(runs)

    def under_way() -> bool:
        found = [run for name, run in release.runs().items() if name in runs]
        assert not [run for run in found if run["status"].get("phase") == "Complete"], (
            "they were too quick for the test"
        )
        return sum(run["status"].get("phase") == "Running" for run in found) >= count / 2

    release.until(under_way, f"half of {count} runs are running", pause=0.2)
    return runs


def assert_all_complete(release: Release, names: dict[str, JsonObject]) -> list[list[str]]:
    """None lost, none repeated; returns who drove each run."""
    runs = release.ended(names, within=240)
    assert {name: run["status"]["phase"] for name, run in runs.items()} == dict.fromkeys(names, "Complete")
    assert {name: run["status"]["output"] for name, run in runs.items()} == dict.fromkeys(names, "done")
    histories = release.histories(runs.values())
    assert len(histories) == len(names)
    for history in histories.values():
        assert_sound(history)
        assert transitions(history) == STEPS
        assert history[-1].terminal
    return [drivers(history) for history in histories.values()]


def test_operators_killed_by_force_one_after_the_other(release: Release) -> None:
    before = release.wait_until_ready("operator", 2)
    names = start(release)
    for victim in before:
        release.delete_pod(victim, force=True)
    driven = assert_all_complete(release, names)
    assert any(len(executors) > 1 for executors in driven), "no run changed hands, so nothing was proved"
    assert not set(release.wait_until_ready("operator", 2)) & set(before)


def test_nats_deleted_and_back_with_its_data(release: Release) -> None:
    done = numbered(1, {"script": TICKING}, "before")
    release.apply(done)
    (first,) = release.ended(done).values()
    names = start(release)
    (server,) = release.ready("nats")
    release.delete_pod(server)
    release.wait_until_ready("nats", 1)
    assert_all_complete(release, names)
    (history,) = release.histories([first]).values()
    assert_sound(history)
    assert transitions(history) == STEPS
    release.wait_until_ready("operator", 2)
    release.wait_until_ready("projector", 2)


def test_projectors_scaled_from_one_to_three_under_load(release: Release) -> None:
    release.install("--set=projector.replicas=1")
    release.wait_until_ready("projector", 1)
    names = start(release)
    release.install("--set=projector.replicas=3")
    release.wait_until_ready("projector", 3)
    assert_all_complete(release, names)
    for run in release.ended(names).values():
        assert run["status"]["historySequence"] > 0
    release.install()
    release.wait_until_ready("projector", 2)

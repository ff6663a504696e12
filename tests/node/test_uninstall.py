"""Removing the chart: what stays, what goes, and that nothing hangs."""

from __future__ import annotations

import json

from tests.e2e.scripts import sleeper
from tests.e2e.world import assert_sound
from tests.node.release import Release, name_of, numbered, objects_of

CRDS = {
    f"customresourcedefinition.apiextensions.k8s.io/{name}.workflow-operator.dev"
    for name in ("workflowruns", "workflowsignals")
}
SLEEP = 20


def test_runs_survive_removing_and_installing_again(release: Release) -> None:
    names = numbered(3, {"script": sleeper(SLEEP)}, "sleeping")
    release.apply(names)
    release.until(
        lambda: all(run["status"].get("phase") == "Running" for name, run in release.runs().items() if name in names),
        "all are under way",
    )
    release.uninstall()
    assert names.keys() <= release.runs().keys()

    release.install()
    runs = release.ended(names)
    assert {run["status"]["phase"] for run in runs.values()} == {"Complete"}
    for history in release.histories(runs.values()).values():
        assert_sound(history)


def test_nothing_is_left_but_the_crds_and_the_claim(release: Release) -> None:
    release.uninstall()
    kinds = release.node.kubectl("api-resources", "--verbs=list,delete", "--output=name").split()
    stay = {*CRDS, f"persistentvolumeclaim/data-{release.name}-nats-0"}

    def left() -> set[str]:
        return set(objects_of(release.node, [kind for kind in kinds if not kind.startswith("events")], release.name))

    # What belongs to something else goes a moment after it.
    release.until(lambda: left() <= stay, f"no more is left than {stay}")
    assert left() == stay


def test_nothing_holds_a_run_by_a_finalizer(release: Release) -> None:
    runs = release.runs()
    assert runs
    assert [name for name, run in runs.items() if run["metadata"].get("finalizers")] == []
    release.in_team("delete", "workflowruns", "--all", "--timeout=60s")
    assert release.runs() == {}


def test_the_namespaces_can_be_deleted(release: Release) -> None:
    for namespace in (release.namespace, release.team):
        release.node.kubectl("delete", "namespace", namespace, "--timeout=90s")
    namespaces = json.loads(release.node.kubectl("get", "namespaces", "--output=json"))["items"]
    assert not {release.namespace, release.team} & {name_of(each) for each in namespaces}

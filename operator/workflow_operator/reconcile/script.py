"""Finds the source of a run's script."""

from __future__ import annotations

from workflow_operator.reconcile.desired import Problem
from workflow_operator.reconcile.ports import Cluster, JsonObject
from workflow_operator.resources.run import MAX_SCRIPT_CHARS, ConfigMapKey, WorkflowRun


async def find_script(cluster: Cluster, run: WorkflowRun) -> str | Problem:
    """The script's source, or why it cannot be had now.

    Raises:
        Unavailable: the API server does not answer.
    """
    if run.spec.script is not None:
        return run.spec.script
    assert run.spec.script_from is not None
    ref = run.spec.script_from.config_map_key_ref
    config_map = await cluster.config_map(run.metadata.namespace, ref.name)
    return script_in(config_map, run.metadata.namespace, ref)


def script_in(config_map: JsonObject | None, namespace: str, ref: ConfigMapKey) -> str | Problem:
    where = f"ConfigMap {namespace}/{ref.name}"
    if config_map is None:
        return Problem("ConfigMapNotFound", f"{where} does not exist; the run starts when it appears")
    script = (config_map.get("data") or {}).get(ref.key)
    if script is None:
        return Problem(
            "ConfigMapKeyNotFound", f"{where} has no key {ref.key!r} in data; the run starts when it appears"
        )
    if not 0 < len(script) <= MAX_SCRIPT_CHARS:
        return Problem(
            "InvalidScript",
            f"{where}, key {ref.key!r}: the script has {len(script)} characters; expected 1 to {MAX_SCRIPT_CHARS}. "
            "The run starts when that is mended",
            stalled=True,
        )
    return str(script)

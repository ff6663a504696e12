"""Finds the source of a run's script."""

from __future__ import annotations

from workflow_operator.reconcile.objects.ports import Cluster, JsonObject
from workflow_operator.reconcile.showing.desired import Problem
from workflow_operator.resources.binary import why_binary
from workflow_operator.resources.run import MAX_SCRIPT_CHARS, ConfigMapKey
from workflow_operator.resources.start import Start

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


async def find_script(cluster: Cluster, namespace: str, start: Start) -> str | Problem:
    """The script's source, or why it cannot be had now.

    Raises:
        Unavailable: the API server does not answer.
    """
    if start.script is not None:
        return start.script.removeprefix(_BYTE_ORDER_MARK)
    assert start.script_from is not None
    ref = start.script_from.config_map_key_ref
    config_map = await cluster.config_map(namespace, ref.name)
    return script_in(config_map, namespace, ref)


def script_in(config_map: JsonObject | None, namespace: str, ref: ConfigMapKey) -> str | Problem:
    where = f"ConfigMap {namespace}/{ref.name}"
    if config_map is None:
        return Problem("ConfigMapNotFound", f"{where} does not exist; the run starts when it appears")
    if ref.key in (binary := config_map.get("binaryData") or {}):
        return Problem(
            "InvalidScript",
            f"{where}: key {ref.key!r} is in binaryData, {why_binary(binary[ref.key])}. The run starts when that is "
            "mended",
            stalled=True,
        )
    script = (config_map.get("data") or {}).get(ref.key)
    if script is None:
        return Problem(
            "ConfigMapKeyNotFound", f"{where} has no key {ref.key!r} in data; the run starts when it appears"
        )
    script = str(script).removeprefix(_BYTE_ORDER_MARK)
    if not 0 < len(script) <= MAX_SCRIPT_CHARS:
        return Problem(
            "InvalidScript",
            f"{where}, key {ref.key!r}: the script has {len(script)} characters; expected 1 to {MAX_SCRIPT_CHARS}. "
            "The run starts when that is mended",
            stalled=True,
        )
    return script

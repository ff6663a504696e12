"""What local mode reads is what kubectl reads, to the letter."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.cli.readings import REFUSED, as_local_mode_reads, manifests, same

pytestmark = pytest.mark.integration

KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"


def as_kubectl_reads(texts: dict[str, bytes], folder: Path) -> dict[str, Any]:
    """``spec.input`` of each run by the name of its text, or REFUSED."""
    for number, text in enumerate(texts.values()):
        (folder / f"{number:04}.yaml").write_bytes(_named(text, f"n{number}"))
    done = subprocess.run(
        [KUBECTL, "label", "--local", "-f", folder, "x=y", "-o", "json"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    decoder, out, found, at = json.JSONDecoder(), done.stdout.decode(), {}, 0
    while at < len(out.rstrip()):
        item, at = decoder.raw_decode(out, at + len(out[at:]) - len(out[at:].lstrip()))
        for each in item["items"] if item["kind"] == "List" else [item]:
            if each["kind"] == "WorkflowRun":
                found[each["metadata"]["name"]] = each["spec"].get("input")
    return {name: found.get(f"n{number}", REFUSED) for number, name in enumerate(texts)}


def _named(text: bytes, name: str) -> bytes:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        text = text.replace("NAME".encode(encoding), name.encode(encoding))
    return text


def test_every_text_means_the_same(tmp_path: Path) -> None:
    texts = manifests()
    theirs = as_kubectl_reads(texts, tmp_path)
    ours = {name: as_local_mode_reads(text) for name, text in texts.items()}
    assert len(texts) > 400
    assert sum(value is not REFUSED for value in theirs.values()) > 350
    differing = {name: (theirs[name], ours[name]) for name in texts if not same(theirs[name], ours[name])}
    assert not differing, "\n".join(
        f"{name}: kubectl {pair[0]!r}, here {pair[1]!r}" for name, pair in differing.items()
    )

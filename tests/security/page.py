"""SECURITY.md, in parts."""

import re
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "SECURITY.md").read_text()


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def objects() -> dict[str, dict[str, Any]]:
    """The Kubernetes objects that it shows, by kind and name."""
    documents = [
        part for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) for part in yaml.safe_load_all(block)
    ]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in documents}

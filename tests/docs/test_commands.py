"""The commands that the pages show are commands, and the README's first run is the example it names."""

import re
import shlex
from pathlib import Path

import pytest

from workflow_operator.cli import main
from workflow_operator.cli.manifest import load

PROJECT = Path(__file__).parents[2]
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]
HEAD_OF_A_COMMAND = re.compile(r"^ {4}(?:\$ )?(?:\.venv/bin/)?(workflow-operator|make) .*$", re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def lines(page: Path, program: str) -> list[str]:
    return [found[0].strip() for found in HEAD_OF_A_COMMAND.finditer(page.read_text()) if found[1] == program]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_commands_are_taken(page: Path) -> None:
    for line in lines(page, "workflow-operator"):
        _, name, *words = shlex.split(re.split(r"[|<>;&]", line)[0], comments=True)
        if not name.startswith("-"):
            main.commands[name].make_context(name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_targets_are_in_the_makefile(page: Path) -> None:
    for line in lines(page, "make"):
        names = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
        assert set(names) <= TARGETS, line


def test_commands_are_found_at_all() -> None:
    readme = PROJECT / "README.md"
    assert ".venv/bin/workflow-operator run examples/hello.yaml" in lines(readme, "workflow-operator")
    assert "make venv" in lines(readme, "make")


def test_the_first_run_is_the_example(tmp_path: Path) -> None:
    shown = re.search(r"```yaml\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert shown
    (tmp_path / "hello.yaml").write_text(shown[1])
    assert load(tmp_path / "hello.yaml").run == load(PROJECT / "examples" / "hello.yaml").run


@pytest.mark.parametrize("example", sorted(PROJECT.glob("examples/*.yaml")), ids=lambda path: path.name)
def test_every_example_is_one_that_the_api_server_takes(example: Path) -> None:
    assert load(example).notes == ()

"""The hand-written pages name what the code knows, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from workflow_operator.history import EventType
from workflow_operator.history.errors import ScriptError, Thrown
from workflow_operator.resources.run import ConditionType, Phase

PROJECT = Path(__file__).parents[2]
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]
PRELUDE = PROJECT / "operator" / "workflow_operator" / "javascript" / "worker" / "prelude" / "globals.js"


def first_cells(page: str) -> set[str]:
    """The first cell of each row of the tables of a page, without marks."""
    text = (PROJECT / "docs" / page).read_text()
    return {cell.strip(" `") for cell in re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)}


def test_every_type_of_event_is_described() -> None:
    assert {str(kind) for kind in EventType} <= first_cells("architecture.md")


def test_every_error_of_a_script_is_described() -> None:
    names = {kind.__name__ for kind in ScriptError.__subclasses__() if kind is not Thrown}
    assert names <= first_cells("scripts.md")


def test_every_phase_is_described() -> None:
    cells = first_cells("workflowrun.md")
    assert [phase for phase in Phase if not any(cell.startswith(phase) for cell in cells)] == []


def test_every_condition_that_is_set_is_described() -> None:
    page = (PROJECT / "docs" / "workflowrun.md").read_text()
    assert [kind for kind in ConditionType if kind not in page] == []


def test_every_global_of_a_script_is_described() -> None:
    page = (PROJECT / "docs" / "scripts.md").read_text()
    source = PRELUDE.read_text()
    lists = re.findall(r"const (?:globals|later|never|missing) = ([{\[].*?\n?[}\]]);\n", source, re.DOTALL)
    assert len(lists) == 4
    given, later, never, missing = (re.sub(r"\s+", " ", text) for text in lists)
    names = re.findall(r"(\w+)(?=[,:\s])", re.sub(r": [^,]*", ":", given)) + re.findall(r"'(\w+)'", later)
    names += re.findall(r"\['(\w+)'", never) + re.findall(r"(\w+): '", missing)
    assert {"transition", "print", "waitForEvent", "setTimeout", "process", "Temporal"} <= set(names)
    assert [name for name in names if not re.search(rf"`{name}\b", page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def anchors(page: Path) -> set[str]:
    """What a link can name in a page: its headings as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text())
    ours = [(page.parent / target if target else page, anchor) for target, anchor in links if "://" not in target]
    assert [(target.name, anchor) for target, anchor in ours if anchor not in anchors(target)] == []

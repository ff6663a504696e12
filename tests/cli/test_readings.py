"""What kubectl 1.37 makes of the texts of :mod:`tests.cli.readings`; `test_kubectl` holds that this is so."""

import json
from pathlib import Path

import pytest

from tests.cli.readings import RUN, as_local_mode_reads, manifests, same
from workflow_operator.cli.manifest.yaml_reader import YamlReader
from workflow_operator.history.errors import InvalidInput

KNOWN = json.loads(Path(__file__).with_name("readings.json").read_text())


def test_every_text_is_known() -> None:
    assert list(KNOWN) == list(manifests())


def test_every_text_means_what_it_means_to_kubectl() -> None:
    found = {name: as_local_mode_reads(text) for name, text in manifests().items()}
    differing = {name: (KNOWN[name], found[name]) for name in KNOWN if not same(KNOWN[name], found[name])}
    assert not differing


def test_repetitions_by_aliases_cost_what_they_are_written_in() -> None:
    """A file of aliases of aliases, which would be a million million texts."""
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 14))
    reader = YamlReader(0)
    with pytest.raises(InvalidInput, match="almost only of repetitions by aliases"):
        reader.document(laughs.encode())
    assert reader.looked_at < 1_000_000


def test_the_manifest_of_the_table_is_one() -> None:
    assert as_local_mode_reads(RUN.encode()) == {"a": 1000}

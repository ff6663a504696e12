"""Which parts of the prelude a script gets."""

from __future__ import annotations

import pytest

from workflow_operator.javascript.worker import prelude


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("function main() { return 1 }", False),
        ("async function main() { await step.do('a', f) }", True),
        ("async function main() { await step\n  .sleep('a', 1) }", True),
        ("async function main() { const { do: doIt } = step; await doIt('a', f) }", True),
        ("function main() { step('x') }", True),
        ("function main(i) { return transition(step, i) }\nfunction step(i) { return i }", False),
        ("const step = (x) => x + 1; function main() { return step(1) }", False),
        ("async function main(steps) { for (const step of steps) log(step.name) }", False),
        ("async function main(all) { for (const step of all) log(step); await step.do('a', f) }", True),
        ("function main() { return fetchSync('http://a/') }", False),
        ("async function main() { await fetch('http://a/') }", True),
        ("const c = new AbortController()", True),
        ("throw new NonRetryableError('x')", True),
        ("uuid()", True),
        ("const steps = 1, restep = 2", False),
    ],
)
def test_what_is_done_durably_is_read_by_scripts_that_name_it(script: str, wanted: bool) -> None:
    assert prelude.wants_durable(script) is wanted

"""Scripts made by chance, and what is to become of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fakes.sandbox import Computing, ScriptBody, compute, fetch, finish, log, sleep, transition
from workflow_operator.history import Json
from workflow_operator.history.errors import Thrown
from workflow_operator.javascript.host import HostCall, LogLine

NAPS = (0.0, 0.01, 0.3, 2.5, 4.0, 7.0, 60.0)
WORK = (0.001, 0.03, 0.1, 0.3, 6.0)


@dataclass(frozen=True)
class Program:
    """What a script does, one after the other; it throws at the end or returns."""

    steps: Sequence[HostCall | LogLine | Computing]
    throws: bool

    def script(self, _: Any) -> ScriptBody:
        """Each step carries what was shown before it, a time or an answer: a replay that shows another one is found
        out."""
        shown = 0
        for step in self.steps:
            told = _dated(step, shown)
            given = yield told
            # Of an answer from outside, which no other is like.
            shown = given.load()["text"] if isinstance(given, Json) else given or shown
        if self.throws:
            raise Thrown("Error", "the end")
        return "returned"

    @property
    def calls(self) -> list[str]:
        """The names of the calls that are recorded: the first ``finish`` counts."""
        names = [step.name for step in self.steps if isinstance(step, HostCall)]
        return [name for place, name in enumerate(names) if name != "finish" or name not in names[:place]]

    @property
    def output(self) -> Any:
        """What it gives, unless it fails."""
        return next((step.arguments["output"] for step in self.steps if _finishes(step)), "returned")

    @property
    def fails(self) -> bool:
        return self.throws and not any(map(_finishes, self.steps))

    @property
    def lines(self) -> set[str]:
        return {step.text for step in self.steps if isinstance(step, LogLine)}


def _finishes(step: HostCall | LogLine | Computing) -> bool:
    return isinstance(step, HostCall) and step.name == "finish"


def _dated(step: HostCall | LogLine | Computing, shown: int) -> HostCall | LogLine | Computing:
    if isinstance(step, HostCall) and step.name == "transition":
        return transition(str(step.arguments["function"]), {"shown": shown})
    return step


def program(random: Random) -> Program:
    makes: Sequence[Callable[[int], HostCall | LogLine | Computing]] = (
        lambda number: transition(f"f{number}"),
        lambda number: transition(f"f{number}"),
        lambda _: sleep(random.choice(NAPS)),
        lambda _: compute(random.choice(WORK)),
        lambda number: log(f"line {number}"),
        lambda number: finish(number),
        lambda number: fetch("POST", f"http://a.example/{number}", body="{}"),
    )
    weights = (4, 4, 3, 3, 2, 1, 2)
    steps = [random.choices(makes, weights)[0](number) for number in range(random.randint(0, 9))]
    return Program(steps, throws=random.random() < 0.15)

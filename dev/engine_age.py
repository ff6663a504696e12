"""Says how old V8 is, and fails where it is too old and nobody has looked at that.

V8 comes with mini-racer, and so do its security fixes. While there is no newer mini-racer, somebody has to decide again
and again that the sandbox around V8 is enough: by a new ``looked_at`` and ``reason`` below.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date, timedelta

MOST_WEEKS = 26


@dataclass(frozen=True)
class Engine:
    """The pinned V8. ``released`` is the day of the browser release with this line of V8."""

    mini_racer: str
    v8: str
    released: date
    looked_at: date
    reason: str


ENGINE = Engine(
    mini_racer="0.14.1",
    v8="14.4.258.23",
    released=date(2026, 1, 13),
    looked_at=date(2026, 11, 26),
    reason="0.14.1 is the newest mini-racer; V8 runs without compilers, confined, for one namespace a process",
)


def problem(engine: Engine, installed: str, today: date) -> str | None:
    """What is to be done about the engine; None if nothing. Pure."""
    if installed != engine.mini_racer:
        return (
            f"mini-racer {installed} is installed, dev/engine_age.py tells of {engine.mini_racer}: write its V8 there"
        )
    due = max(engine.released, engine.looked_at) + timedelta(weeks=MOST_WEEKS)
    if today <= due:
        return None
    return (
        f"V8 {engine.v8} (mini-racer {engine.mini_racer}) is of {engine.released}, and was last looked at on "
        f"{engine.looked_at}: take a newer mini-racer, or say in dev/engine_age.py why this one is still good enough"
    )


def main() -> None:
    from importlib.metadata import version

    today = date.today()  # noqa: DTZ011 (a day more or less is no matter)
    print(f"V8 {ENGINE.v8}: {(today - ENGINE.released).days // 7} weeks old; {ENGINE.looked_at}: {ENGINE.reason}")
    if found := problem(ENGINE, version("mini-racer"), today):
        sys.exit(found)


if __name__ == "__main__":
    main()

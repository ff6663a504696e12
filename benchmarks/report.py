"""`make bench`: runs the benchmarks that have a target, and shows all figures beside their targets.

One table at the end, results/bench.json, and results/bench.svg with a bar for each figure and a line at its target.

    python -m benchmarks.report [--stored]
"""

from __future__ import annotations

import argparse
import html
import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.measure import RESULTS, shown
from benchmarks.targets import ALL, Results, Target

RUNS = {
    "cluster": ["--runs", "150", "--rounds", "2", "--alone", "60"],
    "engine": ["--runs", "200", "--rounds", "2", "--alone", "60"],
    "projector": ["1000"],
    "replay": ["--rounds", "1"],
    "startup": ["--rounds", "5"],
    "recovery": ["--rounds", "2"],
    "scale": [],
}
"""Short enough that all of them take about eight minutes."""

WIDTH, LEFT, ROW, TOP = 900, 280, 22, 40
SPAN = 8.0
"""The plot goes from a target missed by this factor to one surpassed by it."""


@dataclass(frozen=True)
class Line:
    target: Target
    value: float
    bounded_by: str


def run_all() -> None:
    """Run each benchmark as a process of its own; one that fails leaves its rows empty."""
    for name, words in RUNS.items():
        begun = time.monotonic()
        (RESULTS / f"{name}.json").unlink(missing_ok=True)
        print(f"== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words], check=False).returncode
        print(f"== {name}: exit code {code}, {time.monotonic() - begun:.0f} s", flush=True)


def stored() -> Results:
    return {name: json.loads(file.read_text()) for name in RUNS if (file := RESULTS / f"{name}.json").exists()}


def lines(results: Results) -> list[Line]:
    """What there is a figure for, in the order of the targets."""
    found = []
    for target in ALL:
        try:
            value = target.read(results)
            why = target.bounded_by if isinstance(target.bounded_by, str) else target.bounded_by(results)
        except LookupError:
            continue
        found.append(Line(target, value, why))
    return found


def table(rows: list[Line]) -> str:
    made = [f"{'':34}{'now':>10}{'target':>10}{'then':>8}   {'':8}bounded by"]
    for line in rows:
        target = line.target
        sign = ">=" if target.at_least else "<="
        then = "" if target.then is None else shown(target.then)
        word = "reached" if target.reached(line.value) >= 1 else ""
        bound = f"{sign} {shown(target.bound)}"
        made.append(f"{target.what:34}{shown(line.value):>10}{bound:>10}{then:>8}   {word:8}{line.bounded_by}")
    return "\n".join(made)


def plot(rows: list[Line]) -> str:
    """An SVG: for each figure how many times better than its target it is, on a logarithmic scale."""
    scale = (WIDTH - LEFT - 100) / (2 * math.log(SPAN))
    middle = LEFT + scale * math.log(SPAN)
    height = TOP + ROW * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{middle}" y="16" text-anchor="middle">target</text>',
        f'<text x="{LEFT}" y="30">{SPAN:g} times worse</text>',
        f'<text x="{WIDTH - 100}" y="30" text-anchor="end">{SPAN:g} times better</text>',
    ]
    for number, line in enumerate(rows):
        y = TOP + ROW * number
        reached = line.target.reached(line.value)
        length = scale * math.log(min(max(reached, 1 / SPAN), SPAN))
        colour = "#2a7" if reached >= 1 else "#c52"
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{html.escape(line.target.what)}</text>',
            f'<rect x="{min(middle, middle + length):.1f}" y="{y + 3}" width="{abs(length):.1f}" height="13" '
            f'fill="{colour}"/>',
            f'<text x="{WIDTH - 92}" y="{y + 13}">{shown(line.value)}</text>',
        ]
    parts.append(f'<path d="M{middle} 20V{height - 6}" stroke="black"/></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", action="store_true", help="show what was measured before, and measure nothing")
    RESULTS.mkdir(exist_ok=True)
    if not parser.parse_args().stored:
        run_all()
    rows = lines(stored())
    (RESULTS / "bench.svg").write_text(plot(rows))
    figures = [{"what": each.target.what, "now": each.value, "target": each.target.bound} for each in rows]
    (RESULTS / "bench.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\n{table(rows)}\n\n{len(rows)} of {len(ALL)} figures; also in {RESULTS}/bench.json and bench.svg")


if __name__ == "__main__":
    main()

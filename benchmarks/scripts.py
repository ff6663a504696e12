"""The scripts that benchmarks run, by the name that tables show."""

from __future__ import annotations

ONE = "one state"
FIVE = "five transitions"
FIFTY = "fifty transitions"
STEPS = "fifty steps"
FIB = "fib(25)"

SCRIPTS = {
    ONE: "function main(i) { return i; }",
    FIVE: """
        function main(i) { return transition(a, i); }
        function a(i) { return transition(b, i); }
        function b(i) { return transition(c, i); }
        function c(i) { return transition(d, i); }
        function d(i) { return transition(e, i); }
        function e(i) { return i; }""",
    FIFTY: """
        function main(i) { for (let n = 0; n < 50; n++) i = transition(step, i); return i; }
        function step(i) { return i; }""",
    STEPS: """
        async function main(i) { for (let n = 0; n < 50; n++) i = await step.do("s", () => i); return i; }""",
    FIB: """
        function main(i) { fib(25); return i; }
        function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }""",
}

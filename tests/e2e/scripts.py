"""Scripts that several tests run."""

STEPS = 20

# Twenty steps with a numbered line each, in about ten seconds.
TICKING = f"""
function main() {{
  for (let n = 1; n <= {STEPS}; n++) transition(tick, n);
  return "done";
}}
function tick(n) {{
  log("line " + n);
  if (n % 2 === 0) sleep(1);
  return n;
}}
"""

QUICK = "function main() { return 'quick' }"


def sleeper(seconds: int) -> str:
    """A step, a sleep that parks, and a step."""
    return f"""
function main() {{
  log("before");
  transition(awake, "before");
  sleep({seconds});
  log("after");
  return transition(awake, "after");
}}
function awake(when) {{ return when }}
"""

"""Prometheus' promtool, which judges rules as Prometheus does.

`python -m dev.promtool` builds it ahead of its first use.
"""

from pathlib import Path

from dev.go_tool import GoTool

PROMTOOL = GoTool(
    "promtool",
    Path(__file__).with_name("promtool"),
    "github.com/prometheus/prometheus/cmd/promtool",
    # No service discovery: rules need none of the clients of a dozen clouds.
    ("-tags=remove_all_sd",),
)

if __name__ == "__main__":
    print(PROMTOOL.path())

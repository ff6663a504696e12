"""Prometheus' promtool, which judges rules as Prometheus does: built on first use, like dev.tools.control_plane().

`python -m dev.promtool` builds it ahead of its first use.
"""

from pathlib import Path

from dev.go_build import Progress, build, find_go, required_version
from dev.tools import build_once, cache_folder, cache_key

SOURCE = Path(__file__).with_name("promtool")
PACKAGE = "github.com/prometheus/prometheus/cmd/promtool"
FLAGS = (
    "-buildvcs=false",
    "-trimpath",
    "-ldflags=-s -w",
    # No service discovery: rules need none of the clients of a dozen clouds.
    "-tags=remove_all_sd",
)


def promtool(progress: Progress = print) -> Path:
    """The program; the first call compiles it, the next ones find it in the cache. Raises BuildError."""
    cache = cache_folder()
    parts = [(SOURCE / name).read_bytes() for name in ("go.mod", "go.sum")]
    target = cache / f"promtool-{cache_key([*parts, ' '.join(FLAGS).encode()])}"

    def compile_to(file: Path) -> None:
        progress("building promtool, once for this machine")
        go = find_go(required_version((SOURCE / "go.mod").read_text()), cache, progress)
        build(go, SOURCE, FLAGS, file, progress, [PACKAGE])
        progress(f"built {target} ({file.stat().st_size // 1_000_000} MB)")

    return build_once(target, compile_to, progress)


if __name__ == "__main__":
    print(promtool())

"""Programs in Go that tests ask, each one package of a module on the public proxy: built on first use."""

from dataclasses import dataclass
from pathlib import Path

from dev.go_build import Progress, build, find_go, required_version
from dev.tools import build_once, cache_folder, cache_key

_FLAGS = ("-buildvcs=false", "-trimpath", "-ldflags=-s -w")


@dataclass(frozen=True, slots=True)
class GoTool:
    """``source`` is a folder with a go.mod, which has the package as a tool, and its go.sum."""

    name: str
    source: Path
    package: str
    flags: tuple[str, ...] = ()

    def path(self, progress: Progress = print) -> Path:
        """The program; the first call compiles it, the next ones find it in the cache. Raises BuildError."""
        cache, flags = cache_folder(), (*_FLAGS, *self.flags)
        parts = [(self.source / name).read_bytes() for name in ("go.mod", "go.sum")]
        target = cache / f"{self.name}-{cache_key([*parts, ' '.join(flags).encode()])}"

        def compile_to(file: Path) -> None:
            progress(f"building {self.name}, once for this machine")
            go = find_go(required_version((self.source / "go.mod").read_text()), cache, progress)
            build(go, self.source, flags, file, progress, [self.package])
            progress(f"built {target} ({file.stat().st_size // 1_000_000} MB)")

        return build_once(target, compile_to, progress)

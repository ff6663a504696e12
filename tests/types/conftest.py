"""TypeScript's own compiler, and a sandbox to compare with."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from dev.typescript import TYPESCRIPT
from tests.fixtures.built import built
from workflow_operator.engine.calls import FORMS
from workflow_operator.javascript.host import SandboxPool

DECLARATIONS = Path(__file__).parents[2] / "operator/workflow_operator/javascript/workflow.d.ts"

Compile = Callable[..., list[str]]


@pytest.fixture(scope="session")
def compiler(request: pytest.FixtureRequest) -> Path:
    return built(TYPESCRIPT, request)


@pytest.fixture
def compiled(compiler: Path, tmp_path: Path) -> Compile:
    """What the compiler has against files beside the declarations, set up as these tell."""

    def compiled(**files: str) -> list[str]:
        text = DECLARATIONS.read_text()
        lines = text[text.index(" *     {\n") :].split(" */")[0].splitlines()
        config = json.loads("\n".join(line.removeprefix(" *") for line in lines))
        config["include"].append("*.ts")
        (tmp_path / "jsconfig.json").write_text(json.dumps(config))
        (tmp_path / "workflow.d.ts").write_text(text)
        for name, source in files.items():
            (tmp_path / name.replace("_", ".")).write_text(source)
        done = subprocess.run(
            [compiler, "-p", "jsconfig.json", "--pretty", "false", "--allowJs"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode in (0, 1, 2), done.stderr
        return done.stdout.splitlines()

    return compiled


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(FORMS, size=1, idle=1)
    await pool.start()
    yield pool
    await pool.close()

"""`python -m tests.chart.golden`: write what the chart renders now as what it must render; read the diff afterwards."""

from pathlib import Path

from dev import tools
from tests.chart.rendering import Object, differences, helm_template, texts
from tests.chart.scenarios import SCENARIOS

FOLDER = Path(__file__).with_name("golden")


def golden(name: str, default: list[Object], objects: list[Object]) -> str:
    """The whole rendering for the defaults, and for another scenario what differs from it."""
    if name == "default":
        return "\n".join(f"=== {identity}\n{text}" for identity, text in texts(objects).items())
    return differences(texts(default), texts(objects))


def main() -> None:
    helm = tools.helm()
    rendered = {name: helm_template(helm, values) for name, values in SCENARIOS.items()}
    for name, objects in rendered.items():
        (FOLDER / f"{name}.txt").write_text(golden(name, rendered["default"], objects), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A build hook that compiles the message catalogues. The compiled catalogues are not in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def compile_catalogues(package: Path) -> None:
    """Compile each `.po` file in the package to a `.mo` file in the same folder."""
    for source in package.glob("locale/*/LC_MESSAGES/*.po"):
        with source.open("rb") as readable, source.with_suffix(".mo").open("wb") as compiled:
            write_mo(compiled, read_po(readable, locale=source.parents[1].name))


class CompileCatalogues(BuildHookInterface[Any]):
    """Compiles the message catalogues before hatchling collects the files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 hatchling's signature
        compile_catalogues(Path(self.root) / "swanlab_mcp")
        build_data["artifacts"].append("swanlab_mcp/locale/*/LC_MESSAGES/*.mo")


if __name__ == "__main__":
    compile_catalogues(Path(__file__).resolve().parents[1] / "swanlab_mcp")

"""A metadata hook that makes links in README.md absolute, because package indexes do not resolve relative links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)(\[[^]]*\]\()(?!\w+:|#)([^)\s]+\))")


def make_absolute(text: str, repository: str) -> str:
    """Replace relative links in Markdown with links to the repository, and relative image URLs with raw file URLs."""
    kinds = {"": "blob", "!": "raw"}
    return _LINK.sub(lambda found: f"{found[1]}{found[2]}{repository}/{kinds[found[1]]}/main/{found[3]}", text)


class AbsoluteReadme(MetadataHookInterface):
    """Replaces the readme in the project metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = make_absolute(text, metadata["urls"]["Repository"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}

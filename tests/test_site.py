"""Check that every link on the documentation site leads to a page on the site or a file in the repository."""

from __future__ import annotations

import posixpath
import re
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://example.com/repository"
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "build_site.py"))


def test_links_of_the_site_have_targets(tmp_path: Path) -> None:
    site: dict[str, str] = {}
    for language in SCRIPT["LANGUAGES"]:
        folder = tmp_path / language.code
        folder.mkdir()
        navigation = SCRIPT["write_pages"](language, folder, REPOSITORY)
        assert navigation[:2] == ["index.md", "recipes.md"]
        for path in folder.rglob("*.*"):
            page = posixpath.join(str(language.folder), path.relative_to(folder).as_posix())
            site[page] = path.read_text(encoding="utf-8") if path.suffix == ".md" else ""
    assert {"recipes.md", "zh/recipes.md", "tools/README.md"} <= site.keys()
    links = [(page, link) for page, text in site.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert len(links) > 100
    for page, link in links:
        file = link.partition("#")[0]
        if file.startswith(REPOSITORY):
            assert (ROOT / re.sub(r".*/(blob|tree)/main/", "", file)).exists(), f"{link} in {page}"
        elif file and not re.match(r"https?:", file):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), file))
            assert re.sub(r"\.html$", ".md", target) in site, f"{link} in {page}"

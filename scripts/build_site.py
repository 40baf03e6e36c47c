"""Build the documentation site from docs/: python scripts/build_site.py [FOLDER].

The site has a search function, and the Chinese pages are below zh/. Links to files outside docs/ lead to the
repository. This script requires the `docs` extra.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import tomllib

ROOT = Path(__file__).parents[1]
PAGES = (
    "index", "recipes", "verdicts", "watch", "files", "export", "changes", "openapi", "assistants", "hosts", "settings",
    "runs-on-disk", "shared-server", "troubleshooting", "tools/README", "architecture",
)  # fmt: skip
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


class Language(NamedTuple):
    """A language of the site.

    `source` is the folder with the pages, `first` is the file that becomes the start page, and `folder` is the
    subfolder of the site.
    """

    code: str
    source: str
    first: str
    folder: str


LANGUAGES = (Language("en", "docs", "README.md", ""), Language("zh", "docs/zh", "README.zh-CN.md", "zh"))


def write_pages(language: Language, folder: Path, repository: str) -> list[str]:
    """Write the pages in one language with links adapted to the site. Return the names of pages for the navigation."""
    source = ROOT / language.source
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_dir() or (language.code == "en" and name.startswith("zh/")) or name == "README.md":
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            (folder / name).write_text(link_page(path, language, repository, name), encoding="utf-8")
        else:
            shutil.copy(path, folder / name)
    first = link_page(ROOT / language.first, language, repository, "index.md")
    (folder / "index.md").write_text(first, encoding="utf-8")
    return [f"{name}.md" for name in PAGES if (folder / f"{name}.md").is_file()]


def link_page(path: Path, language: Language, repository: str, name: str) -> str:
    """Return the text of a page with links that lead to the site or the repository.

    `name` is the path of the page relative to the language's folder.
    """

    def link(found: re.Match[str]) -> str:
        return f"{found[1]}{_find_target(found[2], path, language, repository, name)}{found[3]}"

    return LINK.sub(link, path.read_text(encoding="utf-8"))


def _find_target(link: str, path: Path, language: Language, repository: str, name: str) -> str:
    if re.match(r"\w+:|#", link):
        return link
    file, _, anchor = link.partition("#")
    target = (path.parent / file).resolve().relative_to(ROOT).as_posix()
    for other in reversed(LANGUAGES):
        if target in (other.first, f"{other.source}/README.md"):
            inside = "index.md"
        elif target.startswith(f"{other.source}/"):
            inside = target.removeprefix(f"{other.source}/")
        else:
            continue
        here = posixpath.dirname(posixpath.join(language.folder, name))
        found = posixpath.relpath(posixpath.join(other.folder, inside), here or ".")
        # link to the HTML file of a page in the other language, because this build does not contain that page
        found = found if other is language else re.sub(r"\.md$", ".html", found)
        break
    else:
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        found = f"{repository}/{kind}/main/{target}"
    return f"{found}#{anchor}" if anchor else found


def write_config(language: Language, folder: Path, pages: list[str]) -> Path:
    up = "../" if language.folder else ""
    values = {
        "project.site_name": "swanlab-mcp-server",
        "project.docs_dir": folder.name,
        "project.site_dir": f"{language.code}-site",
        # links must also work without a server, when the site is opened from local files
        "project.use_directory_urls": False,
        "project.nav": pages,
        "project.theme.language": language.code,
        # do not load fonts from other hosts
        "project.theme.font": False,
        "project.theme.features": ["navigation.top", "search.highlight", "content.code.copy"],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    for query, scheme, icon in (("light", "default", "sunny"), ("dark", "slate", "night")):
        lines += [
            "[[project.theme.palette]]",
            f'media = "(prefers-color-scheme: {query})"',
            f'scheme = "{scheme}"',
            f'toggle = {{ icon = "material/weather-{icon}", name = "{query}" }}',
        ]
    for name, link in (("English", f"{up}index.html"), ("简体中文", f"{up}zh/index.html")):
        code = "en" if name == "English" else "zh"
        lines += ["[[project.extra.alternate]]", f'name = "{name}"', f'link = "{link}"', f'lang = "{code}"']
    # keep non-Latin letters in anchors, as the repository's website does
    lines += [f"[project.markdown_extensions.{name}]" for name in ("tables", "attr_list", '"pymdownx.superfences"')]
    lines += [
        "[project.markdown_extensions.toc]",
        "permalink = true",
        'slugify = { object = "pymdownx.slugs.slugify", kwds = { case = "lower" } }',
        '[project.markdown_extensions."pymdownx.highlight"]',
    ]
    config = folder.parent / f"{language.code}.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    return config


def main(folder: str = "site") -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository: str = project["urls"]["Repository"]
    site = Path(folder).resolve()
    with tempfile.TemporaryDirectory() as work:
        for language in LANGUAGES:
            source = Path(work, language.code)
            source.mkdir()
            pages = write_pages(language, source, repository)
            config = write_config(language, source, pages)
            subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "-f", str(config)], check=True)
            shutil.copytree(Path(work, f"{language.code}-site"), site / language.folder, dirs_exist_ok=True)
    print(f"{site}: {len(list(site.rglob('*.html')))} pages")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The site's pages beside those of docs/, and their order; MkDocs calls these functions by name.

The order is that of docs/index.md: a section for each of its headings, its links as pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File
from reference_pages import PAGES as REFERENCE
from reference_pages import reference_page
from source_pages import ROOT, SourceTree

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

# Pages that lie at the top of the project, as the forge expects them.
TOP = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
HEADING = re.compile(r"^## (?P<title>.+)$|\[(?P<name>[^\]]+)\]\((?P<target>[^)]+\.md)\)", re.M)
# Docstrings say which chapter of the contract they follow, which readers of the site don't have.
_SOURCE = re.compile(r" \(seed\b[^)]*\)")
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)#:]+)(?P<after>(?:#[^)]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from docs/index.md."""
    index = Path(config.docs_dir, "index.md").read_text(encoding="utf-8")
    config.nav = navigation(index)
    config.watch.extend(str(ROOT / name) for name in TOP)
    return config


def navigation(index: str) -> list[dict[str, Any]]:
    """The nested list that MkDocs calls ``nav``, from the text of the index."""
    nav: list[dict[str, Any]] = [{"Start": "index.md"}]
    for match in HEADING.finditer(index):
        if match["title"]:
            nav.append({match["title"]: []})
            continue
        (pages,) = nav[-1].values()
        target = TOP.get(match["target"].removeprefix("../"), match["target"])
        pages.append({match["name"]: target})
        if target == "reference.md":
            pages.extend({page.title: page.path} for page in REFERENCE)
    return nav


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages of the top, those of the reference, and the sources that pages link to."""
    for name, path in TOP.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / name)))
    for page in REFERENCE:
        files.append(File.generated(config, page.path, content=reference_page(page)))
    tree = SourceTree()
    for file in files.documentation_pages():
        for match in _LINK.finditer(file.content_string):
            tree.add(_place(file.src_uri, match["target"]))
    for path, content in tree.pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave docs/ lead to the pages of the site, and name those of the reference."""
    if page.file.src_uri == "reference.md":
        pages = "".join(f"- [{entry.title}]({entry.path})\n" for entry in REFERENCE)
        markdown = markdown.replace("\n## ", f"\nThe pages are:\n\n{pages}\n## ", 1)

    def link(match: re.Match[str]) -> str:
        target = site_path(_place(page.file.src_uri, match["target"]))
        levels = page.file.src_uri.count("/")
        return f"{match['before']}{'../' * levels}{target}{match['after']}"

    return _LINK.sub(link, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave the sources of docstrings out of the reference."""
    return _SOURCE.sub("", html) if page.file.src_uri.startswith("reference/") else html


def site_path(place: str) -> str:
    """The page of the site for a file of the project."""
    if place in TOP:
        return TOP[place]
    if place == "README.md":
        return "index.md"
    return place.removeprefix("docs/") if place.startswith("docs/") else SourceTree.page_of(place)


def _place(page: str, target: str) -> str:
    """Where a link of a page leads, relative to the project."""
    top = {path: name for name, path in TOP.items()}
    base = ROOT if page in top else (ROOT / "docs" / page).parent
    path = Path(base, target).resolve()
    return path.relative_to(ROOT).as_posix()

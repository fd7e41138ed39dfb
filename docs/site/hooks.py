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

EXAMPLES = "examples/README.md"
# Pages that lie elsewhere in the project, as the forge expects them, and where the site has them.
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    EXAMPLES: EXAMPLES,
    **{
        path: path
        for path in sorted(
            readme.relative_to(ROOT).as_posix() for readme in ROOT.glob("examples/*/README.md")
        )
    },
}
_PLACES = {path: place for place, path in ELSEWHERE.items()}
_LINE = re.compile(r"^## (?P<title>.+)$|\[(?P<name>[^\]]+)\]\((?P<target>[^)]+\.md)\)", re.M)
# Docstrings say which chapter of the contract they follow, which readers of the site don't have.
_SOURCE = re.compile(r" \(seed\b[^)]*\)")
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)#:]+)(?P<after>(?:#[^)]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from docs/index.md."""
    index = Path(config.docs_dir, "index.md").read_text(encoding="utf-8")
    config.nav = navigation(index)
    config.watch.extend(str(ROOT / place) for place in ELSEWHERE)
    return config


def navigation(index: str) -> list[dict[str, Any]]:
    """The nested list that MkDocs calls ``nav``, from the text of the index."""
    nav: list[dict[str, Any]] = [{"Start": "index.md"}]
    for match in _LINE.finditer(index):
        if match["title"]:
            nav.append({match["title"]: []})
            continue
        (pages,) = nav[-1].values()
        target = site_path(_place("index.md", match["target"]))
        if target == EXAMPLES:
            pages.append({match["name"]: [target, *_examples()]})
            continue
        pages.append({match["name"]: target})
        if target == "reference.md":
            pages.extend({page.title: page.path} for page in REFERENCE)
    return nav


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add pages from elsewhere, those of the reference, and the sources that pages link to."""
    for place, path in ELSEWHERE.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / place)))
    for page in REFERENCE:
        files.append(File.generated(config, page.path, content=reference_page(page)))
    tree = SourceTree()
    for file in files.documentation_pages():
        if file.src_uri.startswith("examples/") and file.src_uri != EXAMPLES:
            tree.add(str(Path(file.src_uri).parent))
        for match in _LINK.finditer(file.content_string):
            place = _place(file.src_uri, match["target"])
            if files.get_file_from_path(site_path(place)) is None:
                tree.add(place)
    for path, content in tree.pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave docs/ lead to the pages of the site; add those that only it has."""
    path = page.file.src_uri
    up = "../" * path.count("/")

    def link(match: re.Match[str]) -> str:
        return f"{match['before']}{up}{site_path(_place(path, match['target']))}{match['after']}"

    if path == "reference.md":
        pages = "".join(f"- [{entry.title}]({entry.path})\n" for entry in REFERENCE)
        markdown = markdown.replace("\n## ", f"\nThe pages are:\n\n{pages}\n## ", 1)
    markdown = _LINK.sub(link, markdown)
    if path.startswith("examples/") and path != EXAMPLES:
        markdown += _files_of_example(Path(path).parent, up)
    return markdown


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave the sources of docstrings out of the reference."""
    return _SOURCE.sub("", html) if page.file.src_uri.startswith("reference/") else html


def site_path(place: str) -> str:
    """The page of the site for a file of the project."""
    if place in ELSEWHERE:
        return ELSEWHERE[place]
    if place == "README.md":
        return "index.md"
    return place.removeprefix("docs/") if place.startswith("docs/") else SourceTree.page_of(place)


def _place(page: str, target: str) -> str:
    """Where a link of a page leads, relative to the project."""
    base = (ROOT / _PLACES.get(page, f"docs/{page}")).parent
    return Path(base, target).resolve().relative_to(ROOT).as_posix()


def _files_of_example(folder: Path, up: str) -> str:
    """The launch script, if the example has one, and a link to all files."""
    script = ROOT / folder / "serve.py"
    text = f"\n\n[All files of this example]({up}{SourceTree.page_of(folder.as_posix())})\n"
    if script.is_file():
        text += f"\n## serve.py\n\n~~~~python\n{script.read_text(encoding='utf-8')}~~~~\n"
    return text


def _examples() -> list[dict[str, str]]:
    """The examples in the order of their own list, by name."""
    text = (ROOT / EXAMPLES).read_text(encoding="utf-8")
    targets = (match["target"] for match in _LINE.finditer(text) if not match["title"])
    return [{Path(target).parent.name: f"examples/{target}"} for target in targets]

"""The site of the documents: it builds without a warning, its links lead somewhere, it is whole."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import doc_shell
import pytest
from doc_page import PAGES, ROOT

SITE = ROOT / "docs" / "site"
sys.path[:0] = [str(SITE), str(ROOT / "tests" / "e2e")]

from chromium import Chromium  # noqa: E402
from hooks import navigation  # noqa: E402 - MkDocs finds it in the same way
from reference_pages import PAGES as REFERENCE  # noqa: E402
from reference_pages import constants, found, names_of  # noqa: E402

# What a browser fetches by itself, by element.
ASSETS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
NOT_FETCHED = {"canonical", "next", "prev"}


class PageLinks(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.anchors: set[str] = set()
        self.ambiguous: list[str] = []
        self.images_without_text = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get("id") in self.anchors:
            self.ambiguous.append(values["id"])
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        elif tag in ASSETS and values.get("rel") not in NOT_FETCHED and values.get(ASSETS[tag]):
            self.assets.append(values[ASSETS[tag]])
        if tag == "img" and not values.get("alt"):
            self.images_without_text += 1


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    build = subprocess.run(
        [*command, "--config-file", str(SITE / "mkdocs.yml")],
        cwd=folder.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert build.returncode == 0, build.stdout
    assert "WARNING" not in build.stdout, build.stdout
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {
        path.resolve(): PageLinks(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }


@pytest.mark.e2e
def test_links_within_the_site_lead_to_pages_and_anchors_that_exist(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
            elif parts.fragment and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site.resolve())}: {link}: no such anchor")
    assert broken == []


@pytest.mark.e2e
def test_anchors_are_unique_in_their_page(pages):
    assert {path.name: page.ambiguous for path, page in pages.items() if page.ambiguous} == {}


@pytest.mark.e2e
def test_the_site_loads_nothing_from_elsewhere(site, pages):
    for path, page in pages.items():
        for asset in page.assets:
            parts = urlsplit(asset)
            assert not parts.netloc, f"{path}: {asset}"
            if path.name != "404.html" and parts.scheme != "data":
                assert (path.parent / unquote(parts.path)).is_file(), f"{path}: {asset}"
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8"), path


@pytest.mark.e2e
def test_every_page_is_in_the_navigation_and_can_be_searched(site, pages):
    start = pages[site.resolve() / "index.html"]
    shown = {unquote(urlsplit(link).path) for link in start.links}
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parent.name == "docs":
            assert page.name == "index.md" or f"{page.stem}.html" in shown, page.name
            assert f'"{page.stem}.html"' in index, page.name


@pytest.mark.e2e
def test_every_public_name_is_in_the_reference(site, pages):
    for page in REFERENCE:
        text = (site / page.path.replace(".md", ".html")).read_text(encoding="utf-8")
        for name, _ in names_of(page):
            assert name in text, f"{page.path}: {name}"


@pytest.mark.e2e
def test_pictures_have_a_text_for_those_who_do_not_see_them(pages):
    assert [path.name for path, page in pages.items() if page.images_without_text] == []


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1300, False), (390, True)])
def test_pages_that_are_opened_as_files_can_be_searched(site, tmp_path, width, dark):
    with Chromium(tmp_path) as browser:
        browser.screen(width, 800, dark=dark)
        browser.open(f"{site.as_uri()}/index.html")
        browser.run(
            "(box => { box.focus(); box.value = 'websocket'; box.dispatchEvent(new Event('keyup'))"
            " })(document.querySelector('.md-search__input'))"
        )
        browser.wait("document.querySelectorAll('.md-search-result__item').length")
        # They are in the page before they are shown.
        browser.wait("document.querySelector('.md-search-result').innerText.length > 100")
        assert browser.run("document.documentElement.scrollWidth") == width
        background = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") is not dark
        assert browser.errors == []


def test_every_page_of_the_index_has_a_section():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    sections = [pages for entry in navigation(index)[1:] for pages in entry.values()]
    assert all(sections)
    targets = [target for section in sections for entry in section for target in entry.values()]
    named = {target for target in targets if isinstance(target, str)}  # a list has examples
    missing = {page.name for page in PAGES if page.parent.name == "docs"} - named - {"index.md"}
    assert missing == set(), "name them in docs/index.md"


def test_pages_begin_with_what_the_reader_can_do():
    for page in PAGES:
        if page.parent.name == "docs":
            title, blank, first = page.read_text(encoding="utf-8").splitlines()[:3]
            assert title.startswith("# "), page.name
            assert blank == "", page.name
            assert first.startswith(("After this page ", "On this page ")), page.name


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: page.title)
def test_every_public_name_has_a_docstring_and_types(page):
    bare, untyped = [], []
    for name, place in names_of(page):
        thing = found(place)
        things = {name: thing}
        if inspect.isclass(thing):
            members = ((key, getattr(thing, key)) for key in dir(thing) if key[0] != "_")
            things.update(
                (f"{name}.{key}", getattr(member, "fget", member))
                for key, member in members
                if inspect.isroutine(member) or isinstance(member, property)
            )
        for known, member in things.items():
            if not inspect.getdoc(member):
                bare.append(known)
            if inspect.isfunction(member) and member.__module__.startswith(("skitai", "atila")):
                parameters = list(inspect.signature(member).parameters.values())
                untyped += [
                    f"{known}({parameter.name})"
                    for parameter in parameters
                    if parameter.annotation is parameter.empty
                    and parameter.name not in ("self", "cls")
                ]
    assert (bare, untyped) == ([], [])


def test_every_extra_is_in_the_table_of_the_installation():
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9]+)` \|", text, re.MULTILINE)) == doc_shell.EXTRAS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_small_and_have_a_text(page):
    for text, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        picture = page.parent / target
        assert text, target
        assert picture.suffix in (".png", ".svg"), target
        assert 0 < picture.stat().st_size < 200_000, target


def test_every_constant_is_explained():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for package in ("skitai", "atila"):
        missing = [name for name in constants(package) if f"`{name}`" not in text]
        assert missing == []

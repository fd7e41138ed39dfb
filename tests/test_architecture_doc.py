"""What documents say of the code holds: files, functions, links, settings and their defaults."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

import pytest
from doc_page import PAGES, ROOT

from skitai.config import ALIASES, Settings, option_of

ARCHITECTURE = ROOT / "docs" / "architecture.md"
RUNNING = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(
    r"`(?P<file>(?:skitai|atila|tests|examples|benchmarks)/[\w./-]*)(?::(?P<name>[\w.]+))?`"
)
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| `(?P<default>[^`]+)` \|(?P<rest>.*)$", re.MULTILINE)


def prose(page):
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def defined_names(path):
    """Functions, classes, methods and variables of a file; members with their class in front."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            names.update(
                f"{node.name}.{member.name}"
                for member in ast.walk(node)
                if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))
            )
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_names_in_documents_exist(page):
    for match in _CODE.finditer(prose(page)):
        path = ROOT / match["file"]
        assert path.exists(), match[0]
        assert match["name"] is None or match["name"] in defined_names(path), match[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    for match in _LINK.finditer(prose(page)):
        target, _, anchor = match["target"].partition("#")
        assert not anchor, f"{match[0]}: link to pages, anchors aren't checked"
        if "://" not in target:
            assert (page.parent / target).exists(), match[0]


def test_links_of_the_architecture_lead_to_the_file_they_name():
    links = [match for match in _LINK.finditer(prose(ARCHITECTURE)) if match["text"][0] == "`"]
    assert len(links) > 40
    for match in links:
        assert match["target"] == f"../{match['text'].strip('`').partition(':')[0]}", match[0]


def test_the_architecture_has_every_room_and_module():
    text = prose(ARCHITECTURE)
    rooms = [path for path in (ROOT / "skitai").iterdir() if path.name[0] not in "_."]
    named = {f"{path.relative_to(ROOT)}/" for path in rooms if path.is_dir()}
    for package in ("skitai", "atila"):
        named.update(str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("[a-z]*.py"))
    missing = [name for name in sorted(named) if not re.search(rf"`{re.escape(name)}[`:]", text)]
    assert missing == []


def test_every_setting_is_documented_with_its_default():
    documented = {
        match["name"]: ast.literal_eval(match["default"]) for match in _ROW.finditer(RUNNING)
    }
    assert documented == {item.name: item.default for item in fields(Settings)}


def test_every_option_is_documented_in_the_row_of_its_setting():
    rows = {match["name"]: match["rest"] for match in _ROW.finditer(RUNNING)}
    for item in fields(Settings):
        aliases = [alias for alias, name in ALIASES.items() if name == item.name]
        for option in (item.name, *aliases):
            assert (f"`{option_of(option)}`" in rows[item.name]) == item.metadata["option"], option

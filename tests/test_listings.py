"""Listings of the documents and examples are copied: they must carry no holes into other apps."""

from __future__ import annotations

import ast
import re

import pytest
from doc_page import PAGES, ROOT, blocks_of

ROUTES = {"route", "get", "post", "put", "patch", "delete", "before_request", "failed_request"}
# What is sent as JSON, as a file or elsewhere, what escapes, and what is no text of the client.
SAFE_CALLS = {
    *("API", "render", "redirect", "File", "Static", "ProxyPass", "pipe", "response", "escape"),
    *(
        "Map",
        "place_at",
        "urlfor",
        "urlpatch",
        "len",
        "int",
        "sum",
        "sorted",
        "Queue",
        "verify_password",
        "loads",
    ),
}
SAFE_TYPES = {"int", "float", "bool", "UUID"}
OF_THE_CLIENT = re.compile(
    r"was\.(cookie|session|mbox|Input|request\.(path|uri|args|ARGS|URL|FORM|JSON|body|cookie|session|"
    r"mbox|headers|user_agent|referer|get_header|get_body))\b"
)
KEY = re.compile(r"""\bsecurekey = (?:os\.environ\.get\([^,]*, )?["'](?P<key>[^"']*)["']""")
TYPED = re.compile(r"<(?:int|float|uuid):(\w+)>")


def listings():
    """Each Python listing with its place."""
    for page in PAGES:
        for block in blocks_of(page):
            if block.language == "python":
                yield block.place, block.text
    for path in sorted((ROOT / "examples").rglob("*.py")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def called(node):
    target = node.func if isinstance(node, ast.Call) else node
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def carries(node, names):
    """Whether a value has text of the client in it that no call on its way has made harmless."""
    if isinstance(node, ast.Call) and called(node) in SAFE_CALLS:
        return False
    if isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.ListComp | ast.Compare | ast.Lambda):
        return False  # JSON, a truth, something later
    if isinstance(node, ast.IfExp):
        return carries(node.body, names) or carries(node.orelse, names)
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Attribute) and OF_THE_CLIENT.match(ast.unparse(node)):
        return True
    if isinstance(node, ast.Subscript) and not OF_THE_CLIENT.match(ast.unparse(node)):
        return carries(node.value, names)
    return any(carries(child, names) for child in ast.iter_child_nodes(node))


def answers_of_clients(function):
    """Lines of a handler that send text of the client back as HTML."""
    rules = " ".join(ast.unparse(each) for each in function.decorator_list)
    body = "\n".join(map(ast.unparse, function.body))
    kinds = {called(each) for each in function.decorator_list}
    if not kinds & ROUTES or "websocket" in kinds or "text/plain" in body:
        return
    arguments = [*function.args.args, *function.args.kwonlyargs]
    typed = {
        each.arg for each in arguments if each.annotation and called(each.annotation) in SAFE_TYPES
    }
    names = {each.arg for each in arguments} - {"was", "response", *typed, *TYPED.findall(rules)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.NamedExpr) and carries(node.value, names):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(each.id for each in targets if isinstance(each, ast.Name))
    for node in ast.walk(function):
        sent = node.value if isinstance(node, ast.Return | ast.Yield) else None
        waits = isinstance(node, ast.Yield) and called(sent) == "Input"
        if sent is not None and not waits and carries(sent, names):
            yield node.lineno, ast.unparse(node)


def unsafe(source):
    """What is unsafe in a listing, as texts."""
    if "fastapi" in source:  # it sends JSON, whatever is returned
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for line, text in answers_of_clients(node):
                yield f"line {line} answers with text of the client as HTML: {text}"
        elif isinstance(node, ast.Call) and called(node) in ("execute", "executemany"):
            built = node.args[0] if node.args else None
            if isinstance(built, ast.JoinedStr | ast.BinOp) or called(built) == "format":
                yield f"line {node.lineno} builds SQL from values: {ast.unparse(node)}"
    for match in KEY.finditer(source):
        key = match["key"]
        if "only for development" not in key or len(key) < 32:  # RFC 7518, 3.2: of HS256
            yield f"the key {key!r} isn't marked as one for development, or is too short"


def test_what_readers_copy_is_safe():
    found = [f"{place}: {problem}" for place, source in listings() for problem in unsafe(source)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        '@app.route("/")\ndef hello(was, name):\n    return f"Hello, {name}"\n',
        '@app.get("/<name>")\nasync def hello(was, name: str):\n    return "Hello, " + name\n',
        '@app.route("/")\ndef page(was):\n    text = was.request.get_body()\n    return text\n',
        '@app.route("/")\ndef page(was, name):\n    yield "Hello, {}".format(name)\n',
        'def find(was, name):\n    was.db("@x").execute(f"select 1 where name = {name}")\n',
        'app.securekey = "secret"\n',
    ],
)
def test_what_must_not_be_copied_is_found(source):
    assert list(unsafe(source))


@pytest.mark.parametrize(
    "source",
    [
        '@app.route("/<int:id>")\ndef page(was, id, times: int = 1):\n    return f"{id} {times}"\n',
        '@app.route("/")\ndef page(was, name):\n    return was.API(name=name)\n',
        '@app.route("/")\ndef page(was, name):\n    return f"Hello, {escape(name)}"\n',
        '@app.route("/")\n@app.websocket(1)\ndef echo(was, message):\n    return message\n',
    ],
)
def test_what_is_safe_passes(source):
    assert list(unsafe(source)) == []

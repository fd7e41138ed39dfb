"""The laws of the layout, read from the source: who may import whom, and how big a file may be.

A room is a package or a module directly under ``skitai``. An import that is not in the table fails:
either it points upwards and has to go, or the table is changed on purpose.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 500
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

# What each room may import besides itself, from the lowest to the highest.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "current": set(),
    "sockets": set(),
    "places": set(),
    "mail": {"errors"},
    "config": {"errors"},
    "log": {"errors", "config"},
    "options": {"errors", "config"},
    "importer": {"errors"},
    "own_options": {"errors"},
    "privileges": {"errors"},
    "script": {"errors", "importer"},
    "preference": {"errors", "importer"},
    "foreign": {"errors"},
    "targets": {"errors", "foreign", "importer", "preference"},
    "wire": {"errors"},
    "stores": {"errors"},
    "bus": {"errors", "log"},
    "net": {"errors", "config", "log", "wire"},
    "executors": {"errors", "config", "log"},
    "sql": {"errors"},
    "tasks": {"errors", "stores", "executors"},
    "upstream": {
        "errors", "config", "log", "wire", "net", "stores", "executors", "sql", "tasks",
    },
    "dbi": {"errors", "upstream", "tasks"},
    "server": {"errors", "config", "log", "wire", "net", "executors"},
    "handlers": {
        "errors", "config", "log", "wire", "stores", "bus", "net", "executors", "tasks",
        "upstream", "server",
    },
    "monitoring": {"errors", "config", "stores", "executors", "upstream", "server"},
    "devel": {"errors", "importer", "server"},
    "mounts": {"errors", "foreign", "options", "importer", "preference", "targets", "handlers"},
    "sites": {"handlers", "mounts", "server"},
    "worker": {
        "errors", "config", "log", "importer", "wire", "stores", "bus", "net", "executors",
        "tasks", "upstream", "server", "handlers", "mail", "monitoring", "devel", "mounts",
        "places", "sites",
    },
    "supervisor": {"errors", "config", "log", "net", "devel"},
    "errand": {"supervisor", "worker"},
    "schedules": {"errors", "config", "log", "stores", "executors", "supervisor"},
    "starting": {
        "errors", "log", "config", "options", "importer", "privileges", "script", "targets",
    },
    "service": {
        "errors", "log", "config", "options", "own_options", "importer", "privileges", "script",
        "mail", "preference", "schedules", "starting", "targets", "stores", "executors", "upstream",
        "mounts",
    },
    "testing": {"errors", "wire"},
    "commands": {
        "errors", "config", "places", "privileges", "script", "server", "handlers", "worker",
        "supervisor", "testing",
    },
    "__main__": {"commands"},
    "skitai": {
        "errors", "current", "script", "sockets", "preference", "tasks", "upstream", "service",
    },
}  # fmt: skip

# Where a lower part is started by name: allowed inside a function, never at the top of a module.
COMPOSITION = {
    ("starting", "commands"),
    ("starting", "net"),
    ("starting", "errand"),
    ("starting", "schedules"),
    ("starting", "stores"),
    ("starting", "supervisor"),
    ("starting", "worker"),
    ("skitai", "testing"),
}

# All of skitai that atila may use at run time, beside the package's own public names.
FRAMEWORK_INTERFACE = {
    "skitai",
    "skitai.bus.bus",
    "skitai.current",
    "skitai.errors",
    "skitai.executors.jobs",
    "skitai.handlers.files",
    "skitai.handlers.interface",
    "skitai.handlers.peers",
    "skitai.mail.message",
    "skitai.preference",
    "skitai.server.coroutines",
    "skitai.server.error_page",
    "skitai.server.exchange",
    "skitai.server.representation",
    "skitai.server.streaming",
    "skitai.server.websocket.session",
    "skitai.handlers.relay",
    "skitai.handlers.wsgi_environ",
    "skitai.tasks.awaitable",
    "skitai.tasks.errors",
    "skitai.tasks.executed",
    "skitai.tasks.group",
    "skitai.tasks.mask",
    "skitai.tasks.naming",
    "skitai.tasks.task",
    "skitai.tasks.then",
    "skitai.service",
    "skitai.sockets",
    "skitai.sql",
    "skitai.sql.names",
    "skitai.stores.local",
    "skitai.testing.recording",
    "skitai.upstream.aliases",
    "skitai.upstream.calls",
    "skitai.upstream.mongodb.results",
    "skitai.wire.conditional",
    "skitai.wire.dates",
    "skitai.wire.forms",
    "skitai.wire.grpc",
    "skitai.wire.multipart",
    "skitai.wire.negotiation",
    "skitai.wire.protobuf",
    "skitai.wire.request",
}


@dataclass(frozen=True)
class Arrow:
    """One import: from a module, to a module, and where it stands."""

    source: str
    target: str
    names: tuple[str, ...]
    line: int
    in_function: bool
    for_types: bool


def modules_of(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = {**modules_of("skitai"), **modules_of("atila")}


class Imports(ast.NodeVisitor):
    """Collects the imports of our own packages in one module."""

    def __init__(self, module: str, path: Path) -> None:
        self.module = module
        self.package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        self.arrows: list[Arrow] = []
        self.functions = 0
        self.type_blocks = 0

    def visit_FunctionDef(self, node: ast.AST) -> None:
        self.functions += 1
        self.generic_visit(node)
        self.functions -= 1

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        for_types = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self.type_blocks += for_types
        for child in node.body:
            self.visit(child)
        self.type_blocks -= for_types
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, (), node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
        for alias in node.names:
            if f"{base}.{alias.name}" in MODULES:
                self.add(f"{base}.{alias.name}", (), node.lineno)
            else:
                self.add(base, (alias.name,), node.lineno)

    def add(self, target: str, names: tuple[str, ...], line: int) -> None:
        if target.split(".")[0] in ("skitai", "atila"):
            self.arrows.append(
                Arrow(self.module, target, names, line, self.functions > 0, self.type_blocks > 0)
            )


def arrows_of(module: str) -> list[Arrow]:
    path = MODULES[module]
    imports = Imports(module, path)
    imports.visit(ast.parse(path.read_bytes(), str(path)))
    return imports.arrows


ARROWS = {module: arrows_of(module) for module in MODULES}


def room_of(module: str) -> str:
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if rest else package


def show(arrow: Arrow, reason: str) -> str:
    return f"{MODULES[arrow.source].relative_to(ROOT)}:{arrow.line} {arrow.target}: {reason}"


def skitai_violation(arrow: Arrow) -> str:
    if arrow.target.split(".")[0] != "skitai":
        return "skitai never imports atila"
    here, there = room_of(arrow.source), room_of(arrow.target)
    if arrow.for_types or here == there or there in ROOMS[here]:
        return ""
    if arrow.in_function and (here, there) in COMPOSITION:
        return ""
    return f"{here} may not import {there}"


def atila_violation(arrow: Arrow, public: set[str]) -> str:
    if arrow.target.split(".")[0] != "skitai" or arrow.for_types:
        return ""
    if arrow.target not in FRAMEWORK_INTERFACE:
        return "not in the interface for frameworks"
    if arrow.target == "skitai" and not public.issuperset(arrow.names):
        return f"{arrow.names} is not public in skitai"
    return ""


def test_every_room_is_a_package_that_is_installed():
    homes = {
        path.parent for package in ("skitai", "atila") for path in ROOT.glob(f"{package}/**/*.py")
    }
    assert [str(home) for home in sorted(homes) if not (home / "__init__.py").is_file()] == []


def runtime_targets(module: str) -> set[str]:
    """The modules that a module needs while the program runs, without composition."""
    return {
        arrow.target
        for arrow in ARROWS[module]
        if not arrow.for_types
        and arrow.target in MODULES
        and (room_of(arrow.source), room_of(arrow.target)) not in COMPOSITION
    }


def find_cycle() -> list[str]:
    """Return the modules of an import cycle, or nothing."""
    done: set[str] = set()
    path: list[str] = []

    def walk(module: str) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        for target in sorted(runtime_targets(module)):
            if cycle := walk(target):
                return cycle
        path.pop()
        done.add(module)
        return []

    for module in MODULES:
        if cycle := walk(module):
            return cycle
    return []


def test_every_room_of_skitai_is_in_the_table():
    rooms = {room_of(module) for module in MODULES if module.startswith("skitai")}
    assert not rooms - set(ROOMS), "give the room a row, and rows above it the right to import it"


def test_the_table_itself_only_points_downwards():
    order = list(ROOMS)
    upward = [
        f"{room} -> {lower}"
        for room, allowed in ROOMS.items()
        for lower in allowed
        if order.index(lower) >= order.index(room)
    ]
    assert upward == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("skitai")])
def test_skitai_imports_downwards_only(module):
    wrong = [show(arrow, reason) for arrow in ARROWS[module] if (reason := skitai_violation(arrow))]
    assert wrong == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("atila")])
def test_atila_imports_only_the_interface_of_skitai(module):
    import skitai

    public = set(skitai.__all__)
    wrong = [
        show(arrow, reason)
        for arrow in ARROWS[module]
        if (reason := atila_violation(arrow, public))
    ]
    assert wrong == []


def test_no_import_cycles():
    assert find_cycle() == []


def test_the_scan_sees_what_it_should(tmp_path):
    path = tmp_path / "probe.py"
    path.write_text(
        "from __future__ import annotations\n"
        "import skitai.wire.http1\n"
        "from skitai import errors, mount\n"
        "if TYPE_CHECKING:\n    from skitai.service import Service\n"
        "else:\n    import atila\n"
        "def f():\n    from ..wire import dates\n"
        "class C:\n    from . import exchange\n"
    )
    imports = Imports("skitai.server.probe", path)
    imports.visit(ast.parse(path.read_bytes()))
    seen = [
        (arrow.target, arrow.names, arrow.in_function, arrow.for_types) for arrow in imports.arrows
    ]
    assert seen == [
        ("skitai.wire.http1", (), False, False),
        ("skitai.errors", (), False, False),
        ("skitai", ("mount",), False, False),
        ("skitai.service", ("Service",), False, True),
        ("atila", (), False, False),
        ("skitai.wire.dates", (), True, False),
        ("skitai.server.exchange", (), False, False),
    ]
    assert [bool(skitai_violation(arrow)) for arrow in imports.arrows] == [
        False, False, True, False, True, False, False,
    ]  # fmt: skip


IMPORT_EACH_ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [key for key in sys.modules if key.split(".")[0] in ("skitai", "atila")]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except BaseException as exc:
        sys.exit(f"{name} can't be imported alone: {type(exc).__name__}: {exc}")
"""


@pytest.mark.parametrize("package", ["skitai", "atila"])
def test_every_module_can_be_imported_first(package):
    """One process for a package: our modules are forgotten before each import, others stay."""
    names = [name for name in MODULES if name.split(".")[0] == package]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH_ALONE, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", MODULES)
def test_files_are_small_and_named_for_a_concept(module):
    path = MODULES[module]
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{path.relative_to(ROOT)} has {lines} lines: split it"
    assert path.stem not in SHAPELESS_NAMES
    assert path.parent.name not in SHAPELESS_NAMES

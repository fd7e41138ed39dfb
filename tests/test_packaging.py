"""What a user installs: an sdist, the wheel that is built of it, and how it works where only it is.

Nothing here needs a network: the packages that the wheel needs are those of this environment.
"""

from __future__ import annotations

import ast
import email
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging_project import TYPED_APP, TYPED_TEST, USES, Environment, name_of

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0  # seconds; far more than anything here takes
LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "_build")
# What a plain service and an app must not load: each of these has an extra, or is for --devel.
HEAVY = {
    "aioquic", "chameleon", "django", "google", "grpc", "httpx", "jsonrpclib", "minify_html",
    "psycopg2", "pymongo", "pytest", "redis", "requests", "watchfiles",
}  # fmt: skip
PACKAGE_OF = {
    "brotli": "brotli", "bson": "pymongo", "grpc": "grpcio", "google": "protobuf", "h2": "httpx",
    "jwt": "pyjwt",
    "jsonrpclib": "jsonrpclib-pelix", "markupsafe": "jinja2", "minify_html": "minify-html",
    "psycopg2": "psycopg2-binary", "urllib3": "requests",
}  # fmt: skip


def run(*command, folder, **variables):
    """Run a command that is not in the checkout, and knows nothing of it."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder, env={**environ, **variables}, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The sdist, and the wheel that was made of it."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OUT)
    done = run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, "checkout",
        folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def metadata(packages):
    with zipfile.ZipFile(packages[1]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
        return email.message_from_bytes(wheel.read(name))


@pytest.fixture(scope="module")
def bare(tmp_path_factory, packages, metadata):
    """An environment with the wheel and what it needs, without any extra."""
    environment = Environment(tmp_path_factory.mktemp("bare") / "env")
    environment.link(needs(metadata)[""])
    environment.install(packages[1])
    return environment


@pytest.fixture(scope="module")
def project(tmp_path_factory, bare):
    folder = tmp_path_factory.mktemp("project")
    done = run(bare.bin / "skitai", "new", "shop", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "shop"


def needs(metadata):
    """The requirements of the package by extra; without one by an empty name."""
    found = {extra: [] for extra in ["", *metadata.get_all("Provides-Extra")]}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, marker = line.partition(";")
        extra = re.search(r'extra == "([\w-]+)"', marker)
        found[extra[1] if extra else ""].append(requirement.strip())
    return found


# What is in them


def test_the_wheel_has_both_packages_with_all_files_and_nothing_else(packages):
    with zipfile.ZipFile(packages[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("skitai", "atila")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert names == expected
    assert {"skitai/py.typed", "atila/py.typed", "atila/openapi/page.html"} <= names
    assert {f"skitai/monitoring/page/status.{kind}" for kind in ("html", "js", "css")} <= names


def test_the_sdist_has_what_a_distributor_runs_the_tests_with(packages):
    with tarfile.open(packages[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    files = ["pyproject.toml", "Makefile", "LICENSE", "README.md", "CHANGELOG.md", "serve.py"]
    assert set(files) <= names
    for folder in ("tests", "docs", "examples", "benchmarks"):
        expected = {
            str(path.relative_to(ROOT))
            for path in (ROOT / folder).rglob("*")
            if path.suffix in (".py", ".md", ".j2", ".html", ".css", ".js", ".svg", ".png")
            and not any(part.startswith((".", "_build", "__pycache__")) for part in path.parts)
            and path.parent.name != "results"
        }
        assert expected <= names
    unwanted = re.compile(r"\.pyc$|__pycache__|\.venv|\.git/|\.hypothesis|\.sqlite3|\.\w+_cache/")
    assert [name for name in names if unwanted.search(name)] == []


def test_the_metadata_says_what_it_is(metadata):
    source = (ROOT / "skitai" / "__init__.py").read_text()
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert (metadata["Name"], metadata["Version"]) == ("skitai", version[1])
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert metadata["Requires-Python"] == ">=3.10"
    classifiers = metadata.get_all("Classifier")
    for minor in range(10, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers


def test_all_has_every_extra_and_each_is_tried_without(metadata):
    extras = needs(metadata)
    features = extras.keys() - {"", "all", "dev", "docs"}
    # Setuptools writes it as one requirement, of the package itself.
    assert set(re.findall(r"[\w-]+", extras["all"][0])) - {"skitai"} == features
    assert {use.partition(" ")[0] for use in USES} == features
    assert all(">=" in one for some in extras.values() for one in some if "skitai[" not in one)


def test_what_is_imported_is_required(metadata):
    extras = needs(metadata)
    users = extras.keys() - {"dev", "docs"}
    required = {name_of(one) for extra in users for one in extras[extra]}
    for path in (path for name in ("skitai", "atila") for path in (ROOT / name).rglob("*.py")):
        for module in imported(ast.parse(path.read_text())):
            top = module.partition(".")[0]
            if top not in {"skitai", "atila", *sys.stdlib_module_names}:
                assert PACKAGE_OF.get(top, name_of(top)) in required, f"{path} imports {module}"


def imported(node):
    """Modules that a file imports when it runs."""
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


# Where only the wheel is


@pytest.mark.parametrize("words", [["bin/skitai"], ["bin/python", "-m", "skitai"]])
def test_the_console_command(tmp_path, bare, metadata, words):
    command = [bare.bin.parent / words[0], *words[1:]]
    done = run(*command, "--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"skitai {metadata['Version']}\n"), done.stderr
    assert run(*command, "nothing", folder=tmp_path).returncode == 2


def test_pip_finds_nothing_wrong(tmp_path, bare):
    done = run(sys.executable, "-m", "pip", "--python", bare.python, "check", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "No broken requirements found.\n")


def test_a_new_project_passes_its_tests(tmp_path, bare, metadata, project):
    testing = Environment(tmp_path / "env", beside=bare)
    testing.link(needs(metadata)["test"])
    done = run(
        testing.python, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider",
        folder=project,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_new_project_serves_without_any_extra(bare, project):
    """From its first line to the end, with warnings as errors, and nothing heavy in a worker."""
    seen = f"import sys\nHEAVY = {sorted(HEAVY)}\n"
    (project / "probe.py").write_text(
        f"{seen}import shop\nimport skitai\n"
        "def __umount__(app):\n"
        "    print('heavy', sorted(set(HEAVY) & set(sys.modules)), flush=True)\n"
        "shop.__umount__ = __umount__\n"
        "skitai.mount('/', shop)\nskitai.run(port=0, address='127.0.0.1')\n"
    )
    with subprocess.Popen(
        [bare.python, "-W", "error", "probe.py"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as service:  # fmt: skip
        assert service.stdout is not None
        first = service.stdout.readline()
        service.send_signal(signal.SIGTERM)
        rest = service.stdout.read()
    assert "serving on http://127.0.0.1:" in first, first + rest
    assert service.returncode == 0
    assert "heavy []" in rest


@pytest.mark.parametrize("use", USES)
def test_without_its_extra_a_feature_says_what_to_install(tmp_path, bare, use):
    (tmp_path / "serve.py").write_text(USES[use])
    done = run(bare.python, "-W", "error", "serve.py", folder=tmp_path)
    assert done.returncode != 0
    extra = use.partition(" ")[0]
    assert re.search(rf"pip install '?skitai\[{extra}\]", done.stderr), done.stderr


@pytest.mark.parametrize("package", ["skitai", "atila"])
def test_importing_loads_nothing_heavy(tmp_path, package):
    """Here, where everything is installed."""
    source = f"import sys, {package}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = run(sys.executable, "-c", source, folder=tmp_path, PYTHONPATH=str(ROOT))
    assert done.stdout == "[]\n", done.stderr


def test_types_are_seen_by_users(tmp_path, bare):
    (tmp_path / "shop.py").write_text(TYPED_APP)
    (tmp_path / "test_shop.py").write_text(TYPED_TEST)
    done = run(
        sys.executable, "-m", "mypy", "--strict", "--python-executable", bare.python,
        "--cache-dir", tmp_path / "cache", "shop.py", "test_shop.py", folder=tmp_path,
    )  # fmt: skip
    assert done.stdout.startswith("Success: no issues found in 2 source files"), done.stdout

"""What tests/test_packaging.py installs and runs: an environment, a typed app, missing extras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SITE = Path(sysconfig.get_path("purelib"))

TYPED_APP = '''\
"""A small app of a user, as mypy --strict sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import skitai
from atila import API, Atila, File, HTTPError, Q, Was


def __config__(pref: skitai.Preference) -> None:
    pref.set_static("/static", "static")


def __app__() -> Atila:
    return Atila(__name__)


def __mount__(app: Atila, mntopt: dict[str, Any]) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        method: str = was.request.method
        wrong: int = was.request.method  # type: ignore[assignment]
        was.response.set_header("X-Method", method)
        return was.render("index.j2", wrong=wrong)

    @app.get("/items/<int:number>")
    async def item(was: Was, number: int) -> API:
        if number < 0:
            raise HTTPError("404 Not Found", "no such item")
        return was.API(number=number)

    @app.route("/file")
    def file(was: Was) -> File:
        return was.File("a.txt")

    @app.route("/rows")
    def rows(was: Was) -> API:
        with was.db("@db") as db:
            found = db.select("item").filter(Q(id=1)).execute().fetch()
        return was.API(rows=found)

    @app.route("/stream")
    async def stream(was: Was) -> AsyncIterator[bytes]:
        yield b"a"


if __name__ == "__main__":
    skitai.alias("@db", skitai.DB_SQLITE3, "items.sqlite3")
    skitai.add_option("", "--color", "its colour")
    with skitai.preference() as pref:
        skitai.mount("/", __name__, pref)
    skitai.mount(1, "nothing")  # type: ignore[arg-type]
    skitai.run(port=5000, name="shop")
'''

TYPED_TEST = """\
from __future__ import annotations

import skitai


def test_index() -> None:
    with skitai.test_client("shop.py", port=0) as client:
        status: int = client.get("/").status_code
        assert status == 200
"""

# Each feature that needs an extra, used without it.
APP = "import skitai\nfrom atila import Atila\napp = Atila('app')\n"
SERVED = "skitai.mount('/', app)\nskitai.run(port=0, address='127.0.0.1')\n"
USES = {
    "test": "import skitai\nskitai.test_client('serve.py')\n",
    "brotli": (
        "from skitai.upstream.http.content import _brotli_pieces\nnext(_brotli_pieces(b''))\n"
    ),
    "chameleon": (
        "from atila.templating.page_templates import PageTemplates\n"
        "PageTemplates()._make_loader('page.pt')\n"
    ),
    "django": "from atila.patches import djangopatch\ndjangopatch.setup('serve.py')\n",
    "grpc": ("from skitai.upstream.grpc.stub import GrpcStub\nGrpcStub(None, '/a.B')\n"),
    "http3": APP + SERVED.replace("port=0", "port=0, quic=5443"),
    "minify": APP + "app.config.MINIFY_HTML = 'minify'\n" + SERVED,
    "mongodb": "import skitai\nskitai.alias('@a', skitai.DB_MONGODB, 'localhost/db')\n",
    "postgresql": "import skitai\nskitai.alias('@a', skitai.DB_PGSQL, 'u:p@localhost/db')\n",
    "redis": "import skitai\nskitai.alias('@a', skitai.DB_REDIS, 'localhost/0')\n",
    "redis for sessions": (
        "from atila.state.session_store import RedisSessionStore\n"
        "RedisSessionStore('redis://localhost')\n"
    ),
    "rpc": "from atila.rpc.jsonrpc import _payload\n_payload()\n",
}


class Environment:
    """A virtual environment that has packages of the running one, by links: no network is needed.

    Parameters:
        home: where it is made.
        beside: one whose packages it has, too.
    """

    def __init__(self, home: Path, beside: Environment | None = None) -> None:
        venv.create(home, symlinks=True)
        self.python = home / "bin" / "python"
        self.bin = home / "bin"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = home / "lib" / version / "site-packages"
        if beside is not None:
            (self.site / "beside.pth").write_text(f"{beside.site}\n")

    def install(self, wheel: Path) -> None:
        """Install a wheel without what it needs, whatever else this process could import."""
        subprocess.run(
            [
                sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet",
                "--no-deps", "--no-index", "--no-compile", "--ignore-installed", str(wheel),
            ],
            check=True, capture_output=True, cwd=self.site,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )  # fmt: skip

    def link(self, requirements: Iterable[str]) -> None:
        """Have what these requirements name, and what that needs in turn."""
        waiting, seen = list(requirements), set()
        while waiting:
            name = name_of(waiting.pop())
            if name in seen:
                continue
            seen.add(name)
            try:
                found = distribution(name)
            except PackageNotFoundError:
                continue  # it is for other systems or versions
            waiting += [one for one in found.requires or () if "extra ==" not in one]
            for top in {file.parts[0] for file in found.files or ()}:
                place = self.site / top
                if top not in ("..", "__pycache__") and not place.exists():
                    place.symlink_to(SITE / top)


def name_of(requirement: str) -> str:
    """The name of a package, as one that may be compared."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()

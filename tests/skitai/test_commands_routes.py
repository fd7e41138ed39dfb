"""The command ``routes``: a table of what is mounted, for people and pipes."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from skitai.commands.routes import table

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    from atila import Atila

    shop, other = Atila("shop"), Atila("other")

    @shop.route("/items/<int:id>", methods=["GET"])
    async def item(was, id):
        return ""

    @shop.route("/items", methods=["POST"], authenticate="bearer")
    @shop.inspect("JSON", required=["name"])
    def add(was, name):
        return ""

    @shop.before_request
    def look(was):
        pass

    shop.securekey = "a-key"
    shop.unroute("/old/*")

    def old(environ, start_response):
        return []

    @other.route("")
    def index(was):
        return ""

    if __name__ == "__main__":
        skitai.alias("@api", skitai.PROTO_HTTP, "127.0.0.1:9")
        skitai.mount("/shop", shop)
        skitai.mount("/other", other, host="example.com")
        skitai.mount("/old", old)
        skitai.mount("/api", "@api")
        skitai.mount("/files", "files")
        skitai.run(port=0)
"""
SHOWN = """\
app shop at /shop/
  GET   /shop/items/<int:id>  __main__.item:7    async
  POST  /shop/items           __main__.add:11    bearer inspects JSON
  before_request: __main__.look:16
  /old/*: taken back, 404
app other at /other/ for example.com
  GET,POST  /other  __main__.index:26
wsgi old at /old/
proxy @api at /api/ -> @api
static /files/ -> {home}/files
"""


def run(home, *words):
    return subprocess.run(
        [sys.executable, "serve.py", *words],
        cwd=home, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_all_that_is_mounted_is_printed(tmp_path):
    (tmp_path / "serve.py").write_text(textwrap.dedent(SERVE))
    (tmp_path / "files").mkdir()
    done = run(tmp_path, "routes")
    assert (done.returncode, done.stderr) == (0, "")
    assert squeezed(done.stdout) == squeezed(SHOWN.format(home=tmp_path))
    assert "/shop/routes.json" in run(tmp_path, "routes", "--devel").stdout


def test_an_app_that_fails_says_why(tmp_path):
    (tmp_path / "serve.py").write_text(
        "import skitai\nfrom atila import Atila\napp = Atila('a')\n"
        "app.route('/')(lambda was: '')\napp.session_timeout = 'x'\n"
        "skitai.mount('/', app)\nskitai.run()\n"
    )
    done = run(tmp_path, "routes")
    assert done.returncode == 2
    assert "session" in done.stderr
    assert "Traceback" not in done.stderr


def test_columns_stand_below_each_other():
    route = {
        **{"methods": ["GET"], "function": "f", "module": "m", "line": 1, "kind": "plain"},
        **{"subdomain": "", "authenticate": None, "guards": [], "inspect": {}},
    }
    mount = {"kind": "app", "name": "a", "point": "/", "hosts": ["default"]}
    routes = [{**route, "rule": "/a"}, {**route, "rule": "/longer", "kind": "async", "line": 99}]
    lines = list(table({"mounts": [{**mount, "routes": routes}], "statics": []}))
    assert lines[1:] == ["  GET  /a       m.f:1", "  GET  /longer  m.f:99  async"]

"""A service under --devel with nginx in front of it: the pages there follow what is saved, too."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from live_service import PATIENCE, LiveService, eventually, write_files
from nginx_process import PROGRAM, nginx

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(PROGRAM is None, reason="there is no nginx")]

ROOT = Path(__file__).parents[2]
SERVE = """
    import skitai
    from atila import Atila

    app = Atila(__name__)

    @app.route("/")
    def index(was):
        return "<html><body>first</body></html>"

    if __name__ == "__main__":
        skitai.mount("/", app)
        skitai.run(name="followed", address="127.0.0.1")
"""


def configure(folder, port):
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ.pop("SKITAIENV", None)
    words = [f"--port={port}", "--nginx-conf=shop.example.com"]
    subprocess.run(
        [sys.executable, "serve.py", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )


def events(response):
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_pages_behind_nginx_follow_what_is_saved(tmp_path):
    folder = tmp_path / "project"
    write_files(folder, {"serve.py": SERVE, "static/look.css": ""})
    service = LiveService(folder, devel=True)
    with contextlib.closing(service):
        configure(folder, service.port)
        with (
            nginx(folder, tmp_path / "nginx") as (port, _),
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Host": "shop.example.com"},
                timeout=PATIENCE,
                trust_env=False,
            ) as client,
        ):
            page = client.get("/", headers={"Accept-Encoding": "gzip"}).text
            state = re.search('data-state="(.*?)"', page)[1]
            assert client.get("/-/devel/refresh.js").status_code == 200
            with client.stream("GET", "/-/devel/refresh") as response:
                told = events(response)
                assert next(told)["state"] == state
                write_files(folder, {"static/look.css": "a"})
                assert next(told)["kind"] == "style"  # at once, not held back
                write_files(folder, {"serve.py": SERVE.replace("first", "second")})
                assert list(told) == []  # the old worker ends it
            eventually(lambda: "second" in client.get("/").text, "the new code")
            with client.stream("GET", "/-/devel/refresh") as response:
                assert next(events(response))["state"] != state

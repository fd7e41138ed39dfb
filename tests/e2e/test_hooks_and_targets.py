"""The hooks of modules, and all that `skitai.mount` takes, in running services."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        skitai.mount ("/", myapp)
        skitai.run ()
"""

TRACING_APP = """
    import os
    from atila import Atila

    def trace (line):
        with open (os.environ ["TRACE"], "a") as trace:
            trace.write (f"{line} {os.getpid ()}\\n")

    def __config__ (pref):
        trace ("config")
        pref.config.NUMBER = 1

    def __app__ ():
        trace ("app")
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import services
        trace (f"setup {mntopt ['point']} {app.config.NUMBER}")
        app.mount ("/", services)

    def __mount__ (app, mntopt):
        trace ("mount")

        @app.route ("/")
        def index (was):
            trace ("request")
            return "ok"

    def __umount__ (app):
        trace ("umount")
"""

TRACING_SERVICES = """
    from .. import trace

    def __setup__ (app, mntopt):
        from . import sub
        trace ("services.setup")
        app.mount ("/sub", sub, colour = "red")

    def __mount__ (app, mntopt):
        trace ("services.mount")

    def __umount__ (app):
        trace ("services.umount")
"""

TRACING_SUB = """
    from .. import trace

    def __setup__ (app):
        trace ("sub.setup")

    def __mount__ (app, mntopt):
        trace (f"sub.mount {mntopt ['point']} {mntopt ['colour']}")

    def __umount__ (app):
        trace ("sub.umount")
"""


def test_order_and_process_of_the_hooks(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    service = launch(
        {
            "serve.py": SERVE,
            "myapp/__init__.py": TRACING_APP,
            "myapp/services/__init__.py": TRACING_SERVICES,
            "myapp/services/sub.py": TRACING_SUB,
        },
        workers=2,
    )
    workers = service.workers()
    for _ in range(3):
        assert service.get("/").text == "ok"
    service.client.stop()
    lines = [line.rpartition(" ") for line in (tmp_path / "trace").read_text().splitlines()]
    assert [name for name, _, pid in lines if int(pid) == service.pid] == ["config"]
    for worker in workers:
        names = [name for name, _, pid in lines if int(pid) == worker and name != "request"]
        assert names == [
            "app", "setup / 1", "services.setup", "sub.setup",
            "mount", "services.mount", "sub.mount /sub red",
            "sub.umount", "services.umount", "umount",
        ]  # fmt: skip
    assert sum(name == "request" for name, _, _ in lines) == 3
    assert len(lines) == 1 + 2 * 10 + 3


def test_every_kind_of_target_can_be_mounted(launch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative paths begin at the script, not here
    answer = """
        @{app}.route ("/")
        def index (was):
            return "{text}"
    """
    create = "\n        from atila import Atila\n        {app} = Atila (__name__)\n" + answer
    hooks = """
        from atila import Atila

        def __app__ ():
            return Atila (__name__)

        def __mount__ (app):
            @app.route ("/")
            def index (was):
                return "{text}"
    """
    service = launch(
        {
            "serve.py": """
                import skitai
                from atila import Atila
                import a_module
                import a_package

                app = Atila (__name__)

                @app.route ("/")
                def index (was):
                    return "object"

                if __name__ == "__main__":
                    skitai.mount ("/", app)
                    skitai.mount ("/module", a_module)
                    skitai.mount ("/package", a_package)
                    skitai.mount ("/file", "apps/plain")
                    skitai.mount ("/file.py", "apps/hooked.py")
                    skitai.mount ("/named", "apps/named:application")
                    skitai.mount ("/third", "apps/third.py", "website")
                    skitai.mount ("/files", "public")
                    skitai.mount ("/deep/er", "apps/plain.py", name = "again")
                    skitai.run ()
            """,
            "a_module.py": hooks.format(text="module"),
            "a_package/__init__.py": hooks.format(text="package"),
            "apps/plain.py": create.format(app="app", text="file"),
            "apps/hooked.py": hooks.format(text="file.py"),
            "apps/named.py": create.format(app="application", text="named"),
            "apps/third.py": create.format(app="website", text="third"),
            "public/note.txt": "a file",
        }
    )
    points = ("module", "package", "file", "file.py", "named", "third")
    assert service.get("/").text == "object"
    assert [service.get(f"/{point}/").text for point in points] == list(points)
    assert service.get("/deep/er/").text == "file"
    assert service.get("/files/note.txt").text == "a file"
    assert service.get("/deep/").status_code == 404
    response = service.get("/module?a=1", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (308, "/module/?a=1")

"""The life of apps in running services: events, other apps, extensions, maintenance, reloads."""

from __future__ import annotations

import os
import signal

import pytest
from live_service import eventually, run_script, write_files

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        skitai.mount ("/", myapp)
        skitai.run (address="127.0.0.1", access_log=False)
"""

# Writes down the life of an app, in a file for each worker.
DIARY = """
    import os

    def note (line):
        with open (f"diary-{os.getpid ()}", "a") as diary:
            diary.write (f"{line}\\n")
"""

EVENTS = """
    import asyncio
    from atila import Atila
    from diary import note

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        note ("__setup__")

        @app.on ("before_mount")
        def before_mount (was):
            note ("before_mount")
            app.g ["TOTAL_REQUEST"] = 0

        others = ("before_reload", "mounted", "reloaded", "mounted_or_reloaded", "before_umount")
        for name in others:
            app.on (name) (lambda was, name = name: note (name))

        @app.on ("before_mount")
        async def on_the_loop (was):
            await asyncio.sleep (0)
            note ("async")

        @app.umounted
        async def umounted (was):
            await asyncio.sleep (0.01)
            note ("umounted")

    def __mount__ (app, mntopt):
        note (f"__mount__ {app.g ['TOTAL_REQUEST']}")

        @app.route ("/")
        def index (was):
            return [app.g.increment ("TOTAL_REQUEST")]

    def __mounted__ (app, mntopt):
        note (f"__mounted__ {mntopt ['point']}")

    def __umount__ (app):
        note ("__umount__")

    def __umounted__ (app):
        note ("__umounted__")
"""

FILES = {"serve.py": SERVE, "diary.py": DIARY, "myapp/__init__.py": EVENTS}
START = ["__setup__", "before_mount", "__mount__ 0", "__mounted__ /", "mounted"]
END = ["before_umount", "__umount__", "__umounted__", "umounted"]


def diary_of(service, worker):
    diary = service.folder / f"diary-{worker}"
    return diary.read_text().splitlines() if diary.exists() else []


# Events


def test_events_and_hooks_of_every_worker(launch):
    service = launch(FILES, workers=2)
    workers = service.workers()
    for worker in workers:
        eventually(lambda worker=worker: "async" in diary_of(service, worker), "the coroutine")
    service.client.stop()
    assert service.client.returncode == 0
    for worker in workers:
        lines = diary_of(service, worker)
        lines.remove("async")
        assert lines == [*START, "mounted_or_reloaded", *END]


def test_events_of_a_reload_and_of_a_replacement(launch):
    service = launch(FILES)
    [first] = service.workers()
    service.send(signal.SIGHUP)
    service.wait_for_log("reloaded: generation 1 serves")
    [second] = eventually(
        lambda: first not in service.workers() and service.workers(), "only the new worker"
    )
    lines = [line for line in diary_of(service, second) if line != "async"]
    assert lines == [
        "__setup__", "before_reload", "before_mount", "__mount__ 0", "__mounted__ /", "mounted",
        "reloaded", "mounted_or_reloaded",
    ]  # fmt: skip
    assert [line for line in diary_of(service, first) if line in END] == END
    os.kill(second, signal.SIGKILL)
    [third] = eventually(
        lambda: second not in service.workers() and service.workers(), "the replacement"
    )
    eventually(lambda: service.get("/").json() == [1], "the new worker's answer")
    lines = [line for line in diary_of(service, third) if line != "async"]
    assert lines == [*START, "mounted_or_reloaded"]


def test_a_hook_that_fails_at_the_end_of_the_start_keeps_the_service_from_starting(tmp_path):
    write_files(
        tmp_path,
        {**FILES, "myapp/__init__.py": EVENTS.replace('note (f"__mounted__', 'fail (f"')},
    )
    done = run_script(tmp_path, "--port", "0")
    assert done.returncode == 2
    assert "app 'myapp' can't be started: " in done.stderr
    assert "myapp/__init__.py" in done.stderr


# Several apps

TFSERVER = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        app.on ("mounted") (lambda was: app.emit ("tfserver:models", was.apps ["myapp"].name))
        app.on_broadcast ("reset") (lambda was: app.g.clear ())

    def __mount__ (app, mntopt):
        @app.route ("/")
        def index (was):
            was.g ["LOADED_MODELS"] = ["a", "b"]
            return "ok"

        @app.route ("/reload")
        def reload (was, model):
            app.emit ("tfserver:model-reloaded", model)
            app.emit ("broken")
            return was.API (models = was.g ["RELOADED"])

        @app.route ("/values")
        def values (was):
            return sorted (app.g.keys ())
"""

MYAPP = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        heard = []

        @app.on ("tfserver:model-reloaded")
        def on_tfserver_model_reloaded (was, model_name):
            was.g.RELOADED = [model_name, was.app.name]

        @app.on ("broken")
        def broken (was):
            raise RuntimeError ("on purpose")

        app.on ("tfserver:mounted") (lambda was: heard.append ("mounted"))
        app.on ("tfserver:models") (lambda was, name: heard.append (name))
        app.on ("tfserver:before_request") (lambda was: heard.append ("request"))
        app.on ("tfserver:before_umount") (lambda was: print ("heard the end of tfserver"))
        app.heard = heard

    def __mount__ (app, mntopt):
        @app.route ("/")
        def index (was):
            return "|".join (was.g ["LOADED_MODELS"])

        @app.route ("/heard")
        def heard (was):
            return app.heard

        @app.route ("/apps")
        def apps (was):
            other = was.apps ["tfserver"]
            other.g.touched = 1
            try:
                was.apps ["nobody"]
            except NameError as exc:
                return [other.name, str (exc), was.apps.get ("nobody", "none")]

        @app.route ("/reset")
        def reset (was):
            was.broadcast ("reset")
            return "ok"
"""

TWO_APPS = {
    "serve.py": """
        import skitai
        import myapp
        import tfserver

        def mount_tfserver ():
            with skitai.preference () as pref:
                skitai.mount ("/tf", tfserver, pref, name = "tfserver")

        def mount_myapp ():
            with skitai.preference () as pref:
                skitai.mount ("/", myapp, pref, subscribe = ["tfserver"])

        if __name__ == "__main__":
            mount_tfserver (); mount_myapp ()
            skitai.run (address="127.0.0.1", access_log=False)
    """,
    "myapp.py": MYAPP,
    "tfserver.py": TFSERVER,
}


@pytest.mark.parametrize("order", ["subscriber first", "provider first"])
def test_apps_work_together(launch, order):
    script = TWO_APPS["serve.py"]
    if order == "subscriber first":
        script = script.replace(
            "mount_tfserver (); mount_myapp ()", "mount_myapp (); mount_tfserver ()"
        )
    service = launch({**TWO_APPS, "serve.py": script})
    assert service.get("/heard").json() == ["myapp", "mounted"]
    assert service.get("/tf/").text == "ok"
    assert service.get("/").text == "a|b"
    response = service.get("/tf/reload?model=m1")
    assert response.json() == {"models": ["m1", "myapp"]}
    assert "RuntimeError: on purpose" in service.log()
    assert service.get("/heard").json() == ["myapp", "mounted", "request", "request"]
    assert service.get("/apps").json() == [
        "tfserver", "no app is named 'nobody' here, there are: "
        + ("'myapp', 'tfserver'" if order == "subscriber first" else "'tfserver', 'myapp'"),
        "none",
    ]  # fmt: skip
    assert service.get("/tf/values").json() == ["touched"]
    service.get("/reset")
    assert service.get("/tf/values").json() == []
    service.client.stop()
    assert "heard the end of tfserver" in service.log()


@pytest.mark.parametrize(("provider", "reason"), [("tfserwer", "tfserver"), ("myapp", "myapp")])
def test_a_subscription_that_can_not_be_keeps_the_service_from_starting(tmp_path, provider, reason):
    script = TWO_APPS["serve.py"].replace('["tfserver"]', f'"{provider}"')
    write_files(tmp_path, {**TWO_APPS, "serve.py": script})
    done = run_script(tmp_path, "--port", "0")
    assert done.returncode == 2
    assert f"app 'myapp' can't subscribe to {provider!r}" in done.stderr
    assert reason in done.stderr


def test_hooks_may_mount_directories_and_apps_for_the_service(launch):
    service = launch(
        {
            "serve.py": SERVE,
            "myapp/__init__.py": """
                import skitai
                from atila import Atila

                def __app__ ():
                    return Atila (__name__)

                def __setup__ (app, mntopt):
                    app.mount ("/files", "public")
                    app.set_static ("/assets", "assets")
                    skitai.mount ("/more", "apps/more.py", subscribe = "myapp")

                def __mount__ (app, mntopt):
                    @app.route ("/")
                    def index (was):
                        app.emit ("seen", 5)
                        return [was.static ("a.txt"), was.apps ["apps/more"].seen]
            """,
            "apps/more.py": """
                from atila import Atila
                app = Atila (__name__)
                app.seen = []
                app.on ("seen") (lambda was, number: app.seen.append (number))

                @app.route ("/x")
                def x (was):
                    return "more"
            """,
            "public/note.txt": "a file",
            "assets/a.txt": "an asset",
        }
    )
    assert service.get("/files/note.txt").text == "a file"
    assert service.get("/assets/a.txt").text == "an asset"
    assert service.get("/more/x").text == "more"
    assert service.get("/").json() == ["/assets/a.txt", [5]]


# Extending and overriding


def package(path, *rules):
    """An app with routes that answer with its name."""
    name = path.rpartition("/")[2]
    routes = "".join(
        f"""
        @app.route ("/{rule}")
        def {rule} (was):
            return WORD + " {rule}"
        """
        for rule in rules
    )
    return {
        f"{path}/__init__.py": f"""
    from atila import Atila
    from .words import WORD

    def __config__ (pref):
        pref.config.setdefault ("ORDER", []).append ("{name}")

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import services
        app.mount ("/", services)

    def __mount__ (app, mntopt):
        pass
        {routes}
    """,
        f"{path}/services.py": f"""
    def __mount__ (app, mntopt):
        @app.route ("/services")
        def services (was):
            return was.API (by = "{name}", order = app.config.ORDER)

        @app.route ("/render/<page>")
        def render (was, page):
            return was.render (page)
    """,
        f"{path}/words.py": f"WORD = '{name}'\n",
    }


def resources(path, *pages):
    """Static files and templates with the name of the app."""
    name = path.rpartition("/")[2]
    return {f"{path}/{kind}/{page}": name for page in pages for kind in ("static", "templates")}


EXTENDED = {
    **package("myapp", "own", "both"),
    **resources("myapp", "own.j2", "both.j2"),
    **package("../lib/base", "base", "both"),
    **resources("../lib/base", "base.j2", "both.j2"),
}


def serving(mounted, preferred):
    return f"""
        import skitai

        if __name__ == "__main__":
            with skitai.preference (path = "../lib") as pref:
                import base, myapp
                pref.{preferred}
                skitai.mount ("/", {mounted}, pref)
            with skitai.preference () as pref:
                pref.set_static ("/static", "myapp/static")
            skitai.run (address="127.0.0.1", access_log=False)
    """


def test_an_app_that_extends_another(launch):
    service = launch({**EXTENDED, "serve.py": serving("myapp", "extends (base)")}, devel=True)
    paths = ("own", "both", "base")
    assert [service.get(f"/{path}").text for path in paths] == [
        "myapp own",
        "myapp both",
        "base base",
    ]
    assert service.get("/services").json() == {"by": "myapp", "order": ["base", "myapp"]}
    pages = ("own.j2", "both.j2", "base.j2")
    assert [service.get(f"/render/{page}").text for page in pages] == ["myapp", "myapp", "base"]
    assert service.get("/static/base.j2").text == "base"

    # What is saved in the extended package takes effect: templates at once, code by a reload.
    worker = service.workers()
    write_files(service.folder, {"../lib/base/templates/base.j2": "changed"})
    eventually(lambda: service.get("/render/base.j2").text == "changed", "the new template")
    assert service.workers() == worker
    write_files(service.folder, {"../lib/base/words.py": "WORD = 'new'\n"})
    eventually(lambda: service.get("/base").text == "new base", "the new code")


def test_an_app_that_is_overridden(launch):
    service = launch({**EXTENDED, "serve.py": serving("base", "overrides (myapp)")})
    paths = ("own", "both", "base")
    assert [service.get(f"/{path}").text for path in paths] == [
        "myapp own",
        "myapp both",
        "base base",
    ]
    assert service.get("/services").json()["by"] == "myapp"
    pages = ("own.j2", "both.j2", "base.j2")
    assert [service.get(f"/render/{page}").text for page in pages] == ["myapp", "myapp", "base"]
    assert service.get("/static/both.j2").text == "myapp"


# Maintenance

MAINTAINED = """
    import os
    import time
    from atila import Atila
    from diary import note

    app = Atila (__name__)
    app.store.set ("num-nodes", 0) # thread safe store

    @app.maintain
    def counting (was, now, count):
        app.g ["num-nodes"] = count + 1
        note (f"round {count}")

    @app.maintain (2, threading = False)
    def failing (was, now, count):
        raise RuntimeError ("on purpose")

    @app.maintain (threading = True)
    def blocking (was, now, count):
        note ("blocking")
        while os.path.exists ("block"):
            time.sleep (0.01)

    @app.maintain
    async def on_the_loop (was, now, count):
        note (f"async {count}")

    @app.route ("/")
    def index (was):
        return [app.g ["num-nodes"]]
"""

MAINTAIN = """
    import skitai

    if __name__ == "__main__":
        with skitai.preference () as pref:
            pref.config.MAINTAIN_INTERVAL = 0.05
            skitai.mount ("/", "main.py", pref)
        skitai.run (address="127.0.0.1", access_log=False, threads=1)
"""


def test_maintenance_without_any_request_and_beside_them(launch):
    service = launch(
        {"serve.py": MAINTAIN, "main.py": MAINTAINED, "diary.py": DIARY, "block": ""}, workers=2
    )
    workers = service.workers()
    for worker in workers:
        eventually(lambda worker=worker: "round 2" in diary_of(service, worker), "three rounds")
        lines = diary_of(service, worker)
        assert lines.count("blocking") == 1
        assert [line for line in lines if line[:5] == "async"][:2] == ["async 0", "async 1"]
    assert service.get("/").json()[0] >= 3  # the only thread for requests is free
    assert "maintain job failing failed" in service.log()
    service.client.stop()
    assert service.client.returncode == 0
    # A job that blocks does not keep the worker.
    assert service.log().count("maintain job blocking has not ended, it is left behind") == 2


def test_a_wrong_interval_keeps_the_service_from_starting(tmp_path):
    script = MAINTAIN.replace("0.05", "'often'")
    write_files(tmp_path, {"serve.py": script, "main.py": MAINTAINED, "diary.py": DIARY})
    done = run_script(tmp_path, "--port", "0")
    assert done.returncode == 2
    assert "config.MAINTAIN_INTERVAL must be seconds, more than 0, not 'often'" in done.stderr

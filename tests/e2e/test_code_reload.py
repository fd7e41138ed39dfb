"""New code and templates while the service runs: saved under --devel, by SIGHUP in production."""

from __future__ import annotations

import signal

import pytest
from live_service import eventually, write_files
from load import Load

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        skitai.mount ("/", myapp)
        skitai.run (address="127.0.0.1", access_log=False, workers=2)
"""

APP = """
    import os
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        from . import services
        app.mount ("/", services)

    def __mount__ (app, mntopt):
        @app.route ("/who")
        def who (was, token):
            return f"{token} {os.getpid ()}"

        @app.route ("/page")
        def page (was):
            return was.render ("page.j2")

    def __umount__ (app):
        with open ("notes", "a") as notes:
            notes.write (f"{os.getpid ()}\\n")
"""

SERVICES = """
    from .words import WORD

    def __mount__ (app, mntopt):
        @app.route ("/")
        def index (was):
            return WORD
"""


def words(text):
    return f"WORD = {text!r}\n"


FILES = {
    "serve.py": SERVE,
    "myapp/__init__.py": APP,
    "myapp/services.py": SERVICES,
    "myapp/words.py": words("first"),
    "myapp/templates/page.j2": "page one",
}


def text_of(service, path="/"):
    response = service.get(path)
    assert response.status_code == 200, response.text  # at every moment
    return response.text


def wait_for_text(service, text, path="/"):
    """Wait until all workers answer so, and the workers before them have gone."""
    eventually(lambda: text_of(service, path) == text, f"{text!r}")


def test_a_saved_module_is_served_and_no_request_fails(launch):
    service = launch(FILES, devel=True)
    [worker] = service.workers()  # one is enough for a developer
    assert text_of(service) == "first"
    with Load(service.port, keeping=2, changing=1) as load:
        write_files(service.folder, {"myapp/words.py": words("second")})
        wait_for_text(service, "second")
        eventually(lambda: len(service.workers()) == 1, "the end of the old worker")
        load.wait_for_more(20)
    assert load.failures == []
    assert worker not in service.workers()
    assert (service.folder / "notes").read_text() == f"{worker}\n"


def test_saving_in_place_is_noticed_too(launch):
    service = launch(FILES, devel=True)
    (service.folder / "myapp/words.py").write_text(words("written over"))
    wait_for_text(service, "written over")


def test_changes_of_the_same_size_within_a_second_are_not_taken_from_a_cache(launch, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    service = launch(FILES, devel=True)
    for number in range(10, 16):
        write_files(service.folder, {"myapp/words.py": words(f"number {number}")})
        wait_for_text(service, f"number {number}")


def test_a_mistake_keeps_the_old_code_until_it_is_mended(launch):
    service = launch(FILES, devel=True)
    worker = service.workers()
    write_files(service.folder, {"myapp/words.py": "WORD = (\n"})
    service.wait_for_log("reload given up, the old workers go on: .*SyntaxError.*words.py, line 1")
    assert text_of(service) == "first"
    assert service.workers() == worker
    write_files(service.folder, {"myapp/words.py": "WORD = undefined\n"})
    service.wait_for_log("reload given up, the old workers go on: .*NameError.*words.py, line 1")
    assert text_of(service) == "first"
    write_files(service.folder, {"myapp/words.py": words("mended")})
    wait_for_text(service, "mended")
    assert "Traceback" not in service.log()
    assert service.client.returncode is None


def test_a_module_that_is_new_and_one_that_goes(launch):
    service = launch(FILES, devel=True)
    write_files(
        service.folder,
        {
            "myapp/more.py": "WORD = 'from a new module'\n",
            "myapp/services.py": SERVICES.replace("from .words", "from .more"),
        },
    )
    wait_for_text(service, "from a new module")
    (service.folder / "myapp/more.py").unlink()
    service.wait_for_log("reload given up, the old workers go on: .*myapp.more")
    assert text_of(service) == "from a new module"


def test_the_launch_script_is_reloaded_too(launch):
    service = launch(FILES, devel=True)
    changed = SERVE.replace('mount ("/"', 'mount ("/below"')
    write_files(service.folder, {"serve.py": changed})
    eventually(lambda: service.get("/below/").status_code == 200, "the new mount point")


def test_a_saved_template_is_served_by_the_same_worker(launch):
    service = launch(FILES, devel=True)
    worker = service.workers()
    assert text_of(service, "/page") == "page one"
    write_files(service.folder, {"myapp/templates/page.j2": "page two"})
    wait_for_text(service, "page two", "/page")
    assert service.workers() == worker
    assert "reloading" not in service.log()


def test_production_takes_new_code_only_on_sighup(launch):
    service = launch(FILES)
    old = set(service.workers())
    assert len(old) == 2
    assert text_of(service, "/page") == "page one"
    write_files(
        service.folder,
        {"myapp/words.py": words("second"), "myapp/templates/page.j2": "page two"},
    )
    answers = {text_of(service) for _ in range(20)}
    assert answers == {"first"}
    service.send(signal.SIGHUP)
    service.wait_for_log("reloaded: generation 1 serves")
    eventually(lambda: old.isdisjoint(service.workers()), "the end of the old workers")
    assert {text_of(service) for _ in range(20)} == {"second"}
    assert {text_of(service, "/page") for _ in range(20)} == {"page two"}
    assert sorted((service.folder / "notes").read_text().split()) == sorted(map(str, old))


def test_a_mistake_in_production_keeps_the_old_workers(launch):
    service = launch(FILES)
    old = set(service.workers())
    write_files(service.folder, {"myapp/words.py": "raise RuntimeError('not yet')\n"})
    service.send(signal.SIGHUP)
    service.wait_for_log(
        r"reload given up, the old workers go on: .*not yet \(myapp/words.py, line 1\)"
    )
    eventually(lambda: set(service.workers()) == old, "only the old workers")
    assert text_of(service) == "first"
    write_files(service.folder, {"myapp/words.py": words("ready")})
    service.send(signal.SIGHUP)
    service.wait_for_log("reloaded: generation")
    wait_for_text(service, "ready")

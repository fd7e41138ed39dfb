"""Reloads with broken code, and very many of them: the old code serves, and nothing is left."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from live_service import eventually, running, write_files

from skitai.errors import StartupError

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        skitai.mount ("/", myapp)
        skitai.run (address = "127.0.0.1", access_log = False, OPTIONS)
"""
APP = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/")
        def index (was):
            return "TEXT"
"""
HOOK = """
    import time
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        BODY
"""
RELOADS = int(os.environ.get("RELOADS", "8"))  # 100 were made by hand


def save(service, app, options=""):
    files = {"myapp/__init__.py": app, "serve.py": SERVE.replace("OPTIONS", options)}
    write_files(service.folder, files)
    service.send(signal.SIGHUP)


def test_whatever_is_wrong_with_the_new_code_the_old_goes_on(launch):
    service = launch(
        {"serve.py": SERVE.replace("OPTIONS", ""), "myapp/__init__.py": APP.replace("TEXT", "old")}
    )
    [old] = service.workers()
    given_up = r"error:m\] reload given up, the old workers go on: "
    for number, (app, options, reason) in enumerate(
        (
            ("def broken (:\n", "", "ended with exit code"),
            ("import nothing_of_that_name\n", "", "ended with exit code"),
            (HOOK.replace("BODY", "raise RuntimeError ('bad hook')"), "", ".*bad hook"),
            (HOOK.replace("BODY", "time.sleep (1000)"), "start_timeout = 1",
             r"worker w0 \(pid \d+\) was not ready within 1 s \(start_timeout\): killed"),
        ),
        1,
    ):  # fmt: skip
        save(service, app, options)
        eventually(
            lambda n=number: len(re.findall(given_up, service.log())) == n, f"the end of try {app}"
        )
        assert re.search(given_up + f".*{reason}", service.log()), service.log()
        assert service.get("/").text == "old"
        eventually(lambda: service.workers() == [old], "the end of the new worker")
    save(service, APP.replace("TEXT", "new"))
    service.wait_for_log(r"reloaded: generation \d serves")
    eventually(lambda: service.get("/").text == "new", "the new code")


def test_a_first_start_that_hangs_ends_with_code_2_and_its_reason(launch):
    with pytest.raises(StartupError, match=r"not ready within 1 s \(start_timeout\): killed"):
        launch(
            {
                "serve.py": SERVE.replace("OPTIONS", "start_timeout = 1"),
                "myapp/__init__.py": HOOK.replace("BODY", "time.sleep (1000)"),
            }
        )


def test_many_reloads_leave_nothing_behind(launch):
    service = launch(
        {"serve.py": SERVE.replace("OPTIONS", ""), "myapp/__init__.py": APP.replace("TEXT", "hi")}
    )

    def reload(number):
        service.send(signal.SIGHUP)
        service.wait_for_log(f"reloaded: generation {number} serves$")
        eventually(lambda: len(service.workers()) == 1, "the end of the old worker")

    def state():
        [worker] = service.workers()
        return {
            "of the master": len(os.listdir(f"/proc/{service.pid}/fd")),
            "of the worker": len(os.listdir(f"/proc/{worker}/fd")),
            "threads": psutil.Process(service.pid).num_threads(),
            "processes": len(running(service.pid)),
            "sockets": len(sockets_of(service.pid, worker)),
        }

    reload(1)
    reload(2)
    assert service.get("/").text == "hi"
    before = state()
    memory = psutil.Process(service.pid).memory_info().rss
    for number in range(3, RELOADS):
        reload(number)
    assert service.get("/").text == "hi"

    def no_more():
        now = state()
        return all(now[what] <= number for what, number in before.items())

    eventually(no_more, f"no more than before: {before}")
    grown = psutil.Process(service.pid).memory_info().rss - memory
    assert grown < 2**21, f"{grown} bytes more in the master"


def sockets_of(*pids):
    """Unix sockets of processes, by inode: those without a file, too."""
    own = {
        os.readlink(link)
        for pid in pids
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if os.readlink(link).startswith("socket:")
    }
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return [line for line in lines if f"socket:[{line.split()[6]}]" in own]

"""The bus between the workers of a running service, through losses and a reload."""

from __future__ import annotations

import os
import signal

import pytest
from live_service import eventually

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    from skitai.handlers.interface import Mode
    from skitai.server.representation import Head


    class App:
        name = "talker"
        mode, takes_body, streams_body, max_body, missing = Mode.LOOP, False, False, None, False

        def __init__(self):
            self.heard = []

        def join(self, peers):
            self.bus = peers.bus
            self.bus.subscribe("talk", self.heard.append)

        def setup(self, module, mntopt):
            self.bus.publish("talk", b"hello from %d" % self.bus.worker)

        def freeze(self, point, pool):
            return lambda exchange: self

        def run(self, exchange):
            path = exchange.request.path
            if path == "/say":
                self.bus.publish("talk", b"news")
            lines = [str(self.bus.worker), *map(str, sorted(self.bus.workers()))]
            heard = [data.decode() for data in self.heard]
            body = chr(10).join([" ".join(lines), *heard]).encode()
            exchange.respond(Head(200, "text/plain"), body)

        def cleanup(self):
            self.bus.publish("talk", b"bye from %d" % self.bus.worker)


    if __name__ == "__main__":
        app = App()
        app.home, app.use_reloader, app.debug = ".", False, False
        skitai.mount("/", app)
        skitai.run(workers=3, threads=0)
"""


def heard_by_all(service, path="/"):
    """What each worker says: its id, the ids of those that it knows, what it has heard."""
    found = {}

    def complete():
        lines = service.get(path).text.split("\n")
        me, *others = map(int, lines[0].split())
        found[me] = (others, lines[1:])
        return set(found) >= set(service.workers())

    eventually(complete, "an answer of every worker")
    return {pid: found[pid] for pid in service.workers()}


def test_workers_hear_each_other_through_losses_and_a_reload(launch):
    service = launch({"serve.py": SERVE})
    pids = sorted(service.workers())
    assert len(pids) == 3
    told = heard_by_all(service)
    for pid, (others, heard) in told.items():
        assert others == [other for other in pids if other != pid]
        assert sum(line.startswith("hello from") for line in heard) <= 2
    assert sum(len(heard) for _, heard in told.values()) >= 3  # who came later told the earlier

    os.kill(pids[0], signal.SIGKILL)
    eventually(
        lambda: len(service.workers()) == 3 and pids[0] not in service.workers(), "a replacement"
    )
    eventually(
        lambda: all(
            sorted([pid, *others]) == sorted(service.workers())
            for pid, (others, _) in heard_by_all(service).items()
        ),
        "all to know each other",
    )

    old = set(service.workers())
    service.send(signal.SIGHUP)
    service.wait_for_log("generation 1 serves")
    eventually(lambda: not old & set(service.workers()), "the end of the old workers")
    farewells = {f"bye from {pid}" for pid in old}
    eventually(
        lambda: all(farewells <= set(heard) for _, heard in heard_by_all(service).values()),
        "all to have heard the old ones go",
    )
    speaker = int(service.get("/say").text.split()[0])
    eventually(
        lambda: all(
            ("news" in heard) == (pid != speaker)
            for pid, (_, heard) in heard_by_all(service).items()
        ),
        "the news",
    )

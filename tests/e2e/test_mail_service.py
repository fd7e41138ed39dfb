"""Mail of a service whose workers are reloaded and killed: none is lost, none is sent by two."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from live_service import LiveService, eventually

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))
from smtp_server import running_smtp

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.set_smtp("127.0.0.1:{port}", starttls=False)
        skitai.mount("/", "app")
        skitai.run(address="127.0.0.1", drain_timeout=1)
"""

APP = """
    import os
    from atila import Atila

    app = Atila(__name__)

    def letter(was, number):
        mail = was.email(f"number {number}", "shop@example.com", "client@example.com")
        return mail.add_content(f"this is {number}")

    @app.route("/plain/<int:number>")
    def plain(was, number):
        return was.API(id=letter(was, number).send().fetch())

    @app.route("/coroutine/<int:number>")
    async def coroutine(was, number):
        task = await letter(was, number).send()
        return was.API(id=task.fetch())

    @app.route("/generator/<int:number>", coroutine=True)
    def generator(was, number):
        task = yield letter(was, number).send()
        return was.API(id=task.fetch())

    @app.route("/injected")
    def injected(was, subject):
        try:
            was.email(subject, "a@b.c", "d@e.f")
        except ValueError as exc:
            return was.API("400 Bad Request", why=str(exc))
"""


@pytest.fixture
def server():
    with running_smtp() as server:
        yield server


@pytest.fixture
def service(server, launch, tmp_path, monkeypatch):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path / "home"))
    return launch({"serve.py": SERVE.format(port=server.port), "app.py": APP}, workers=2)


def send(service, numbers, kind="plain"):
    for number in numbers:
        assert service.get(f"/{kind}/{number}").status_code == 200


def numbers(server):
    return sorted(int(message["Subject"].split()[1]) for message in server.messages)


def wait_for(server, count):
    eventually(lambda: len(server.messages) >= count, f"{count} messages")


def deliverer(service, tmp_path):
    """The worker that has the lock of the spool."""
    path = str(tmp_path / "home")

    def find():
        for pid in service.workers():
            files = os.listdir(f"/proc/{pid}/fd")
            for number in files:
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{number}")
                except FileNotFoundError:
                    continue
                if target.startswith(path) and target.endswith("deliverer.lock"):
                    return pid
        return None

    return eventually(find, "the worker that delivers")


def test_mail_is_sent_from_every_kind_of_function(service, server):
    send(service, [1], "plain")
    send(service, [2], "coroutine")
    send(service, [3], "generator")
    wait_for(server, 3)
    assert numbers(server) == [1, 2, 3]
    assert {message.get_content().strip() for message in server.messages} == {
        "this is 1", "this is 2", "this is 3",
    }  # fmt: skip
    answer = service.get("/injected?subject=a%0D%0ABcc:%20x@y.z")
    assert answer.status_code == 400
    assert "line break" in answer.json()["why"]


def test_a_reload_in_the_middle_loses_nothing_and_sends_nothing_twice(service, server):
    send(service, range(10))
    service.send(signal.SIGHUP)
    send(service, range(10, 20))
    service.wait_for_log("reloaded: generation 1 serves")
    send(service, range(20, 30))
    wait_for(server, 30)
    assert numbers(server) == list(range(30))


def test_when_the_worker_that_delivers_is_killed_another_one_goes_on(service, server, tmp_path):
    send(service, [0])
    wait_for(server, 1)
    server.hold.clear()
    send(service, range(1, 6))
    eventually(lambda: server.begun == 2, "a message under way")
    killed = deliverer(service, tmp_path)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(killed), "the end of the worker")
    server.hold.set()
    # Whether the message under way was accepted, nobody was there to hear: it may come again.
    eventually(lambda: set(numbers(server)) == set(range(6)), "all messages")
    assert deliverer(service, tmp_path) != killed


def test_what_a_killed_service_has_not_delivered_the_next_one_does(service, server, tmp_path):
    server.hold.clear()
    send(service, range(5))
    eventually(lambda: server.begun >= 1, "a message under way")
    os.killpg(service.pid, signal.SIGKILL)
    service.wait()
    server.hold.set()
    following = LiveService(service.folder, workers=2)
    try:
        eventually(lambda: set(numbers(server)) == set(range(5)), "all messages")
    finally:
        following.close()


JOB = """
    import skitai
    from atila import Atila

    app = Atila(__name__)

    def letter(was):
        mail = was.email("number 1", "shop@example.com", "client@example.com")
        mail.add_content("this is 1").send().fetch()

    if __name__ == "__main__":
        skitai.set_smtp("127.0.0.1:{port}", starttls=False)
        skitai.cron("@reboot", letter)
        skitai.mount("/", app)
        skitai.run(address="127.0.0.1")
"""


def test_the_first_mail_of_all_from_a_job_is_delivered_when_the_server_takes_it(
    server, launch, tmp_path, monkeypatch
):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path / "home"))
    server.data_answer = "451 later"
    service = launch({"serve.py": JOB.format(port=server.port)})
    eventually(lambda: server.begun == 1, "the first attempt")
    service.wait_for_log("job letter ended")
    server.data_answer = ""
    wait_for(server, 1)
    assert numbers(server) == [1]

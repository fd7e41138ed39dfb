"""Disks without room: for logs, bodies, saved files, collected files, new projects, state."""

from __future__ import annotations

import signal

import pytest
from faulty_machine import full_disk, refused, types, without_room
from live_service import eventually, receive, write_files

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import shop

    OPTIONS
    skitai.mount("/", shop)
    skitai.run(name="shop", address="127.0.0.1")
"""
SHOP = """
    import os
    from atila import Atila

    def __config__(pref):
        pref.config.MAX_UPLOAD_SIZE = 1 << 26
        pref.set_static("/static", "static")

    def __app__():
        return Atila(__name__)

    def __mount__(app):
        @app.route("/")
        def index(was):
            return "hello"

        @app.route("/log")
        def log(was):
            was.log("it is logged")
            return "logged"

        @app.route("/size", methods=["POST"])
        def size(was):
            return was.API(size=len(was.request.body))

        @app.route("/save", methods=["POST"])
        def save(was, file):
            try:
                return was.API(path=file.save("saved", dup="o"))
            except OSError as exc:
                return was.API("507 Insufficient Storage", why=exc.strerror)
"""
OLD = b"old line\n" * 8192
ROOM = 32768  # bytes; logs are longer, what is captured of the output is shorter
LARGE = b"x" * (4 << 20)


@pytest.fixture(autouse=True)
def keep_compiled_modules_whole(monkeypatch):
    """Python doesn't notice when what it keeps of a module is cut off by a full disk."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def project(options=""):
    return {
        "serve.py": SERVE.replace("OPTIONS", options),
        "shop.py": SHOP,
        "static/a.txt": "a" * 100,
        "static/b.txt": "b" * 100_000,
    }


def post(service, path, body, kind="application/octet-stream"):
    connection = service.connect()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}"
    connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
    answer = receive(connection, "POST")
    connection.close()
    return answer


# A service that runs


def test_logs_without_room_lose_lines_and_no_request(launch):
    files = {f"logs/{kind}.log": OLD for kind in ("request", "app", "server")}
    service = launch({**project("skitai.enable_file_logging('logs')"), **files})
    logs = service.folder / "logs"
    eventually(lambda: b"serving on" in (logs / "server.log").read_bytes(), "the first line")
    with full_disk([service.pid, *service.workers()], ROOM):
        for _ in range(5):
            assert service.get("/log").text == "logged"
        service.wait_for_log(r"request\.log can't be written \(File too large\): lines are lost")
    assert service.get("/log").text == "logged"
    service.wait_for_log(r"request\.log is written again, \d+ lines are lost")
    told = [line for line in service.log().splitlines() if "can't be written" in line]
    assert len(told) == 2  # request and app, each once
    assert "Traceback" not in service.log()
    assert service.get("/", headers={"User-Agent": "the last"}).text == "hello"
    eventually(lambda: b"the last" in (logs / "request.log").read_bytes(), "the next line")
    lines = (logs / "request.log").read_text().splitlines()
    assert [line for line in lines if line != "old line" and "GET /" not in line] == []


def test_without_any_room_it_serves_reloads_and_stops(launch):
    service = launch(project())
    before = service.workers()
    with full_disk([service.pid, *before]):
        assert service.get("/log").text == "logged"
        service.send(signal.SIGHUP)  # new workers have the limit of the master
        eventually(lambda: service.workers() and not set(before) & set(service.workers()), "them")
        assert [service.get("/").text for _ in range(3)] == ["hello"] * 3
        service.send(signal.SIGTERM)
        assert service.wait() == 0


def test_a_body_that_can_not_be_kept_is_refused_and_the_next_is_not(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    service = launch(project())
    with full_disk(service.workers(), 1 << 20):
        assert post(service, "/size", LARGE).status == 507
        assert post(service, "/size", b"small").status == 200
    assert post(service, "/size", LARGE).status == 200
    assert "Traceback" not in service.log()
    assert list(tmp_path.glob("skitai-*")) == []


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_can_not_be_saved_leaves_nothing(launch, there):
    service = launch(project())
    saved = service.folder / "saved"
    saved.mkdir()
    if there:
        (saved / "a.bin").write_bytes(b"before")
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    body = head + b"x" * 500_000 + b"\r\n--cut--\r\n"
    kind = "multipart/form-data; boundary=cut"
    with full_disk(service.workers(), 1000):
        answer = post(service, "/save", body, kind)
    assert (answer.status, b"File too large" in answer.content) == (507, True)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == (
        {"a.bin": b"before"} if there else {}
    )
    assert post(service, "/save", body, kind).status == 200
    assert (saved / "a.bin").stat().st_size == 500_000


# Commands


@pytest.mark.parametrize(
    ("room", "file"),
    [
        (0, ".static_root/static/a.txt"),
        (50_000, ".static_root/static/b.txt"),
    ],
)
def test_collected_files_without_room(tmp_path, room, file):
    write_files(tmp_path, project())
    command = (f"--port={free_port()}", "--nginx-conf=example.com")
    done = types(tmp_path, *command, fault=without_room(room))
    refused(done, f"static files can't be collected: '{tmp_path}/{file}' can't be written: "
                  "File too large: make room for it")  # fmt: skip
    assert not (tmp_path / "conf").exists()
    assert [path for path in (tmp_path / ".static_root").rglob("*.new")] == []
    assert types(tmp_path, *command).returncode == 0
    assert (tmp_path / ".static_root/static/b.txt").stat().st_size == 100_000


def test_a_list_or_a_configuration_of_nginx_without_room(tmp_path):
    write_files(tmp_path, project())
    (tmp_path / "static/a.txt").write_text("a")
    (tmp_path / "static/b.txt").write_text("b")
    command = (f"--port={free_port()}", "--nginx-conf=example.com")
    done = types(tmp_path, *command, fault=without_room(10))
    refused(done, f"'{tmp_path}/.static_root/.collected.json' can't be written: File too large")
    done = types(tmp_path, *command, fault=without_room(200))
    refused(done, f"'{tmp_path}/conf/nginx/", ".conf' can't be written: File too large: make room")
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".new")] == []
    assert types(tmp_path, *command).returncode == 0


@pytest.mark.parametrize(("room", "exists"), [(0, False), (100, True), (300, False)])
def test_a_new_project_without_room_is_none(tmp_path, room, exists):
    if exists:
        (tmp_path / "shop").mkdir()
    done = types(tmp_path, "new", "shop", module="skitai", fault=without_room(room))
    refused(done, "skitai: 'shop", "' can't be written: File too large: make room for it")
    assert list(tmp_path.rglob("*")) == ([tmp_path / "shop"] if exists else [])
    assert types(tmp_path, "new", "shop", module="skitai").returncode == 0


def test_a_start_without_room_for_its_state(tmp_path):
    write_files(tmp_path, project())
    home = tmp_path / "home"
    command = (f"--port={free_port()}", "start")
    done = types(tmp_path, *command, fault=without_room(8), SKITAI_HOME=str(home))
    refused(done, f"shop can't be started: '{home}/shop' can't be written: No space left on device")
    assert types(tmp_path, "status", SKITAI_HOME=str(home)).returncode == 3

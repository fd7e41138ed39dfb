"""A service behind a real nginx, which has the configuration that the service wrote for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from live_service import PATIENCE, LiveService, write_files
from nginx_process import PROGRAM, complaints, nginx, prepare
from tls_project import make_certificates, make_pair
from websockets.sync.client import connect

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed"),
]

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
    import skitai
    import shop

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.set_static("/assets", "shop/static")
            pref.set_media("/media", "uploads")
            skitai.mount("/", shop, pref)
        skitai.mount("/", "public")
        skitai.mount("/", "other", host="other.example.com")
        SETUP
        skitai.run(name="shop", address=ADDRESS, max_upload_size=100000)
"""
SHOP = """
    import asyncio
    import skitai
    from atila import Atila

    def __app__():
        app = Atila(__name__)
        app.securekey = "only for tests"
        return app

    def __mount__(app, mntopt):
        step = asyncio.Event()

        @app.route("/who")
        def who(was):
            request = was.request
            return was.API(
                real=request.real_ip,
                scheme=request.scheme,
                host=request.headers.get("host"),
                forwarded=request.headers.get("forwarded"),
            )

        @app.route("/step")
        async def next_step(was):
            step.set()
            return "done"

        @app.route("/stream")
        async def stream(was):
            was.response["Content-Type"] = "text/event-stream"
            yield "data: first\\n\\n"
            await step.wait()
            yield "data: second\\n\\n"

        @app.route("/assets/<path:name>", methods=["POST"])
        def posted(was, name):
            return "posted " + name

        @app.route("/size", methods=["POST"])
        def size(was):
            return str(len(was.request.body))

        @app.route("/echo")
        @app.websocket(skitai.WS_SIMPLE, timeout=60)
        def echo(was, message):
            return "echo " + message
"""
FILES = {
    "shop/__init__.py": SHOP,
    "shop/static/style.css": "h1 { color: red }" + " " * 4000,
    "shop/static/module.mjs": "export {}",
    "public/robots.txt": "User-agent: *",
    "public/docs/index.html": "<h1>docs</h1>",
    "public/.secret/key": "secret",
    "other/robots.txt": "of the other host",
    "uploads/.keep": "",
}


def project(folder, *, address="127.0.0.1", setup=""):
    serve = SERVE.replace("ADDRESS", repr(address)).replace("SETUP", setup)
    write_files(folder, {**FILES, "serve.py": serve})


def configure(folder, *words):
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("SKITAIENV", "STATIC_ROOT"):
        environ.pop(name, None)
    return subprocess.run(
        [sys.executable, "-W", "error", "serve.py", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def behind_nginx(folder, place, *words, ssl=False):
    """The service, and the ports of an nginx in front of it."""
    service = LiveService(folder, **{"disable-static": True, "ssl": ssl})
    with contextlib.closing(service):
        done = configure(folder, f"--port={service.port}", "--nginx-conf=shop.example.com", *words)
        assert done.returncode == 0, done.stderr
        with nginx(folder, place) as ports:
            yield service, ports


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    project(folder / "project", setup='skitai.set_max_age("/assets/module.mjs", 3600)')
    make_pair(folder / "project", "front")
    words = ["--nginx-certificate=front.pem", "--nginx-key=front.key"]
    with behind_nginx(folder / "project", folder / "nginx", *words) as (service, ports):
        http, https = ports
        with httpx.Client(
            base_url=f"https://127.0.0.1:{https}", verify=False, http2=True, trust_env=False
        ) as client:
            client.headers["Host"] = "shop.example.com"
            yield folder / "project", client, http, https, service


def test_files_come_from_nginx_itself(site):
    _, client, *_ = site
    found = client.get("/assets/style.css")
    assert (found.status_code, found.text[:17]) == (200, "h1 { color: red }")
    assert found.headers["server"].startswith("nginx")
    assert found.headers["content-type"] == "text/css; charset=utf-8"
    assert found.headers["content-encoding"] == "gzip"
    assert found.headers["cache-control"] == "max-age=600"
    module = client.get("/assets/module.mjs")
    assert module.headers["content-type"].startswith("text/javascript")
    assert module.headers["cache-control"] == "max-age=3600"
    assert client.get("/robots.txt").text == "User-agent: *"


def test_directories_have_their_index(site):
    _, client, *_ = site
    assert client.get("/docs/").text == "<h1>docs</h1>"
    moved = client.get("/docs?a=1")
    assert (moved.status_code, moved.headers["location"]) == (301, "/docs/?a=1")


@pytest.mark.parametrize("path", ["/.secret/key", "/.collected.json", "/.hosts/x", "/nothing"])
def test_what_is_not_there_is_answered_by_the_app(site, path):
    _, client, *_ = site
    found = client.get(path, headers={"Accept": "application/json"})
    assert (found.status_code, found.json()["code"]) == (404, 40400)


def test_other_methods_reach_the_routes(site):
    _, client, *_ = site
    assert client.post("/assets/style.css").text == "posted style.css"


def test_uploaded_files_are_served_from_where_they_are(site):
    folder, client, *_ = site
    (folder / "uploads" / "cat.txt").write_text("meow")
    assert client.get("/media/cat.txt").text == "meow"
    assert client.get("/media/.keep").status_code == 404
    assert client.get("/media/dog.txt").status_code == 404


def test_hosts_have_their_own_files(site):
    _, client, *_ = site
    found = client.get("/robots.txt", headers={"Host": "other.example.com"})
    assert found.text == "of the other host"
    assert not client.get("/assets/style.css", headers={"Host": "other.example.com"}).is_success


def test_clients_are_known_and_can_not_lie(site):
    _, client, *_ = site
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http", "Forwarded": "for=6.6.6.6"}
    found = client.get("/who", headers=lies).json()
    assert (found["real"], found["scheme"]) == ("127.0.0.1", "https")
    assert (found["host"], found["forwarded"]) == ("shop.example.com", None)


def test_http2_at_the_front(site):
    _, client, *_ = site
    assert client.get("/who").http_version == "HTTP/2"


def test_plain_http_is_sent_to_https(site):
    http = site[2]
    for host in ("shop.example.com", "other.example.com"):
        moved = httpx.get(f"http://127.0.0.1:{http}/a?b=c", headers={"Host": host}, trust_env=False)
        assert (moved.status_code, moved.headers["location"]) == (301, f"https://{host}/a?b=c")


def test_streams_are_not_held_back(site):
    _, client, _, https, _ = site
    with client.stream("GET", "/stream") as response:
        parts = response.iter_text()
        assert next(parts) == "data: first\n\n"
        with httpx.Client(verify=False, trust_env=False) as other:
            other.get(f"https://127.0.0.1:{https}/step", headers={"Host": "shop.example.com"})
        assert "".join(parts) == "data: second\n\n"


def test_bodies_up_to_the_limit_of_the_service(site):
    _, client, _, https, _ = site
    assert client.post("/size", content=b"x" * 100000).text == "100000"
    # This client, over HTTP/2, would wait for permission to send the rest of what is refused.
    with httpx.Client(verify=False, trust_env=False) as plain:
        where = f"https://127.0.0.1:{https}/size"
        headers = {"Host": "shop.example.com"}
        assert plain.post(where, content=b"x" * 100001, headers=headers).status_code == 413


def test_websockets(site):
    https = site[3]
    import ssl

    context = ssl._create_unverified_context()
    with connect(
        f"wss://shop.example.com:{https}/echo",
        sock=socket.create_connection(("127.0.0.1", https), PATIENCE),
        ssl=context,
        proxy=None,
    ) as conversation:
        conversation.send("hello")
        assert conversation.recv(PATIENCE) == "echo hello"


def test_no_other_protocol_gets_through(site):
    _, client, _, https, _ = site
    with httpx.Client(verify=False, trust_env=False) as plain:
        found = plain.get(
            f"https://127.0.0.1:{https}/who",
            headers={"Host": "shop.example.com", "Upgrade": "h2c", "Connection": "Upgrade"},
        )
    assert (found.status_code, "upgrade" in found.headers) == (200, False)


# Other ways to reach the service


def test_a_service_on_a_unix_socket(tmp_path):
    folder = tmp_path / "with blank"
    project(folder, address="unix:shop.sock")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert configure(folder, "--nginx-conf=shop.example.com").returncode == 0
    with subprocess.Popen(
        [sys.executable, "serve.py"], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            assert "serving on" in process.stderr.readline()
            with nginx(folder, tmp_path / "nginx") as (http, _):
                found = httpx.get(
                    f"http://127.0.0.1:{http}/who", headers={"Host": "shop.example.com"},
                    trust_env=False,
                )  # fmt: skip
                assert found.json()["real"] == "127.0.0.1"
        finally:
            process.terminate()
            process.stderr.read()


def test_a_service_that_speaks_tls(tmp_path):
    folder = tmp_path / "project"
    project(folder, setup='skitai.enable_ssl("server.pem")')
    make_certificates(folder)
    with behind_nginx(folder, tmp_path / "nginx", ssl=True) as (_, (http, _)):
        found = httpx.get(
            f"http://127.0.0.1:{http}/who", headers={"Host": "shop.example.com"}, trust_env=False
        )
        # The connection from nginx is not the client's.
        assert (found.json()["real"], found.json()["scheme"]) == ("127.0.0.1", "http")


def test_the_demo(tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(ROOT / "serve.py", folder)
    with behind_nginx(folder, tmp_path / "nginx") as (service, (http, _)):
        where = f"http://127.0.0.1:{http}"
        page = httpx.get(where, headers={"Host": "shop.example.com"}, trust_env=False)
        assert (page.status_code, "Shelf" in page.text) == (200, True)
        assert service.get("/static/css/shelf.css").status_code == 404  # it is left to nginx
        assert httpx.get(f"{where}/static/css/shelf.css", trust_env=False).status_code == 200
        with connect(f"ws://127.0.0.1:{http}/live/rooms/one?name=Ada", proxy=None) as conversation:
            assert json.loads(conversation.recv(PATIENCE))["text"] == "came in"


@pytest.mark.parametrize("tls", [False, True])
def test_grpc_comes_through_https(tmp_path, tls):
    grpc = pytest.importorskip("grpc")
    from tests.skitai.greeter import Text, stub_of

    folder = tmp_path / "project"
    setup = 'skitai.enable_ssl("server.pem"); ' if tls else ""
    project(folder, setup=setup + 'skitai.mount("/demo.Greeter", "methods.py")')
    methods = """
        import atila
        from greeter import Text

        app = atila.Atila(__name__)

        @app.route("/Say")
        def say(was, message):
            return Text(text=message.text + " " + was.request.real_ip)

        @app.route("/Count")
        def count(was, message):
            for number in range(message.number):
                yield Text(number=number)
    """
    greeter = (ROOT / "tests/skitai/greeter.py").read_text()
    write_files(folder, {"methods.py": methods, "greeter.py": greeter})
    make_certificates(folder)
    words = ["--nginx-certificate=server.pem", "--nginx-key=server.pem"]
    with behind_nginx(folder, tmp_path / "nginx", *words, ssl=tls) as (_, (_, https)):
        trust = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{https}", trust) as channel:
            said = stub_of(channel, "Say")(Text(text="hello"), timeout=PATIENCE)
            assert said.text == "hello 127.0.0.1"
            counted = stub_of(channel, "Count")(Text(number=3), timeout=PATIENCE)
            assert [message.number for message in counted] == [0, 1, 2]


@pytest.mark.parametrize(
    "setup",
    ["", 'skitai.enable_ssl("server.pem")', 'skitai.mount("/x", "public", host=".b.example.com")'],
)
def test_nginx_has_nothing_to_complain_about(tmp_path, setup):
    project(tmp_path / "project", setup=setup)
    make_certificates(tmp_path / "project")
    done = configure(tmp_path / "project", "--port=5000", "--nginx-conf=shop.example.com")
    assert done.returncode == 0, done.stderr
    configuration, *_ = prepare(tmp_path / "project", tmp_path / "nginx")
    assert complaints(configuration) == ""

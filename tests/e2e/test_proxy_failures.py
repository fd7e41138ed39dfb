"""What a client learns of an upstream that fails behind ``was.ProxyPass``, and what the log has."""

from __future__ import annotations

import re
import socket

import pytest

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    from atila import Atila

    app = Atila(__name__)


    @app.route("/gone")
    def gone(was):
        return was.ProxyPass("@gone")


    @app.route("/silent")
    def silent(was):
        return was.ProxyPass("@silent", timeout=0.05)


    if __name__ == "__main__":
        skitai.alias("@gone", skitai.PROTO_HTTP, "127.0.0.1:1")
        skitai.alias("@silent", skitai.PROTO_HTTP, "127.0.0.1:{port}")
        skitai.mount("/", app)
        skitai.run()
"""


@pytest.fixture(scope="module")
def service(launch_once):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # nobody ever accepts
        port = silent.getsockname()[1]
        yield launch_once({"serve.py": SERVE.replace("{port}", str(port))})


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/gone", 502, "no connection to 127.0.0.1:1"),
        ("/silent", 504, "@silent has not answered for 0.05 s"),
    ],
)
def test_a_client_is_not_told_where_the_upstream_is(service, path, status, reason):
    response = service.get(path, headers={"Accept": "application/json"})
    assert response.status_code == status
    assert not re.search(r"127\.0\.0\.1|@gone|@silent|refused", response.text)
    service.wait_for_log(re.escape(reason))

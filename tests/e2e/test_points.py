"""Where apps are: points with and without their slash, sub-domains, limits of service and app."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    from atila import Atila

    def make (*rules):
        app = Atila ("app")
        for rule in rules:
            @app.route (rule)
            def show (was, rule = rule):
                return was.API (
                    rule = rule, body = was.request.get_body ().decode (),
                    script = was.env ["SCRIPT_NAME"], path = was.env ["PATH_INFO"],
                    port = was.env ["SERVER_PORT"], limit = was.app.config.MAX_UPLOAD_SIZE,
                )
        return app

    if __name__ == "__main__":
        skitai.mount ("/slash", make ("/"))
        skitai.mount ("/bare", make (""))
        skitai.mount ("/both", make ("", "/"))
        limited = make ("/")
        limited.config.MAX_UPLOAD_SIZE = 3
        skitai.mount ("/limited", limited)
        hosts = make ("/")
        hosts.route ("/where")(lambda was: "anywhere")
        hosts.route ("/where", subdomain = "k")(lambda was: "on k")
        skitai.mount ("/hosts", hosts)
        skitai.run (address = "127.0.0.1", max_upload_size = 10)
"""


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once({"serve.py": SERVE})


@pytest.mark.parametrize(
    ("path", "rule", "info"),
    [
        ("/slash/", "/", "/"),
        ("/bare", "", ""),
        ("/bare/", "", "/"),
        ("/both", "", ""),
        ("/both/", "/", "/"),
    ],
)
def test_the_point_of_an_app(path, rule, info, service, browser):
    answer = browser(path, "POST", data="body", allow_redirects=False).json()
    assert answer["rule"] == rule
    assert answer["body"] == "body"
    assert (answer["script"], answer["path"]) == (path.rstrip("/"), info)
    assert answer["port"] == str(service.port)


def test_a_point_that_needs_its_slash(browser):
    response = browser("/slash?a=%20&b", "POST", data="body", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (308, "/slash/?a=%20&b")
    assert browser("/slash", "POST", data="body").json()["body"] == "body"
    assert browser("/slashes").status_code == 404
    assert browser("/sla").status_code == 404


def test_limits_of_the_service_and_of_an_app(browser):
    assert browser("/slash/").json()["limit"] == 10
    assert browser("/slash/", "POST", data="x" * 10).status_code == 200
    assert browser("/slash/", "POST", data="x" * 11).status_code == 413
    assert browser("/limited/").json()["limit"] == 3
    assert browser("/limited/", "POST", data="xxxx").status_code == 413
    assert browser("/limited", "POST", data="xxx").status_code == 200


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("k.localhost:5000", "on k"),
        ("K.Example.COM", "on k"),
        ("kk.localhost", "anywhere"),
        ("localhost", "anywhere"),
    ],
)
def test_sub_domains(host, text, browser):
    assert browser("/hosts/where", headers={"Host": host}).text == text

"""CORS: which origins are let in, what their browsers are told, and what hostile ones get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from driving import Answer, Driver
from hypothesis import given
from hypothesis import strategies as st

from atila import Atila
from atila.access.cors import CorsPolicy, requested_method
from atila.errors import ConfigError, HTTPError
from skitai.server.exchange import Exchange
from skitai.wire.http1 import encode_fields
from skitai.wire.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.representation import Fields

SHOP = "https://shop.example:8443"


def exchange(method: str = "GET", **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    nowhere: Any = None  # a policy looks at the head only
    return Exchange(nowhere, Request(method, "/", "/", "", "1.1", named), True)


def preflight(origin: str, method: str, headers: str = "") -> Request:
    more = {"access-control-request-headers": headers} if headers else {}
    return Request(
        "OPTIONS", "/", "/", "", "1.1",
        {"origin": origin, "access-control-request-method": method, **more},
    )  # fmt: skip


def told(policy: CorsPolicy, **headers: str) -> dict[str, str]:
    fields = policy.admit(exchange(**headers))
    assert len(dict(fields)) == len(fields)
    return dict(fields)


def code_of(decide: Callable[[], Fields]) -> int:
    """The status of a refusal; 200 for headers, which must be safe to send."""
    try:
        fields = decide()
    except HTTPError as error:
        return error.code
    assert encode_fields(fields).count(b"\r\n") == len(fields)
    return 200


def refused(policy: CorsPolicy, **headers: str) -> bool:
    code = code_of(lambda: policy.admit(exchange(**headers)))
    assert code in (200, 403)
    return code == 403


# -- which origins


def test_a_listed_origin_is_told_that_it_may_send_credentials():
    assert told(CorsPolicy([SHOP, "http://a.example"]), origin=SHOP) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": SHOP,
        "Access-Control-Allow-Credentials": "true",
    }


def test_with_a_star_any_origin_may_read_but_not_send_credentials():
    for origin in (SHOP, "null", "http://[::1]:3000", "moz-extension://3c2f", "http://a_b.example"):
        assert told(CorsPolicy(["*"]), origin=origin) == {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
        }


def test_beside_a_star_a_listed_origin_may_still_send_credentials():
    policy = CorsPolicy(["*", SHOP])
    assert "Access-Control-Allow-Credentials" in told(policy, origin=SHOP)
    assert "Access-Control-Allow-Credentials" not in told(policy, origin="http://a.example")


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example", "http://shop.example:8443", "https://shop.example:84430", "null",
        "https://evil.example", f"{SHOP}.evil.example", f"{SHOP}/", f" {SHOP}", SHOP.upper(), "*",
        "", "https://shop.example:8443, https://shop.example:8443", "shop.example:8443",
    ],
)  # fmt: skip
def test_any_other_origin_is_refused(origin):
    assert refused(CorsPolicy([SHOP]), origin=origin)


@pytest.mark.parametrize(
    "origin",
    ["", "*", "x", "http://", "http://a b", "http://a\tb", "http://é", "http://a/b", "//a"],
)
def test_what_is_no_origin_is_refused_even_with_a_star(origin):
    assert refused(CorsPolicy("*"), origin=origin)


def test_no_origin_may_use_an_empty_list():
    assert refused(CorsPolicy([]), origin=SHOP)
    assert told(CorsPolicy([])) == {"Vary": "Origin"}


def test_a_request_without_an_origin_only_learns_that_there_are_others():
    # A cache would otherwise give what it got without one to a page that needs the headers.
    assert told(CorsPolicy([SHOP])) == {"Vary": "Origin"}


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://here.example", "here.example"),
        ("http://here.example", "HERE.example:80"),
        ("https://here.example", "here.example"),
        ("http://here.example:5000", "here.example:5000"),
    ],
)
def test_pages_of_the_service_itself_are_always_let_in(origin, host):
    assert told(CorsPolicy([SHOP]), origin=origin, host=host) == {"Vary": "Origin"}


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://here.example:5001", "here.example:5000"),
        ("http://a.here.example", "here.example"),
        ("null", "null"),
        ("", ""),
        ("here.example", "here.example"),
        ("http://here.example:80", "here.example:81"),
    ],
)
def test_pages_of_other_ports_and_hosts_are_not_those_of_the_service(origin, host):
    assert refused(CorsPolicy([SHOP]), origin=origin, host=host)


def test_headers_that_scripts_may_read_are_told():
    policy = CorsPolicy([SHOP, "*"], exposed=["X-Total", "ETag"])
    for origin in (SHOP, "http://a.example"):
        assert told(policy, origin=origin)["Access-Control-Expose-Headers"] == "X-Total, ETag"
    assert "Access-Control-Expose-Headers" not in told(policy)


@given(st.text(), st.text())
def test_no_origin_crashes_or_injects_a_header(origin, host):
    refused(CorsPolicy(["*"]), origin=origin, host=host)
    refused(CorsPolicy([SHOP]), origin=origin, host=host)


# -- preflight


def test_a_preflight_learns_methods_headers_and_for_how_long():
    policy = CorsPolicy([SHOP], max_age=3600)
    asked = preflight(SHOP, "PUT", "content-type, x-token")
    assert requested_method(asked) == "PUT"
    assert dict(policy.preflight(asked, {"PUT", "DELETE"})) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": SHOP,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "DELETE, PUT",
        "Access-Control-Allow-Headers": "content-type, x-token",
        "Access-Control-Max-Age": "3600",
    }


def test_a_preflight_without_headers_and_age_learns_nothing_of_them():
    fields = dict(CorsPolicy("*").preflight(preflight("http://a.example", "GET"), {"GET"}))
    assert not {"Access-Control-Allow-Headers", "Access-Control-Max-Age"} & fields.keys()


@pytest.mark.parametrize(
    ("origin", "method", "code"),
    [("http://a.example", "GET", 403), ("", "GET", 403), (SHOP, "PUT", 405), (SHOP, "get", 405),
     (SHOP, "", 405), (SHOP, "GET, PUT", 405)],
)  # fmt: skip
def test_a_preflight_for_what_is_not_allowed_is_refused(origin, method, code):
    with pytest.raises(HTTPError) as caught:
        CorsPolicy([SHOP]).preflight(preflight(origin, method), {"GET", "POST"})
    assert caught.value.code == code


@given(st.text(), st.text())
def test_no_preflight_crashes_or_injects_a_header(method, headers):
    asked = preflight(SHOP, method, headers)
    code = code_of(lambda: CorsPolicy("*").preflight(asked, {"GET"}))
    assert code == (200 if method == "GET" else 405)


@given(st.text())
def test_only_names_of_headers_are_echoed(headers):
    asked = preflight(SHOP, "GET", headers)
    assert code_of(lambda: CorsPolicy("*").preflight(asked, {"GET"})) == 200


def test_only_some_options_requests_are_preflights():
    assert requested_method(preflight(SHOP, "GET")) == "GET"
    assert requested_method(exchange("OPTIONS").request) is None
    assert requested_method(exchange("OPTIONS", origin=SHOP).request) is None
    named = {"access_control_request_method": "GET"}
    assert requested_method(exchange("OPTIONS", **named).request) is None
    assert requested_method(exchange("GET", origin=SHOP, **named).request) is None


# -- settings


def test_a_route_wins_over_the_app():
    app = Atila("shop")
    assert CorsPolicy.of(app, {}) is None
    app.access_control_allow_origin = [SHOP]
    app.access_control_max_age = 60
    of_app = CorsPolicy.of(app, {})
    of_route = CorsPolicy.of(app, {"access_control_allow_origin": ["*"]})
    assert of_app is not None
    assert of_route is not None
    assert refused(of_app, origin="http://a.example")
    assert not refused(of_route, origin="http://a.example")
    assert (
        dict(of_route.preflight(preflight(SHOP, "GET"), {"GET"}))["Access-Control-Max-Age"] == "60"
    )
    brief = CorsPolicy.of(app, {"access_control_max_age": 0})
    assert brief is not None
    assert "Access-Control-Max-Age" not in dict(brief.preflight(preflight(SHOP, "GET"), {"GET"}))


def test_origins_are_compared_as_browsers_write_them():
    policy = CorsPolicy(["HTTPS://Shop.Example:443", "http://a.example:80", "http://b.example:443"])
    for origin in ("https://shop.example", "http://a.example", "http://b.example:443"):
        assert not refused(policy, origin=origin)


@pytest.mark.parametrize(
    "settings",
    [
        {"origins": ["http://a.example/"]},
        {"origins": ["a.example"]},
        {"origins": ["null"]},
        {"origins": "http://*.example"},
        {"origins": [None]},
        {"origins": 5},
        {"origins": True},
        {"origins": "*", "max_age": -1},
        {"origins": "*", "max_age": "60"},
        {"origins": "*", "max_age": True},
        {"origins": "*", "exposed": ["X Total"]},
        {"origins": "*", "exposed": "a, b"},
        {"origins": "*", "exposed": [5]},
        {"origins": "*", "exposed": 5},
    ],
)
def test_settings_that_can_not_work_are_refused(settings):
    with pytest.raises(ConfigError, match="route option access_control_"):
        CorsPolicy(**settings, where="route option")


# -- in an app


def shop(**settings: Any) -> Atila:
    app = Atila("shop")
    for name, value in settings.items():
        setattr(app, name, value)

    @app.route("/open", methods=["GET", "POST", "OPTIONS"], access_control_allow_origin=["*"])
    def opened(was, fail=None):
        if fail == "crash":
            raise ValueError(fail)
        if fail:
            raise was.Error(fail)
        was.response.add_header("Vary", "Accept")
        return "open"

    @app.route("/quiet", access_control_allow_origin=[SHOP])
    def quiet(was):
        return "quiet"

    @app.route("/plain/")
    def plain(was):
        return "plain"

    @app.route("/number/<float:x>")
    def number(was, x):
        return "number"

    return app


def asked(driver: Driver, path: str, method: str, origin: str = SHOP) -> Answer:
    return driver.request(
        "OPTIONS", path, {"Origin": origin, "Access-Control-Request-Method": method}
    )


def test_without_a_policy_origins_are_nobody_s_business():
    answer = Driver(shop()).get("/plain/", Origin="http://a.example")
    assert (answer.status, answer.text) == (200, "plain")
    assert "access-control" not in str(answer.headers).lower()
    assert answer["Vary"] is None


def test_the_policy_of_a_route_holds_for_its_answers_and_errors():
    driver = Driver(shop())
    for target, status in (
        ("/open", 200), ("/open?fail=418", 418), ("/open?fail=crash", 500), ("/open?x=1", 400),
        ("/open?%ff", 400),
    ):  # fmt: skip
        answer = driver.get(target, Origin=SHOP)
        assert answer.status == status, target
        assert answer["Access-Control-Allow-Origin"] == SHOP, target
        assert "Origin" in ", ".join(answer.all("Vary")), target
    assert driver.get("/quiet", Origin="http://a.example").status == 403
    assert driver.get("/quiet").text == "quiet"


def test_the_policy_of_an_app_holds_for_errors_of_routing_too():
    driver = Driver(shop(access_control_allow_origin=[SHOP]))
    for method, path, status in (
        ("GET", "/plain/", 200), ("GET", "/plain", 301), ("GET", "/none", 404),
        ("PUT", "/plain/", 405), ("OPTIONS", "/plain/", 204),
    ):  # fmt: skip
        answer = driver.request(method, path, {"Origin": SHOP})
        assert answer.status == status, path
        assert answer["Access-Control-Allow-Origin"] == SHOP, path
        assert driver.request(method, path, {"Origin": "http://a.example"}).status == 403, path


def test_the_body_of_a_refused_request_is_not_read():
    app = shop(access_control_allow_origin=[SHOP])
    app.config.MAX_UPLOAD_SIZE = 10
    headers = {"Origin": "http://a.example", "Content-Type": "text/plain"}
    assert Driver(app).request("POST", "/plain/", headers, b"x" * 100).status == 403


def test_a_refused_request_never_runs_anything():
    app = Atila("shop")
    app.access_control_allow_origin = [SHOP]
    ran = []

    @app.before_request
    def before(was):
        ran.append("before")

    @app.route("/")
    def index(was):
        ran.append("index")

    assert Driver(app).get("/", Origin="http://a.example").status == 403
    assert ran == []


def test_a_preflight_is_answered_where_a_route_lists_options():
    driver = Driver(shop())
    answer = asked(driver, "/open", "POST")
    assert (answer.status, answer.body) == (200, b"")
    assert answer["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert asked(driver, "/open", "DELETE").status == 405
    # A route that does not list it answers OPTIONS as ever, which tells a browser nothing.
    answer = asked(driver, "/quiet", "GET")
    assert (answer.status, answer["Access-Control-Allow-Origin"]) == (204, None)


def test_every_route_answers_preflights_when_the_app_has_a_policy():
    driver = Driver(shop(access_control_allow_origin=[SHOP], access_control_max_age=60))
    answer = asked(driver, "/plain/", "GET")
    assert (answer.status, answer["Access-Control-Max-Age"]) == (200, "60")
    assert asked(driver, "/plain/", "GET", "http://a.example").status == 403
    assert asked(driver, "/plain/", "PATCH").status == 405
    assert asked(driver, "/open", "GET", "http://a.example").status == 200
    assert asked(driver, "/none", "GET").status == 404
    assert asked(driver, "/number/1.2.3", "GET").status == 400


@given(origin=st.text(), method=st.text(), headers=st.text())
def test_no_cross_origin_request_is_a_crash(origin, method, headers):
    driver = Driver(shop(access_control_allow_origin=[SHOP]))
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    for path in ("/plain/", "/open"):
        assert driver.request("OPTIONS", path, asks).status < 500
        assert driver.request("GET", path, asks).status < 500

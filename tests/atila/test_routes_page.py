"""What --devel shows of routes: the page, its data, which route takes a request, missing paths."""

from __future__ import annotations

import re
from functools import partial

import pytest
from driving import HTML, Driver

from atila import Atila
from atila.debugging.matching import find_route, nearest
from atila.errors import ConfigError

HOSTILE = "</script><script>alert(1)</script>"


def shop(**attributes):
    app = Atila("shop")
    app.expose_spec = True
    app.securekey = "a-key-for-this-app"
    for name, value in attributes.items():
        setattr(app, name, value)

    @app.route("/items/<int:id>", methods=["GET", "DELETE"])
    @app.inspect("ARGS", ints=["n"])
    def item(was, id, n=1):
        """Show it.

        More."""
        return str(id)

    @app.route("/items", methods=["POST"], authenticate="bearer")
    @app.permission_required("staff")
    async def add(was, name):
        return name

    @app.permission_handler
    def check(was, permissions):
        pass

    @app.route("/feed", coroutine=True)
    def feed(was):
        yield was.Mask(1)

    @app.route("/pieces")
    def pieces(was):
        yield "a"

    @app.route("/files/<path:p>")
    def files(was, p):
        return p

    @app.route("/ann", subdomain="api")
    def ann(was):
        return "api"

    @app.before_request
    def look(was):
        pass

    app.unroute("/old/*", 410)
    return app


def of(mounted, rule):
    (found,) = [route for route in mounted["routes"] if route["rule"] == rule]
    return found


def test_the_data_has_what_there_is_to_know():
    driver = Driver(shop(), point="/shop/", debug=True)
    answer = driver.get("/shop/routes.json")
    assert (answer.status, answer["Content-Type"]) == (200, "application/json")
    (mounted,) = answer.json["mounts"]
    assert (mounted["name"], mounted["point"], mounted["hosts"]) == ("shop", "/shop/", ["default"])
    item = of(mounted, "/shop/items/<int:id>")
    assert (item["methods"], item["kind"], item["about"]) == (
        ["DELETE", "GET"],
        "plain",
        "Show it.",
    )
    assert (item["function"], item["module"]) == ("item", "test_routes_page")
    assert item["file"] == __file__
    assert item["inspect"] == {"ARGS": {"ints": ["n"]}}
    add = of(mounted, "/shop/items")
    assert (add["kind"], add["authenticate"], add["rpc"]) == ("async", "bearer", "items")
    assert add["guards"] == [["permission", ["staff"]]]
    kinds = [of(mounted, f"/shop/{name}")["kind"] for name in ("feed", "pieces")]
    assert kinds == ["generator", "stream"]
    assert of(mounted, "/shop/ann")["subdomain"] == "api"
    assert of(mounted, "/shop/routes")["devel"]
    assert mounted["hooks"]["before_request"]["function"] == "look"
    assert mounted["unrouted"] == [{"pattern": "/old/*", "status": 410}]


def test_the_page_shows_every_route_and_loads_nothing(monkeypatch):
    monkeypatch.setenv("SKITAI_EDITOR", "vscode://file/{file}:{line}")
    answer = Driver(shop(), debug=True).html("/routes")
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    for text in ("/items/&lt;int:id&gt;", "permission: staff", "inspects ARGS: ints=n", "Show it."):
        assert text in answer.text
    assert f'href="vscode://file/{__file__}:' in answer.text
    assert re.findall(r'(?:src|href)="(?:https?:)?//', answer.text) == []


def test_a_service_without_devel_has_no_page():
    app = shop()
    app.expose_spec = False
    driver = Driver(app, debug=False)
    assert {driver.get(path).status for path in ("/routes", "/routes.json")} == {404}


def test_the_path_is_that_of_the_app():
    driver = Driver(shop(routes_page="/-/map"), debug=True)
    assert [driver.get(path).status for path in ("/-/map", "/-/map.json", "/routes")] == [
        200, 200, 404,
    ]  # fmt: skip
    assert Driver(shop(routes_page=None), debug=True).get("/routes").status == 404


def test_a_route_of_the_app_comes_first():
    def mine(was, p=""):
        return f"mine {p}"

    for rule in ("/routes", "/<path:p>", "/<p>"):
        app = shop()
        app.route(rule)(mine)
        assert Driver(app, debug=True).get("/routes").text.startswith("mine")


@pytest.mark.parametrize("path", ["map", "", 7, "/", "/<x>", "/items"])
def test_a_path_that_cant_be_is_refused(path):
    app = shop(routes_page=path)
    app.route("/items")(lambda was: "")
    with pytest.raises(ConfigError, match=r"app\.routes_page="):
        Driver(app, debug=True)


@pytest.mark.parametrize(
    ("method", "path", "host", "status", "rule", "params"),
    [
        ("GET", "/items/7", "", 200, "/items/<int:id>", {"id": 7}),
        ("POST", "/items", "", 200, "/items", {}),
        ("PUT", "/items", "", 405, None, {}),
        ("GET", "/items/x", "", 404, None, {}),
        ("GET", "/old/x", "", 410, None, {}),
        ("GET", "/ann", "api.example.com", 200, "/ann", {}),
        ("GET", "/ann", "example.com", 404, None, {}),
        ("GET", "/files/a/b", "", 200, "/files/<path:p>", {"p": "a/b"}),
    ],
)
def test_which_route_takes_a_request(method, path, host, status, rule, params):
    app = shop()
    Driver(app, debug=True)
    verdict = find_route(app, method, path, host)
    assert (verdict.status, verdict.params) == (status, params)
    assert (verdict.route["rule"] if verdict.route else None) == rule


def site_of(app, *more):
    mount = {"kind": "app", "name": app.name, "point": "/shop/", "hosts": ["default"], "home": ""}
    return {"mounts": [{**mount, **app.describe()}, *more], "statics": []}


def test_mounts_are_asked_as_dispatch_does(tmp_path):
    (tmp_path / "a.css").write_text("")
    app = shop()
    Driver(app, point="/shop/", debug=True)
    hosted = {"kind": "wsgi", "name": "old", "point": "/", "hosts": ["default"]}
    site = site_of(app, hosted, {**hosted, "name": "own", "hosts": [".example.com"]})
    static = {"kind": "static", "point": "/static/", "hosts": ["default"], "path": str(tmp_path)}
    site["statics"].append(static)
    app.peers.describe_site = lambda: site
    look = partial(find_route, app)
    assert look("GET", "/shop/items/7").route["rule"] == "/shop/items/<int:id>"
    assert look("GET", "/shop").status == 308
    assert look("GET", "/else").text == "wsgi old answers all below it"
    assert look("GET", "/static/a.css").mount is static
    assert look("POST", "/static/a.css").mount is hosted
    assert look("GET", "/static/../a.css").mount is hosted
    site["mounts"].pop(1)
    assert look("GET", "/else", "www.example.com:80").mount["name"] == "own"
    assert look("GET", "/else", "example.org").text == "nothing is mounted here"


@pytest.mark.parametrize(
    ("path", "rule", "why"),
    [
        ("/item/7", "/items/<int:id>", ""),
        ("/Items", "/items", "upper and lower case"),
        ("/feed/", "/feed", "the slash at the end"),
        ("/items/abc", "/items/<int:id>", "<int:id> takes no such value"),
        ("/api/feed", "/feed", "without /api"),
        ("/ann", "/ann", "another host or method"),
    ],
)
def test_the_nearest_routes_come_first(path, rule, why):
    app = shop()
    Driver(app, debug=True)
    near = nearest(app, path)[0]
    assert (near.route["rule"], near.why) == (rule, why)


def test_nothing_is_near_to_something_else():
    app = shop()
    Driver(app, debug=True)
    assert nearest(app, "/zzzzzzzzzzzzzzzz") == []


def test_the_form_tells_the_route():
    page = Driver(shop(), debug=True).html("/routes?method=GET&path=items/7")
    verdict = page.text.partition('id="verdict"')[2].partition("</ul>")[0]
    assert "this route answers" in verdict
    assert "id = 7" in verdict


def test_browsers_see_what_a_missing_path_may_mean():
    driver = Driver(shop(), debug=True)
    page = driver.html("/item/7")
    assert (page.status, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    near = page.text.partition('id="near"')[2].partition("</ul>")[0]
    assert "/items/&lt;int:id&gt;" in near
    assert '<a href="/routes">All routes.' in page.text
    assert driver.get("/item/7").json == {"code": 40400, "message": "not found"}


def test_a_method_that_is_missing_shows_the_others():
    driver = Driver(shop(), debug=True)
    page = driver.request("PUT", "/items/7", HTML)
    assert (page.status, page["Allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")
    allowed = page.text.partition('id="allowed"')[2].partition("</ul>")[0]
    assert allowed.count("<li ") == 3
    assert "/items/&lt;int:id&gt;" in allowed
    assert driver.request("PUT", "/items/7").json["code"] == 40500


def test_a_path_that_was_taken_back_says_so():
    app = shop()
    app.unroute("/gone")
    assert "app.unroute(/gone)" in Driver(app, debug=True).html("/gone").text


def test_without_devel_missing_paths_tell_nothing():
    page = Driver(shop()).html("/item/7")
    assert page.status == 404
    assert "items" not in page.text


def test_an_own_error_page_stays():
    app = shop()
    app.error_handler(404)(lambda was, error: "mine")
    assert Driver(app, debug=True).html("/item/7").text == "mine"


@pytest.mark.parametrize(
    "target", ["/%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E", "/a?%3Cscript%3E"]
)
def test_nothing_of_a_request_is_markup(target):
    driver = Driver(shop(), debug=True)
    assert "<script>" not in driver.html(target).text
    page = driver.html(f"/routes?path={target}&host={HOSTILE}&method={HOSTILE}")
    assert "<script>" not in page.text


def test_nothing_of_an_app_is_markup():
    app = shop()

    def named(was):
        pass

    named.__doc__ = named.__qualname__ = named.__module__ = HOSTILE
    app.route("/x", hostile=HOSTILE)(named)
    assert "<script>" not in Driver(app, debug=True).html("/routes").text

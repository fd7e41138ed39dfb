"""Which endpoint gets a request: sub-domains, the point of the app, paths that are taken back."""

from __future__ import annotations

import asyncio
import time

import pytest
from driving import Channel, Driver, module

from atila import Atila
from atila.errors import ConfigError
from skitai.handlers.app import AppHandler
from skitai.server.dispatch import Dispatcher, Site
from skitai.server.exchange import Exchange
from skitai.wire.request import Request, split_target


def declare(app, rule, text, **options):
    """A route that answers with its name and what is in the path."""

    def handler(was, **parameters):
        return "|".join([text, *map(str, parameters.values())])

    handler.__name__ = f"h{len(app.routes)}"
    app.route(rule, **options)(handler)


def ask(driver, host, target="/", method="GET"):
    answer = driver.request(method, target, {"Host": host})
    return answer.text if answer.status == 200 else answer.status


# Sub-domains


def test_a_route_of_a_sub_domain_is_found_only_there():
    app = Atila("hosts")
    declare(app, "/only", "k", subdomain="k")
    declare(app, "/all", "all")
    driver = Driver(app)
    assert ask(driver, "k.localhost", "/only") == "k"
    assert ask(driver, "k.example.com", "/only") == "k"
    for host in ("localhost", "kk.localhost", "k", "klocalhost", "x.k.localhost", "", "127.0.0.1"):
        assert ask(driver, host, "/only") == 404, host
        assert ask(driver, host, "/all") == "all", host
    assert ask(driver, "k.localhost", "/all") == "all"


@pytest.mark.parametrize("host", ["k.localhost:5000", "K.LOCALHOST", "k.LocalHost:80", "k."])
def test_case_and_port_of_a_host_do_not_matter(host):
    app = Atila("hosts")
    declare(app, "/", "k", subdomain="k")
    assert ask(Driver(app), host) == "k"


@pytest.mark.parametrize("name", ["K", "k.", ".k", "k"])
def test_the_option_may_be_written_in_any_case(name):
    app = Atila("hosts")
    declare(app, "/", "k", subdomain=name)
    declare(app, "/x", "x", subdomain="k")
    driver = Driver(app)
    assert ask(driver, "k.localhost") == "k"
    assert ask(driver, "k.localhost", "/x") == "x"


@pytest.mark.parametrize("rule", ["/", "/page", "/items/<name>", "/files/<path:p>", "/i/<int:n>"])
@pytest.mark.parametrize("order", [("", "a", "b"), ("b", "a", ""), ("a", "", "b")])
def test_one_path_on_several_sub_domains(rule, order):
    app = Atila("hosts")
    for name in order:
        declare(app, rule, name or "all", subdomain=name or None)
    driver = Driver(app)
    target = rule.partition("<")[0] + ("5" if "<" in rule else "")
    rest = "|5" if "<" in rule else ""
    assert ask(driver, "a.localhost", target) == f"a{rest}"
    assert ask(driver, "b.localhost", target) == f"b{rest}"
    assert ask(driver, "c.localhost", target) == f"all{rest}"
    assert ask(driver, "localhost", target) == f"all{rest}"


@pytest.mark.parametrize("general_first", [True, False])
def test_other_names_of_a_parameter_do_not_bring_the_general_route_to_a_sub_domain(general_first):
    app = Atila("hosts")
    declared = [("/x/<one>", "all", None), ("/x/<two>", "a", "a")]
    for rule, text, name in declared if general_first else reversed(declared):
        declare(app, rule, text, subdomain=name)
    driver = Driver(app)
    assert ask(driver, "a.localhost", "/x/5") == "a|5"
    assert ask(driver, "b.localhost", "/x/5") == "all|5"


def test_a_default_on_a_sub_domain_is_before_the_path_for_all():
    app = Atila("hosts")

    @app.route("/u/<int:id>", subdomain="a")
    def user(was, id=0):
        return f"a{id}"

    @app.route("/u/<int:id>")
    def anybody(was, id=0):
        return f"all{id}"

    driver = Driver(app)
    assert [ask(driver, "a.x", path) for path in ("/u", "/u/5")] == ["a0", "a5"]
    assert [ask(driver, "x", path) for path in ("/u", "/u/5")] == ["all0", "all5"]


def test_methods_of_a_path_come_from_both():
    app = Atila("hosts")
    declare(app, "/x", "all", methods=["GET", "PUT"])
    declare(app, "/x", "a", methods=["GET"], subdomain="a")
    driver = Driver(app)
    assert ask(driver, "a.localhost", "/x") == "a"
    assert ask(driver, "a.localhost", "/x", "PUT") == "all"
    answer = driver.request("DELETE", "/x", {"Host": "a.localhost"})
    assert (answer.status, answer["Allow"]) == (405, "GET, HEAD, OPTIONS, PUT")


def test_of_sub_domains_of_sub_domains_the_longest_counts():
    app = Atila("hosts")
    declare(app, "/", "a", subdomain="a")
    declare(app, "/", "a.b", subdomain="a.b")
    declare(app, "/short", "a", subdomain="a")
    declare(app, "/long", "a.b", subdomain="a.b")
    driver = Driver(app)
    assert ask(driver, "a.b.example.com") == "a.b"
    assert ask(driver, "a.example.com") == "a"
    assert ask(driver, "a.b.example.com", "/short") == "a"
    assert ask(driver, "a.example.com", "/long") == 404


def test_sub_domains_below_a_point():
    app = Atila("hosts")
    declare(app, "/x", "k", subdomain="k")
    driver = Driver(app, point="/shop/")
    assert ask(driver, "k.localhost", "/shop/x") == "k"
    assert ask(driver, "localhost", "/shop/x") == 404


# unroute


def test_unrouted_paths_are_answered_with_an_error():
    app = Atila("unrouted")
    declare(app, "/admin/<path:p>", "admin")
    declare(app, "/old", "old")
    declare(app, "/<name>", "name")
    app.unroute("/admin/*")
    app.unroute("/old", 410)
    app.unroute("*.php", 403)
    driver = Driver(app)
    assert driver.get("/admin/").status == 404
    assert driver.get("/admin/a/b").status == 404
    assert driver.get("/admin").text == "name|admin"
    assert driver.get("/old").status == 410
    assert driver.get("/older").text == "name|older"
    assert driver.get("/index.php").status == 403
    assert driver.get("/deep/index.php?x").status == 403
    assert driver.get("/index.PHP").text == "name|index.PHP"
    assert driver.request("OPTIONS", "/old").status == 410


def test_patterns_are_of_the_path_below_the_point_and_decoded():
    app = Atila("unrouted")
    declare(app, "/<name>", "name")
    app.unroute("/a b")
    driver = Driver(app, point="/shop/")
    assert driver.get("/shop/a%20b").status == 404
    assert driver.get("/shop/a+b").text == "name|a+b"


def test_the_first_pattern_that_matches_counts():
    app = Atila("unrouted")
    app.unroute("/a*", 410)
    app.unroute("/ab", 403)
    assert Driver(app).get("/ab").status == 410


def test_unrouted_paths_may_belong_to_another_app():
    first, second = Atila("first"), Atila("second")
    declare(first, "/x", "first")
    declare(second, "/x", "second")
    first.unroute("/x")
    assert Driver(first, second).get("/x").text == "second"


def test_an_unrouted_path_has_the_page_of_the_app():
    app = Atila("unrouted")
    app.unroute("/x", 410)
    app.error_handler(410)(lambda was, error: f"gone: {error['code']}")
    answer = Driver(app).html("/x")
    assert (answer.status, answer.text) == (410, "gone: 410")


@pytest.mark.parametrize(
    ("pattern", "code", "message"),
    [
        ("admin", 404, "a pattern begins with '/'"),
        ("", 404, "a pattern begins with '/'"),
        (None, 404, "a pattern begins with '/'"),
        ("/a", 200, "give an error status such as 404"),
        ("/a", "404", "give an error status such as 404"),
        ("/a", 600, "give an error status such as 404"),
    ],
)
def test_patterns_that_cannot_be(pattern, code, message):
    with pytest.raises(ConfigError, match=message):
        Atila("unrouted").unroute(pattern, code)


# The point of the app


def at_point(app, target, method="GET", point="/shop/"):
    """The answer of a site with one app; its path may be that of the point without a slash."""
    app.setup(None, {})
    site = Site([], [(point, AppHandler([app.freeze(point, None)], None))])

    async def exchange():
        headers = {}
        path, query = split_target(target, method, headers)
        channel = Channel()
        asked = Exchange(channel, Request(method, target, path, query, "1.1", headers), True)
        Dispatcher({"default": site}).dispatch(asked)
        await asyncio.wait_for(channel.ended, 10)
        return channel.answer

    return asyncio.run(exchange())


@pytest.mark.parametrize(
    ("rules", "bare", "slashed"),
    [
        (["/"], 308, "/"),
        ([""], "", ""),
        (["", "/"], "", "/"),
        (["/", ""], "", "/"),
        (["/x"], 308, 404),
        (["/<p>"], 308, 404),
        (["/<path:p>"], 308, "/<path:p>"),
    ],
)
def test_the_point_with_and_without_a_slash(rules, bare, slashed):
    def asked(target):
        app = Atila("point")
        for rule in rules:
            app.route(rule)(lambda was, rule=rule, **kw: was.request.routable["route"])
        answer = at_point(app, target)
        return answer.text if answer.status == 200 else answer.status

    assert asked("/shop") == bare
    assert asked("/shop/") == slashed


def test_the_redirect_of_a_point_keeps_query_and_method():
    app = Atila("point")
    declare(app, "/", "index")
    answer = at_point(app, "/shop?a=%20&b", "POST")
    assert (answer.status, answer["Location"]) == (308, "/shop/?a=%20&b")


def test_other_methods_at_the_point():
    app = Atila("point")
    declare(app, "", "index", methods=["GET"])
    assert at_point(app, "/shop", "DELETE").status == 405
    assert at_point(Atila("point"), "/shop", "DELETE").status == 308


@pytest.mark.parametrize(
    ("rules", "url"), [([""], "/shop/"), (["", "/"], "/shop"), (["/", ""], "/shop")]
)
def test_the_url_of_a_point(rules, url):
    app = Atila("point")
    for rule in rules:
        declare(app, rule, rule or "bare")
    handler = next(route.function for route in app.routes if not route.rule.text)
    assert at_point(app, url).text == "bare"
    assert (
        app.urls.build(handler) == app.urls.base(handler) == app.urls.spec(handler)["path"] == url
    )


def test_at_the_root_both_are_the_same():
    app = Atila("point")
    declare(app, "", "bare")
    driver = Driver(app)
    assert driver.get("/").text == "bare"
    assert app.urls.build("h0") == "/"


def test_a_default_at_the_root_of_a_module_answers_with_and_without_a_slash():
    def mount(app):
        @app.route("/<int:id>")
        def show(was, id=None):
            return f"{id} {was.urlfor('sub.show')}"

    sub = module("app.sub", __mount__=mount)
    root = module("app", __setup__=lambda app: app.mount("/sub", sub))
    driver = Driver(Atila("module"), module=root, point="/shop/")
    assert driver.get("/shop/sub").text == "None /shop/sub"
    assert driver.get("/shop/sub/").text == "None /shop/sub"
    assert driver.get("/shop/sub/5").text == "5 /shop/sub"


# Hostile paths


@pytest.mark.parametrize("path", ["/" * 8000, "/a" * 4000, "/u/" + "/" * 8000, "//" * 4000 + "u"])
def test_a_path_of_many_slashes_takes_no_time(path):
    app = Atila("slashes")
    declare(app, "/u/<int:id>", "user")
    declare(app, "/u/<int:id>/pets/<name>", "pet")
    driver = Driver(app)
    driver.get("/u/1")
    began = time.process_time()
    for _ in range(10):
        assert driver.get(path).status == 404
    assert time.process_time() - began < 0.15  # 0.3 s if every slash were looked at


def test_a_rule_with_several_free_parts_matches_no_endless_path():
    app = Atila("free")
    declare(app, "/f/<path:a>/x/<path:b>/x/<path:c>/y", "free")
    driver = Driver(app)
    assert driver.get("/f/1/x/2/2/x/3/y").text == "free|1|2/2|3"
    began = time.process_time()
    answer = driver.get("/f" + "/x" * 4000)
    assert time.process_time() - began < 0.15  # minutes
    assert (answer.status, answer.json["more_info"]) == (414, "the path is too long for its route")


# Declaring


@pytest.mark.parametrize("rule", [None, 5, ["/a"], lambda was: "a"])
def test_a_rule_is_text(rule):
    with pytest.raises(ConfigError, match=r"@app.route needs a path, not .*@app.route\('/path'\)"):
        Atila("wrong").route(rule)

"""``__spec__``: who gets it, in which answers, and what it says."""

from __future__ import annotations

import json

import pytest
from driving import Channel, Driver

from atila import Atila

DEVEL = {"debug": True, "expose_spec": True}


@pytest.fixture(autouse=True)
def peer(monkeypatch):
    """Where the client is: on this machine, until a test says something else."""

    def be(address):
        monkeypatch.setattr(Channel, "peer", (address, 41000))

    be("127.0.0.1")
    return be


def make_app(**attributes):
    app = Atila("shop")
    for name, value in attributes.items():
        setattr(app, name, value)

    @app.route("/items/<int:id>", methods=["GET"], kind=dict)
    @app.inspect("URL", ints=["n"], n__gte=3)
    def item(was, id, n=4):
        """One item.

        With its stock.
        """
        if id == 9:
            raise was.Error("422 Unprocessable Content", "no such id")
        if id == 8:
            return was.Fault("409 Conflict", "taken")
        return was.API(id=id, n=n)

    @app.route("/plain")
    def plain(was):
        return {"plain": True}

    @app.route("/text")
    def text(was):
        return "text"

    @app.route("/crash")
    async def crash(was):
        raise ZeroDivisionError

    @app.route("/staff")
    @app.permission_required(["staff"])
    def staff(was):
        return was.API(staff=True)

    @app.permission_handler
    def permit(was, permissions):
        was.request.user = "me"

    return app


class Asking(Driver):
    """A client that wants to be told."""

    def request(self, method, target, headers=(), *rest, **options):
        return super().request(method, target, {"X-Spec": "1", **dict(headers)}, *rest, **options)


def drive(**attributes):
    options = {**DEVEL, **attributes}
    return Asking(make_app(**options), debug=options["debug"])


def test_who_does_not_ask_is_not_told():
    app = make_app(**DEVEL)
    for target in ("/items/3", "/items/9", "/plain", "/crash"):
        assert b"__spec__" not in Driver(app, debug=True).get(target).body


def test_an_answer_says_what_its_resource_is():
    answer = drive().get("/items/3?n=5").json
    spec = answer.pop("__spec__")
    assert answer == {"id": 3, "n": 5}
    routeopt = spec.pop("routeopt")
    assert spec == {
        "id": "item",
        "doc": "One item.\n\nWith its stock.",
        "parameter_requirements": {"URL": {"ints": ["n"], "n__gte": "3"}},
        "auth_requirements": [],
        "current_request": {"method": "GET", "version": "1.1", "uri": "/items/3?n=5"},
    }
    assert (routeopt["route"], routeopt["methods"]) == ("/items/<int:id>", ["GET"])
    assert (routeopt["args"], routeopt["defaults"]) == (["id", "n"], {"n": 4})
    assert routeopt["kind"] == "dict"
    assert "func_id" not in routeopt


@pytest.mark.parametrize(
    ("target", "status"),
    [("/items/9", 422), ("/items/8", 409), ("/items/3?n=1", 400), ("/plain", 200), ("/crash", 500)],
)
def test_json_of_every_kind_has_it(target, status):
    answer = drive().get(target)
    assert (answer.status, answer.json["__spec__"]["current_request"]["uri"]) == (status, target)


def test_demands_are_told():
    spec = drive(authenticate="basic", users={"u": "p"}).get("/staff", Authorization="Basic dTpw")
    demands = spec.json["__spec__"]["auth_requirements"]
    assert demands == [["authorization", "basic"], ["permission", ["staff"]]]


@pytest.mark.parametrize("target", ["/text", "/nowhere"])
def test_text_and_errors_of_routing_have_none(target):
    assert b"__spec__" not in drive().get(target).body


@pytest.mark.parametrize("off", [{"debug": False}, {"expose_spec": False}])
def test_it_is_off_unless_both_switches_are_on(off):
    for target in ("/items/3", "/items/9", "/plain", "/crash"):
        assert b"__spec__" not in drive(**off).get(target).body


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=1.2.3.4"}, {"Accept": "text/xml"}],
)
def test_clients_behind_proxies_and_readers_of_xml_get_none(headers):
    assert b"__spec__" not in drive().request("GET", "/items/3", headers).body


@pytest.mark.parametrize(
    ("address", "told"),
    [("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False)]
    + [("::ffff:10.0.0.1", False), ("", False)],
)
def test_only_clients_on_this_machine_get_it(peer, address, told):
    peer(address)
    assert (b"__spec__" in drive().get("/items/3").body) is told


def test_the_dictionary_of_the_app_stays_as_it_is():
    app = Atila("kept")
    app.debug = app.expose_spec = True
    kept = {"a": 1}

    @app.route("/")
    def index(was):
        return kept

    @app.route("/api")
    def api(was):
        return was.API(kept)

    driver = Asking(app, debug=True)
    for target in ("/", "/api", "/"):
        assert driver.get(target).json["__spec__"]["current_request"]["uri"] == target
    assert kept == {"a": 1}


def test_an_event_tells_the_app():
    app = make_app(**DEVEL)
    seen = []

    @app.on("spec:exposed")
    def exposed(was, spec):
        seen.append(spec["id"])

    Asking(app, debug=True).get("/items/3")
    assert seen == ["item"]


def test_what_json_does_not_know_is_told_as_text():
    answer = drive().get("/items/3")
    assert json.loads(answer.body)["__spec__"]["routeopt"]["options"]["kind"] == "dict"

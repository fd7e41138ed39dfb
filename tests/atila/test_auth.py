"""Basic, digest and bearer authentication, as clients of an app meet them."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from digest_client import answer, facts, strongest
from driving import Driver
from hypothesis import given
from hypothesis import strategies as st

from atila import Atila
from atila.access.auth import KINDS, Authenticators, Claims, kind_of
from atila.access.passwords import Account, User, account_of, first_hash, quoted
from atila.errors import ConfigError
from atila.steps import Kind, guards_of

MD5 = first_hash("MD5", "kim", "App", "secret")


def basic(username: str, password: str, charset: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode(charset)).decode()


def guarded(kind: Any = "basic", **settings: Any) -> Atila:
    """An app that tells who asks, at ``/``."""
    app = Atila("doors")
    app.users = {"kim": ("secret", False, {"role": "root"}), "lee": "plain"}
    app.securekey = "for tokens"
    for name, value in settings.items():
        setattr(app, name, value)

    @app.route("/", methods=["GET", "POST"], authenticate=kind)
    def index(was, **others):
        user = was.request.user
        return was.API(user=str(user), name=user.name, realm=user.realm, info=user.info)

    return app


def challenges(answer) -> list[str]:
    assert answer.status == 401
    return answer.all("WWW-Authenticate")


def digest_get(driver: Driver, username: str, password: str, target: str = "/"):
    """GET as a client of digest authentication does: once without, once with credentials."""
    offered = strongest(challenges(driver.get(target)))
    return driver.get(target, Authorization=answer(offered, username, password, target))


# -- basic


def test_basic_lets_those_in_who_know_a_password():
    driver = Driver(guarded())
    assert challenges(driver.get("/")) == ['Basic realm="App"']
    let_in = driver.get("/", Authorization=basic("kim", "secret"))
    assert let_in.json == {"user": "kim", "name": "kim", "realm": "App", "info": {"role": "root"}}
    assert driver.get("/", Authorization=basic("lee", "plain")).json["info"] is None
    for name, password in (("kim", "wrong"), ("nobody", "secret"), ("kim", ""), ("", "")):
        refused = driver.get("/", Authorization=basic(name, password))
        assert challenges(refused) == ['Basic realm="App"']
        assert refused.json == {"code": 40100, "message": "unauthorized"}


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_basic_reads_utf_8_and_what_clients_sent_before(charset):
    driver = Driver(guarded(users={"jäsøn": "pässwörd: 1"}))
    sent = basic("jäsøn", "pässwörd: 1", charset)
    assert driver.get("/", Authorization=sent).json["name"] == "jäsøn"


def test_the_name_of_the_scheme_has_no_case():
    driver = Driver(guarded())
    sent = basic("kim", "secret").replace("Basic ", "bAsIc   ")
    assert driver.get("/", Authorization=sent).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "", "Basic", "Basic ", "Basic =", "Basic a", "Basic Og", "Basic é", "Bearer x", "basic:",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"kim:sec\nret").decode(),
        "Basic " + base64.b64encode(b"k\x00im:secret").decode(),
        basic("kim", "secret") + ", " + basic("kim", "secret"),
        basic("kim", "secret") + "\t!",
        "Basickim:secret",
    ],
)  # fmt: skip
def test_malformed_credentials_are_none(header):
    assert challenges(Driver(guarded()).get("/", Authorization=header)) == ['Basic realm="App"']


def test_basic_can_check_an_encrypted_password():
    driver = Driver(guarded(users={"kim": (MD5.upper(), True)}))
    assert driver.get("/", Authorization=basic("kim", "secret")).status == 200
    assert driver.get("/", Authorization=basic("kim", "wrong")).status == 401
    assert driver.get("/", Authorization=basic("kim", MD5)).status == 401


# -- digest


def test_digest_lets_those_in_who_know_a_password():
    driver = Driver(guarded("digest"))
    assert digest_get(driver, "kim", "secret").json["info"] == {"role": "root"}
    assert digest_get(driver, "kim", "secret", "/?a=1&b=%20").status == 200
    assert len(challenges(digest_get(driver, "kim", "wrong"))) == 2
    assert len(challenges(digest_get(driver, "nobody", "secret"))) == 2


def test_digest_goes_on_with_the_nonce_it_has():
    driver = Driver(guarded("digest"))
    offered = strongest(challenges(driver.get("/")))
    sent = [answer(offered, "kim", "secret", "/", number=number) for number in (1, 2, 3)]
    assert [driver.get("/", Authorization=header).status for header in sent] == [200] * 3
    again = challenges(driver.get("/", Authorization=sent[0]))
    assert facts(again[0])["stale"] == "true"


def test_digest_is_offered_in_md5_only_when_a_user_has_nothing_else():
    driver = Driver(guarded("digest", users={"kim": (MD5, True), "lee": "plain"}))
    (challenge,) = challenges(driver.get("/"))
    assert facts(challenge)["algorithm"] == "MD5"
    assert digest_get(driver, "kim", "secret").status == 200
    assert digest_get(driver, "lee", "plain").status == 200


def test_settings_of_the_app_are_in_the_challenge():
    app = guarded("digest", realm="Partner Area", opaque="glass", securekey="s")
    offered = facts(challenges(Driver(app).get("/"))[0])
    assert (offered["realm"], offered["opaque"]) == ("Partner Area", "glass")


def test_workers_with_one_securekey_know_each_others_nonces():
    here, there = (Driver(guarded("digest", securekey="shared")) for _ in range(2))
    offered = strongest(challenges(here.get("/")))
    assert there.get("/", Authorization=answer(offered, "kim", "secret", "/")).status == 200


# -- bearer


def bearer_app(handler, asynchronous: bool = False) -> Driver:
    app = Atila("doors")
    if asynchronous:

        async def handle(was, token):
            return handler(was, token)

        app.bearer_handler(handle)
    else:
        app.bearer_handler(handler)

    @app.route("/")
    @app.authorization_required("bearer")
    def index(was):
        return was.request.user

    return Driver(app)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_bearer_handler_takes_or_refuses_a_token(asynchronous):
    def handle(was, token):
        if token == "expired":
            raise was.Error("401 Unauthorized", "token expired")
        if token == "asserted":
            raise AssertionError(was.Error("401 Unauthorized", 'a "strange" token\n'))
        if token == "told":
            return "not ours"
        if token == "empty":
            return ""
        if token == "forbidden":
            raise was.Error("403 Forbidden", "not you")
        if token == "own":
            was.response.set_header("WWW-Authenticate", "Own")
            raise was.Error(401)
        was.request.user = f"user of {token}"
        return True

    driver = bearer_app(handle, asynchronous)

    def ask(token):
        return driver.get("/", Authorization=f"Bearer {token}")

    assert ask("a.b-c_d~e+f/g==").text == "user of a.b-c_d~e+f/g=="
    assert challenges(driver.get("/")) == ['Bearer realm="App"']
    expired = ask("expired")
    assert challenges(expired) == ['Bearer realm="App", error="token expired"']
    assert expired.json["more_info"] == "token expired"
    assert challenges(ask("asserted")) == ['Bearer realm="App", error="a \\"strange\\" token?"']
    assert challenges(ask("told")) == ['Bearer realm="App", error="not ours"']
    assert challenges(ask("empty")) == ['Bearer realm="App"']
    assert challenges(ask("own")) == ["Own"]
    assert ask("forbidden").status == 403
    assert ask("forbidden").all("WWW-Authenticate") == []


def test_a_bearer_handler_that_crashes_is_a_crash():
    def handle(was, token):
        raise AssertionError(token) if token == "assert" else KeyError(token)

    driver = bearer_app(handle)
    assert driver.get("/", Authorization="Bearer assert").status == 500
    assert driver.get("/", Authorization="Bearer key").status == 500


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer a b", "Bearer é", "Basic x"])
def test_what_is_no_token_is_not_shown_to_the_handler(header):
    driver = bearer_app(lambda was, token: pytest.fail(token))
    assert challenges(driver.get("/", Authorization=header)) == ['Bearer realm="App"']


def jwt_app() -> Driver:
    app = Atila("doors")
    app.securekey = "for tokens"

    @app.route("/token")
    def token(was, seconds):
        return was.encode_jwt(
            {"username": "kim", "lev": "staff", "exp": time.time() + int(seconds)}
        )

    @app.route("/")
    @app.authorization_required("bearer")
    def index(was):
        user = was.request.user
        return was.API(name=user.name, lev=user.lev, none=user.nick, claims=user)

    return Driver(app)


def test_json_web_tokens_are_bearer_tokens():
    driver = jwt_app()
    token = driver.get("/token?seconds=100").text
    let_in = driver.get("/", Authorization=f"Bearer {token}").json
    assert (let_in["name"], let_in["lev"], let_in["none"]) == ("kim", "staff", None)
    assert let_in["claims"].keys() == {"username", "lev", "exp"}


def test_a_token_that_is_not_good_is_told_why():
    driver = jwt_app()
    old = driver.get("/token?seconds=-1").text
    refused = driver.get("/", Authorization=f"Bearer {old}")
    assert challenges(refused) == ['Bearer realm="App", error="token expired"']
    assert refused.json["more_info"] == "token expired"
    for token in (old[:-4], "a", "a.b.c", "." * 5000):
        (challenge,) = challenges(driver.get("/", Authorization=f"Bearer {token}"))
        assert challenge.startswith('Bearer realm="App", error="')


def test_tokens_need_a_key_or_a_handler():
    with pytest.raises(ConfigError, match=r"app.securekey, .* or check them in a @app.bearer_han"):
        Driver(guarded("bearer", securekey=None))


def test_claims_are_items_and_attributes():
    claims = Claims(username="kim", lev="staff", items=3)
    assert (claims.name, claims["lev"], claims.lev, claims.missing) == (
        "kim",
        "staff",
        "staff",
        None,
    )
    assert (claims["items"], claims.get("x", 1), "x" in claims) == (3, 1, False)
    assert str(claims) == "kim"
    assert (Claims(name="n", sub="s").name, Claims(sub="s").name, str(Claims())) == ("n", "s", "")
    claims.tuid = "me"
    assert claims.tuid == "me"
    with pytest.raises(AttributeError):
        _ = claims.__html__


# -- which routes


def test_the_nearest_demand_wins():
    app = Atila("doors")
    app.users = {"kim": "secret"}
    app.authenticate = "Digest"
    app.securekey = "for tokens"

    @app.route("/app")
    def of_app(was):
        return ""

    @app.route("/option", authenticate="basic")
    def of_option(was):
        return ""

    @app.route("/decorated", authenticate="basic")
    @app.authorization_required("BEARER")
    def decorated(was):
        return ""

    @app.authorization_required("bearer")
    @app.route("/above")
    def above(was):
        return ""

    @app.route("/open", authenticate=False)
    def opened(was):
        return ""

    @app.route("/none", authenticate=None)
    def none(was):
        return ""

    @app.route("/true", authenticate=True)
    def true(was):
        return ""

    def module(app, mntopt):
        @app.route("/index")
        def index(was):
            return ""

        @app.route("/open", authenticate=False)
        def index_open(was):
            return ""

    app.mount("/m", module, authenticate="bearer")
    app.mount("/n", module, authenticate=False)
    driver = Driver(app)
    kinds = {
        path: (driver.get(path)["WWW-Authenticate"] or "None").split()[0]
        for path in (
            "/app", "/option", "/decorated", "/above", "/open", "/none", "/true", "/m/index",
            "/m/open", "/n/index",
        )
    }  # fmt: skip
    assert kinds == {
        "/app": "Digest", "/option": "Basic", "/decorated": "Bearer", "/above": "Bearer",
        "/open": "None", "/none": "Digest", "/true": "Digest", "/m/index": "Bearer",
        "/m/open": "None", "/n/index": "None",
    }  # fmt: skip


def test_true_is_digest_when_the_app_says_nothing():
    for own, expected in ((None, "Digest"), (True, "Digest"), ("basic", "Basic")):
        app = guarded(True, authenticate=own)
        assert (Driver(app).get("/")["WWW-Authenticate"] or "").startswith(expected)


def test_routes_of_one_kind_share_their_nonces():
    app = guarded("digest")

    @app.route("/more", authenticate="digest")
    def more(was):
        return "more"

    driver = Driver(app)
    offered = strongest(challenges(driver.get("/")))
    sent = answer(offered, "kim", "secret", "/more")
    assert driver.get("/more", Authorization=sent).text == "more"
    assert facts(challenges(driver.get("/more", Authorization=sent))[0])["stale"] == "true"


def test_hooks_do_not_run_for_those_who_are_refused():
    app = guarded()
    ran = []
    for name in ("before_request", "finish_request", "failed_request", "teardown_request"):
        getattr(app, name)(lambda was, *args, name=name: ran.append(name))
    driver = Driver(app)
    assert driver.get("/").status == 401
    assert driver.get("/", Authorization=basic("kim", "wrong")).status == 401
    assert ran == []
    assert driver.get("/", Authorization=basic("kim", "secret")).status == 200
    assert ran == ["before_request", "finish_request", "teardown_request"]


def test_an_error_page_of_the_app_keeps_the_challenge():
    app = guarded()

    @app.error_handler(401)
    def page(was, error):
        return "log in"

    driver = Driver(app)
    for headers in ({}, {"Authorization": basic("kim", "wrong")}):
        refused = driver.get("/", Accept="text/html", **headers)
        assert challenges(refused) == ['Basic realm="App"']
        assert refused.text == "log in"


def test_requests_without_credentials_are_refused_before_their_body_is_read():
    for kind in KINDS:
        app = guarded(kind)
        app.config.MAX_UPLOAD_SIZE = 10
        refused = Driver(app).send("/", b"x" * 100, "text/plain")
        assert refused.status == 401, kind


def test_options_are_answered_without_credentials():
    app = guarded("basic", authenticate="basic", access_control_allow_origin=["http://a.example"])
    driver = Driver(app)
    assert driver.request("OPTIONS", "/").status == 204
    asked = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    answered = driver.request("OPTIONS", "/", asked)
    assert (answered.status, answered.body) == (200, b"")
    assert answered["Access-Control-Allow-Methods"] == "GET, HEAD, POST"


def test_a_page_of_another_site_can_read_that_it_is_refused():
    app = guarded("basic", access_control_allow_origin=["http://a.example"])
    for headers in ({}, {"Authorization": basic("kim", "wrong")}):
        refused = Driver(app).get("/", Origin="http://a.example", **headers)
        assert len(challenges(refused)) == 1
        assert refused["Access-Control-Allow-Origin"] == "http://a.example"


# -- where accounts come from


@pytest.mark.parametrize("kind", ["basic", "digest"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_handler_gives_accounts(kind, asynchronous):
    asked = []

    def look_up(was, username):
        asked.append((type(was).__name__, username))
        return {"kim": ("secret", 0, "info"), "lee": (MD5, 1), "bad": 5}.get(username)

    async def look_up_async(was, username):
        return look_up(was, username)

    app = guarded(kind, users={})
    app.authorization_handler(look_up_async if asynchronous else look_up)
    driver = Driver(app)

    def ask(username, password):
        if kind == "digest":
            return digest_get(driver, username, password)
        return driver.get("/", Authorization=basic(username, password))

    assert ask("kim", "secret").json["info"] == "info"
    assert ask("nobody", "secret").status == 401
    assert ask("bad", "secret").status == 500
    assert set(asked) == {("Was", "kim"), ("Was", "nobody"), ("Was", "bad")}


def test_a_store_of_users_is_anything_with_get():
    class Store:
        def get(self, username):
            return ("secret", False) if username == "kim" else None

    class AsyncStore(Store):
        async def get(self, username):  # type: ignore[override]  # what is tested
            return super().get(username)

    class Sub(dict):
        pass

    for users in (Store(), AsyncStore(), Sub(kim="secret")):
        driver = Driver(guarded(users=users))
        assert driver.get("/", Authorization=basic("kim", "secret")).status == 200
        assert driver.get("/", Authorization=basic("lee", "secret")).status == 401


def test_only_what_may_block_leaves_the_loop():
    class Store:
        def get(self, username):
            return None

    def kind_for(**settings):
        app = guarded("basic", **settings)
        found = Authenticators(app).of(app.routes[0])
        assert found is not None
        return found.step.kind

    assert kind_for() is Kind.INLINE
    assert kind_for(users=Store()) is Kind.PLAIN
    app = guarded("bearer")
    found = Authenticators(app).of(app.routes[0])
    assert found is not None
    assert found.step.kind is Kind.INLINE


def test_users_that_come_later_are_users():
    app = guarded(users={"kim": "secret"})
    driver = Driver(app)
    app.users["late"] = "comer"
    assert driver.get("/", Authorization=basic("late", "comer")).status == 200


def test_an_account_has_one_of_four_forms():
    assert account_of(None) is None
    assert account_of("pw") == Account("pw", False, None)
    assert account_of(("pw",)) == Account("pw")
    assert account_of(["pw", 1]) == Account("pw", True)
    assert account_of(("pw", None, 5)) == Account("pw", False, 5)
    for wrong in (5, (), (5,), ("a", True, 1, 2), b"pw", {"password": "pw"}):
        with pytest.raises(TypeError, match="an account must be"):
            account_of(wrong)


def test_a_user_can_carry_what_the_app_knows():
    user = User("kim", "App")
    user.tuid = "me"
    assert (str(user), repr(user), user.info) == ("kim", "User('kim', 'App')", None)


def test_a_quoted_string_is_one_whatever_is_in_it():
    assert quoted('a "b" \\ \r\n\x00 é 한') == '"a \\"b\\" \\\\ ??? é ?"'


# -- the documentation of the API


def test_what_a_route_demands_can_be_asked():
    app = guarded("digest")

    @app.route("/bearer")
    @app.authorization_required("bearer")
    def of_bearer(was):
        return ""

    assert [kind_of(app, route) for route in app.routes] == ["digest", "bearer"]
    assert [guard.facts for guard in guards_of(of_bearer)] == [("authorization", "bearer")]


# -- misconfiguration


@pytest.mark.parametrize("wrong", ["oauth", "", 5, ["basic"]])
def test_an_unknown_kind_is_an_error_at_the_start(wrong):
    with pytest.raises(ConfigError, match=r"route '/': authenticate=.* one of basic, digest"):
        Driver(guarded(wrong))
    with pytest.raises(ConfigError, match=r"app: authenticate=.* one of basic, digest, bearer"):
        Driver(guarded(None, authenticate=wrong))
    with pytest.raises(ConfigError, match="authorization_required"):
        Atila("doors").authorization_required(wrong)


def test_two_kinds_for_a_handler_are_an_error_at_the_start():
    app = Atila("doors")

    @app.route("/")
    @app.authorization_required("basic")
    @app.authorization_required("digest")
    def index(was):
        return ""

    with pytest.raises(ConfigError, match="several @app.authorization_required"):
        Driver(app)


def test_authorization_of_a_hook_is_an_error_at_the_start():
    app = guarded()

    @app.before_request
    @app.authorization_required("digest")
    def before(was):
        pass

    with pytest.raises(ConfigError, match="app.authenticate = 'digest'"):
        Driver(app)


@pytest.mark.parametrize("realm", ["", "a\nb", "영역", None])
def test_a_realm_that_can_not_be_sent_is_an_error_at_the_start(realm):
    for kind in KINDS:
        with pytest.raises(ConfigError, match="app.realm="):
            Driver(guarded(kind, realm=realm))


def test_users_that_can_not_be_asked_are_an_error_at_the_start():
    with pytest.raises(ConfigError, match="app.users="):
        Driver(guarded(users=["kim"]))
    with pytest.raises(ConfigError, match="authorization_handler must decorate"):
        Atila("doors").authorization_handler("f")
    with pytest.raises(ConfigError, match="bearer_handler must decorate"):
        Atila("doors").bearer_handler(None)


def test_an_app_that_nobody_can_enter_says_so(log):
    Driver(guarded(users={}))
    assert "app doors: nobody can log in" in log.text


# -- hostile headers

SCHEMES = st.sampled_from(["", "Basic ", "Digest ", "Bearer ", "digest ", "Digest username=", "X "])


@pytest.fixture(scope="module")
def doors() -> list[Driver]:
    return [Driver(guarded("basic")), Driver(guarded("digest")), Driver(guarded("bearer")),
            bearer_app(lambda was, token: "no")]  # fmt: skip


@given(scheme=SCHEMES, rest=st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1"))))
def test_no_authorization_header_is_more_than_401(doors, scheme, rest):
    for door in doors:
        assert door.get("/", Authorization=scheme + rest).status == 401


@given(st.binary())
def test_no_basic_credentials_are_more_than_401(doors, octets):
    sent = "Basic " + base64.b64encode(octets).decode()
    assert doors[0].get("/", Authorization=sent).status == 401

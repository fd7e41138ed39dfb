"""The seed's chapter "Access Control and Authentication", called by `requests` as its client."""

from __future__ import annotations

import time

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from atila.tokens.jwt_claims import encode_jwt

pytestmark = pytest.mark.e2e

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
ORIGIN = "http://www.skitai.com:5001"

SERVE = f"""
    # serve.py
    import skitai
    import cors
    import listed
    import custom
    import www
    import whole
    import tokens

    if __name__ == '__main__':
        with skitai.preference () as pref:
            pref.access_control_allow_origin = ["*"]
            pref.access_control_max_age = 3600
            skitai.mount ('/cors', cors, pref)
        with skitai.preference () as pref:
            pref.access_control_allow_origin = ["{ORIGIN}"]
            pref.access_control_max_age = 3600
            skitai.mount ('/listed', listed, pref)
        with skitai.preference () as pref:
            pref.securekey = {KEY!r}
            skitai.mount ('/custom', custom, pref)
            skitai.mount ('/www', www, pref)
            skitai.mount ('/whole', whole.app, pref)
            skitai.mount ('/tokens', tokens, pref)
        skitai.run (port = 5000, name = 'access')
"""

CORS = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/")
        def index (was):
            return 'index'

        @app.route (
            "/post", methods = ["POST", "OPTIONS"],
            access_control_allow_origin = ["*"], access_control_max_age = 60
        )
        def post (was):
            return 'hello'
"""

CUSTOM = """
    from atila import Atila

    class User:
        def __init__ (self, uid, lev, nick_name):
            self.uid = uid
            self.lev = lev
            self.nick_name = nick_name
            self.tuid = None

        def __str__ (self):
            return self.uid

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.permission_handler
        def permission_handler (was, perms):
            if was.request.get_header ('authorization'):
                was.request.user = None
                claims = was.dejwt ()
                if "err" in claims:
                    raise was.Error ("401 Unauthorized", claims ["err"])
                was.request.user = User (claims ['uid'], claims ['lev'], claims ['nick_name'])

            if 'uid' in was.request.PARAMS:
                tuid = was.request.PARAMS ['uid']
                if 'owner' in perms and tuid != 'me':
                    raise was.Error ("403 Permission Denied", "owners only operation")
                was.request.user.tuid = (
                    tuid == 'me' and was.request.user.uid or (tuid != 'notme' and tuid or None)
                )

            if not perms:
                return

            if was.request.user.lev == "staff":
                return # always vaild
            if "staff" in perms:
                raise was.Error ("403 Permission Denied")

        @app.route ("/identified/<id>")
        @app.identification_required
        def identified (was, id = None):
            if was.request.user is None:
                return was.API (user = None, id = id)
            else:
                return was.API (user = str (was.request.user), id = id)

        @app.route ("/logged/<id>")
        @app.login_required
        def logged (was, id = None):
            id = id or was.request.user.uid
            return was.API (id = id)

        @app.route ("/animals/<id>")
        @app.permission_required (["staff"])
        def animals (was, id = None):
            id = id or was.request.user.uid
            return was.API (id = id)

        @app.route ("/some-animals/<id>")
        @app.permission_required (id = ["staff"])
        def some_animals (was, id = None):
            id = id or was.request.user.uid
            return was.API (id = id)

        # Also you can specify premissions per request methods.
        @app.route ("/all-animals/<id>", methods = ["POST", "DELETE"])
        @app.permission_required (['user'], id = ["staff"], DELETE = ["admin"])
        def all_animals (was, id = None):
            id = id or was.request.user.uid
            return was.API (id = id)

        @app.route ("/owners/<uid>/things")
        @app.permission_required (["owner"])
        def things (was, uid):
            return was.API (tuid = was.request.user.tuid)
"""

WWW = """
    from hashlib import md5
    from atila import Atila

    realm = "App"
    username, password = "encrypted", "5678"
    encrypted_password = md5 (
    ("%s:%s:%s" % (username, realm, password)).encode ("utf8")
    ).hexdigest ()

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.authorization_handler
        def auth_handler (was, username):
            return {
                "text": "1234",
                "pair": ("1234", False),
                "informed": ("1234", False, {"role": "editor"}),
                "encrypted": (encrypted_password, True),
            }.get (username)

        @app.route ("/hello/<name>", authenticate = "digest")
        def hello (was, name = "Hans Roh"):
            return "Hello, %s" % name

        @app.route ("/required/<name>")
        @app.authorization_required ("digest")
        def required (was, name = "Hans Roh"):
            user = was.request.user
            return was.API (name = user.name, realm = user.realm, info = user.info)

        @app.route ("/basic/<name>")
        @app.authorization_required ("basic")
        def basic (was, name = "Hans Roh"):
            user = was.request.user
            return was.API (name = user.name, realm = user.realm, info = user.info)

        @app.route ("/open")
        def open_ (was):
            return "open"
"""

WHOLE = """
    from atila import Atila

    app = Atila (__name__)

    app.authenticate = "digest"
    app.realm = "Partner App Area of mysite.com"
    app.users = {"app": ("iamyourpartnerapp", 0, {'role': 'root'}), "hansroh": ("1234", False)}
    @app.route ("/hello/<name>")
    def hello (was, name = "Hans Roh"):
        return "Hello, %s %s" % (name, was.request.user.info)
"""

TOKENS = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def handle_token_yourself (token):
        return {'user': token [5:]} if token.startswith ('mine-') else {'err': 'not mine'}

    def __setup__ (app, mntopt):
        from . import v2
        app.mount ('/v2', v2)

    def __mount__ (app, mntopt):
        @app.bearer_handler
        def bearer_handler (was, token):
            claims = handle_token_yourself (token)
            if 'err' in claims:
                raise was.Error ("401 Unauthorized", claims ["err"])
            was.request.user = claims ['user']

        @app.route ("/api/v1/predict")
        @app.authorization_required ("bearer")
        def predict (was):
            return "predicted for %s" % was.request.user
"""

TOKENS_V2 = """
    def __mount__ (app, mntopt):
        @app.route ("/predict")
        @app.authorization_required ("bearer")
        def predict_v2 (was):
            return "v2 for %s" % was.request.user
"""

# The default handler takes JWT.
CUSTOM_PREDICT = """
        @app.route ("/api/v1/predict")
        @app.authorization_required ("bearer")
        def predict (was):
            return was.API (name = was.request.user.name, lev = was.request.user.lev)
"""


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(
        {
            "serve.py": SERVE,
            "cors/__init__.py": CORS,
            "listed/__init__.py": CORS,
            "custom/__init__.py": CUSTOM + CUSTOM_PREDICT,
            "www/__init__.py": WWW,
            "whole/__init__.py": WHOLE,
            "tokens/__init__.py": TOKENS,
            "tokens/v2.py": TOKENS_V2,
        }
    )


def ask(service, path, method="GET", **options):
    return requests.request(method, f"http://127.0.0.1:{service.port}{path}", **options)


def bearer(**claims):
    claims = {"uid": "hans", "nick_name": "Hans", "lev": "user", **claims}
    token = encode_jwt({"exp": int(time.time()) + 60, **claims}, KEY.encode())
    return {"Authorization": f"Bearer {token}"}


# CORS and preflight


def test_cors_for_every_origin(service):
    response = ask(service, "/cors/", headers={"Origin": ORIGIN})
    assert response.text == "index"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_preflight(service):
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-one, content-type",
    }
    response = ask(service, "/cors/", "OPTIONS", headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Access-Control-Max-Age"] == "3600"
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Allow-Headers"].lower() == "x-one, content-type"
    refused = ask(service, "/cors/", "OPTIONS", headers={**headers,
                  "Access-Control-Request-Method": "DELETE"})  # fmt: skip
    assert refused.status_code == 405


def test_cors_for_a_listed_origin(service):
    response = ask(service, "/listed/", headers={"Origin": ORIGIN})
    assert response.text == "index"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert ask(service, "/listed/", headers={"Origin": "http://evil.example"}).status_code == 403
    assert ask(service, "/listed/").text == "index"


def test_function_specific_cors(service):
    headers = {"Origin": "http://other.example"}
    response = ask(service, "/listed/post", "POST", headers=headers)
    assert response.text == "hello"
    assert response.headers["Access-Control-Allow-Origin"] == "http://other.example"
    headers["Access-Control-Request-Method"] = "POST"
    response = ask(service, "/listed/post", "OPTIONS", headers=headers)
    assert response.status_code == 200
    assert response.headers["Access-Control-Max-Age"] == "60"


# Custom authentication


def test_identification_required(service):
    assert ask(service, "/custom/identified").json() == {"user": None, "id": None}
    assert ask(service, "/custom/identified/3").json() == {"user": None, "id": "3"}
    answer = ask(service, "/custom/identified", headers=bearer())
    assert answer.json() == {"user": "hans", "id": None}
    # all errors are ignored
    broken = {"Authorization": "Bearer broken"}
    assert ask(service, "/custom/identified", headers=broken).json()["user"] is None


def test_login_required(service):
    assert ask(service, "/custom/logged", headers=bearer()).json() == {"id": "hans"}
    assert ask(service, "/custom/logged/5", headers=bearer()).json() == {"id": "5"}
    response = ask(service, "/custom/logged", headers={"Authorization": "Bearer broken"})
    assert response.status_code == 401
    response = ask(service, "/custom/logged", headers=bearer(exp=int(time.time()) - 600))
    assert response.status_code == 401
    assert response.json()["more_info"] == "token expired"


def test_permission_required(service):
    assert ask(service, "/custom/animals/3", headers=bearer(lev="staff")).json() == {"id": "3"}
    assert ask(service, "/custom/animals/3", headers=bearer()).status_code == 403
    assert ask(service, "/custom/animals", headers=bearer()).status_code == 403


def test_permission_required_for_a_parameter(service):
    path = "/custom/some-animals"
    assert ask(service, path, headers=bearer()).json() == {"id": "hans"}
    assert ask(service, f"{path}/me", headers=bearer()).json() == {"id": "me"}
    assert ask(service, f"{path}/100", headers=bearer()).status_code == 403
    assert ask(service, f"{path}/100", headers=bearer(lev="staff")).json() == {"id": "100"}


def test_permission_required_for_a_method(service):
    path = "/custom/all-animals"
    assert ask(service, f"{path}/me", "POST", headers=bearer()).json() == {"id": "me"}
    assert ask(service, f"{path}/9", "POST", headers=bearer()).status_code == 403
    assert ask(service, f"{path}/9", "DELETE", headers=bearer(lev="staff")).json() == {"id": "9"}
    assert ask(service, f"{path}/notme", "DELETE", headers=bearer(lev="staff")).status_code == 421


def test_owners_only(service):
    assert ask(service, "/custom/owners/me/things", headers=bearer()).json() == {"tuid": "hans"}
    response = ask(service, "/custom/owners/other/things", headers=bearer())
    assert (response.status_code, response.json()["more_info"]) == (403, "owners only operation")
    assert response.reason == "Permission Denied"


# WWW-Authentication


@pytest.mark.parametrize(
    ("name", "password", "info"),
    [
        ("text", "1234", None),
        ("pair", "1234", None),
        ("informed", "1234", {"role": "editor"}),
        ("encrypted", "5678", None),
    ],
)
def test_digest_on_specific_methods(service, name, password, info):
    auth = HTTPDigestAuth(name, password)
    assert ask(service, "/www/hello/World", auth=auth).text == "Hello, World"
    assert ask(service, "/www/hello", auth=auth).text == "Hello, Hans Roh"
    assert ask(service, "/www/required", auth=auth).json() == {
        "name": name,
        "realm": "App",
        "info": info,
    }


def test_digest_without_or_with_wrong_credentials(service):
    response = ask(service, "/www/hello/World")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Digest realm="App", ')
    assert ask(service, "/www/hello", auth=HTTPDigestAuth("text", "wrong")).status_code == 401
    assert ask(service, "/www/hello", auth=HTTPDigestAuth("nobody", "1234")).status_code == 401
    assert ask(service, "/www/open").text == "open"


def test_basic(service):
    response = ask(service, "/www/basic")
    assert (response.status_code, response.headers["WWW-Authenticate"][:18]) == (
        401, 'Basic realm="App"'[:18],
    )  # fmt: skip
    answer = ask(service, "/www/basic", auth=HTTPBasicAuth("informed", "1234")).json()
    assert answer == {"name": "informed", "realm": "App", "info": {"role": "editor"}}
    assert ask(service, "/www/basic", auth=HTTPBasicAuth("text", "12345")).status_code == 401


def test_authentication_on_entire_app(service):
    response = ask(service, "/whole/hello/World")
    assert response.status_code == 401
    assert 'realm="Partner App Area of mysite.com"' in response.headers["WWW-Authenticate"]
    auth = HTTPDigestAuth("app", "iamyourpartnerapp")
    assert ask(service, "/whole/hello/World", auth=auth).text == "Hello, World {'role': 'root'}"
    auth = HTTPDigestAuth("hansroh", "1234")
    assert ask(service, "/whole/hello", auth=auth).text == "Hello, Hans Roh None"


# Bearer authentication


def test_bearer_with_jwt(service):
    answer = ask(service, "/custom/api/v1/predict", headers=bearer(username="hansroh"))
    assert answer.json() == {"name": "hansroh", "lev": "user"}
    response = ask(service, "/custom/api/v1/predict")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="App"')
    expired = bearer(exp=int(time.time()) - 600)
    response = ask(service, "/custom/api/v1/predict", headers=expired)
    assert response.status_code == 401
    assert 'error="token expired"' in response.headers["WWW-Authenticate"]


def test_bearer_with_tokens_of_another_kind(service):
    mine = {"Authorization": "Bearer mine-hans"}
    assert ask(service, "/tokens/api/v1/predict", headers=mine).text == "predicted for hans"
    assert ask(service, "/tokens/v2/predict", headers=mine).text == "v2 for hans"
    response = ask(service, "/tokens/api/v1/predict", headers={"Authorization": "Bearer other"})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="App"')
    assert response.json()["more_info"] == "not mine"

"""Every public name that the seed documents exists, as the kind of thing it documents.

What the names do is tested where they live; here none can be lost.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from driving import Driver, module, multipart

import skitai
from atila import Atila, Q
from atila.access.auth import User
from skitai import sql
from skitai.options import COMMANDS, parse
from skitai.upstream.services import Stub, XmlRpcStub

# Holder: names that are called, and names that are values. Chapters in the order of the seed.
MODULES = {
    "skitai": (
        "mount run preference abspath alias register_g add_database_interface test_client",
        "g DB_PGSQL DB_SQLITE3 DB_MONGODB DB_REDIS PROTO_HTTP PROTO_HTTPS "
        "STA_UNSENT STA_REQFAIL STA_TIMEOUT STA_NETERR STA_NORMAL "
        "WS_CHATTY WS_COROUTINE WS_REPORTY WS_NOPOOL WS_THREADSAFE",
    ),
    "atila": ("Atila Q", ""),
    "atila.was": ("generate_otp", ""),
    "atila.pytest_hooks": ("", ""),
    "skitai.dbi.asynredis": ("AsynConnect", ""),
    "atila.patches.djangopatch": ("Model", ""),
}

APP = (
    "route mount on emit maintain run unroute extends overrides coroutine websocket websocket_send "
    "before_request finish_request failed_request teardown_request "
    "permission_handler identification_required login_required permission_required "
    "authorization_required authorization_handler bearer_handler "
    "inspect require testpass_required if_file_modified if_cache_updated run_before run_after "
    "template_global template_filter add_jinja_ext default_error_handler error_handler "
    "csrf_verification_required clarify_permission clarify_login",
    "g store config debug name realm authenticate users securekey session_timeout jinja_env "
    "access_control_allow_origin access_control_max_age",
)
PREFERENCE = ("set_static set_media extends overrides", "config")
CONFIG = "MAX_UPLOAD_SIZE MAINTAIN_INTERVAL STATIC_URL MINIFY_HTML"

# What hangs on the request: holder, names that are called, names that are values.
IN_A_REQUEST = {
    "was": (
        "render API Error render_or_API render_or_Map render_or_Mapped File Static Media "
        "Mounted redirect ProxyPass ThreadPass Queue Map Mapped Mask Task Tasks Input "
        "Thread Process Subprocess db stub xmlrpc jsonrpc grpc get post put patch delete "
        "pipe urlfor urlpatch partial urlspec static media log traceback setlu getlu "
        "generate_csrf remove_csrf verify_csrf encode_jwt decode_jwt dejwt "
        "generate_otp verify_otp encode_ott decode_ott revoke_ott response",
        "request app g apps env cookie session mbox csrf_token csrf_token_input",
    ),
    "request": (
        "split_uri get_header get_headers get_body get_remote_addr get_user_agent "
        "get_content_type get_main_type get_sub_type acceptable form json",
        "method uri version scheme args ARGS URL PARAMS FORM JSON DATA DEFAULT JWT env g cookie "
        "session mbox routed routable user acceptables",
    ),
    "response": (
        "set_status add_header set_header get_header del_header set_etag set_mtime set_max_age "
        "__setitem__ __getitem__ __delitem__",
        "status_code reason",
    ),
    "cookie": ("set get __contains__ __getitem__ __setitem__ remove", ""),
    "session": (
        "set get remove mount touch expire set_expiry use_time impending "
        "__contains__ __getitem__ __setitem__ __delitem__",
        "",
    ),
    "mbox": ("send get search remove", ""),
    "upload": ("read move save remove as_flashfile", "path name size mimetype ext"),
    "task": ("fetch one commit dispatch wait then", "meta"),
    "tasks": ("fetch one commit dispatch wait then", "meta"),
    "statuses": ("", "status data"),
    "stub kinds": ("map lb", ""),
    "user": ("__str__", "name realm info"),
}
MAY_BE_NONE = {"FORM", "JSON", "DEFAULT", "user", "authenticate", "securekey", "session_timeout",
               "access_control_allow_origin", "meta", "info", "data"}  # fmt: skip

STATEMENTS = {
    "select": "get filter order_by limit aggregate clone with_ execute",
    "insert": "set returning with_ execute",
    "update": "set filter returning with_ execute",
    "delete": "filter returning with_ execute",
}


ABSENT = object()


def missing(holder: Any, names: tuple[str, str]) -> list[str]:
    """The names that are not there, or not what they have to be."""
    calls, values = (text.split() for text in names)
    return [
        *(name for name in calls if not callable(getattr(holder, name, None))),
        *(name for name in values if not is_value(getattr(holder, name, ABSENT), name)),
    ]


def is_value(found: Any, name: str) -> bool:
    return found is not ABSENT and (found is not None or name in MAY_BE_NONE)


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_their_names(name):
    if name == "atila.patches.djangopatch":
        pytest.importorskip("django", reason="the extra 'django' is not installed")
        return  # its class needs settings of Django: tests/atila/test_django_model.py
    assert missing(importlib.import_module(name), MODULES[name]) == []


def test_apps_have_their_names():
    app = Atila("seed")
    Driver(app, module=module("seed"))
    assert missing(app, APP) == []


def test_preferences_and_settings_have_their_names():
    pref = skitai.preference()
    assert missing(pref, PREFERENCE) == []
    pref.config.MY_OPTION = 1
    assert pref.config.MY_OPTION == pref.config["MY_OPTION"] == 1
    config = Atila("seed").config
    assert [name for name in CONFIG.split() if name not in config] == []


def seen_in_a_request(refused_calls: bool = False) -> Any:
    """What a handler misses, or what is refused to it, in one request with a file."""
    app = Atila("seed")
    app.securekey = "a secret"
    found: dict[str, list[str]] = {}
    calls: list[str] = []

    @app.route("/<int:id>")
    def everything(was, id, file):
        task = was.Mask(1)
        holders = {
            "was": was, "request": was.request, "response": was.response, "cookie": was.cookie,
            "session": was.session, "mbox": was.mbox, "upload": file, "task": task,
            "tasks": was.Tasks([task]), "statuses": task.dispatch(), "stub kinds": was.stub,
            "user": User("momo", "App", {}),
        }  # fmt: skip
        for name, holder in holders.items():
            found[name] = missing(holder, IN_A_REQUEST[name])
        calls.extend(refused(holders))
        return "seen"

    body, content_type = multipart(('name="file"; filename="a.txt"', b"text"))
    answer = Driver(app).request("POST", "/7", {"Content-Type": content_type}, body)
    assert (answer.status, answer.text) == (200, "seen")
    return calls if refused_calls else found


def test_requests_have_their_names():
    assert seen_in_a_request() == {name: [] for name in IN_A_REQUEST}


def test_clients_of_services_have_their_names():
    assert missing(Stub, ("get post put patch delete __enter__ __exit__", "")) == []
    assert missing(XmlRpcStub, ("__getattr__ __enter__ __exit__", "")) == []


def test_the_test_client_has_its_names():
    assert missing(skitai.test_client, ("get post put patch delete stop __enter__", "")) == []


@pytest.mark.parametrize("kind", STATEMENTS)
def test_statements_have_their_names(kind):
    statement = {
        "select": sql.Select, "insert": sql.Insert, "update": sql.Update, "delete": sql.Delete,
    }[kind]  # fmt: skip
    assert missing(statement, (STATEMENTS[kind], "")) == []
    assert callable(Q(a=1).__or__)


# How they are called: holder and name, and a call of the seed


def call(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


FUNCTION, PREF, TASK = object(), object(), object()
CALLS = {
    "skitai.mount": call("/", FUNCTION, PREF, name="tfserver", subscribe=["myapp"]),
    "skitai.run": call(port="5000", name="myapp"),
    "skitai.alias": call("@mypg", skitai.DB_PGSQL, ["user:pass@localhost/mydb 20"]),
    "skitai.register_g": call("tables.users", "table.photos"),
    "skitai.add_database_interface": call("*mydbi", FUNCTION),
    "skitai.abspath": call("myapp/static"),
    "skitai.test_client": call("../serve.py", port=30371, silent=False, devel=True),
    "pref.set_static": call("/static", "myapp/static"),
    "pref.set_media": call("/media", "/mnt/data/media"),
    "app.maintain": call(10, threading=False),
    "app.inspect": call(ints=["id"], booleans=["detail"]),
    "app.permission_required": call(["user"], id=["staff"], DELETE=["admin"]),
    "app.authorization_required": call("digest"),
    "app.if_file_modified": call("/opt/myapp/config", FUNCTION, interval=1),
    "app.if_cache_updated": call(["tables.users"], FUNCTION, interval=1),
    "app.run_before": call(FUNCTION, FUNCTION),
    "app.websocket": call(skitai.WS_REPORTY, 60, onopen=FUNCTION, onclose=FUNCTION),
    "app.websocket_send": call("client", "Item In Stock!"),
    "app.template_global": call("form_token"),
    "app.error_handler": call(404),
    "app.emit": call("cluster:num_nodes", 3),
    "was.Error": call("400 Bad Request", "missing user ID", 40011),
    "was.API": call({"name": "Hans Roh"}),
    "was.File": call("/path/to/data.xlsx", "application/octet-stream", "data.xlsx"),
    "was.redirect": call("/msg", status="302 Object Moved"),
    "was.render": call("hello.j2", name="Hans Roh"),
    "was.render_or_API": call("index.html", result=1),
    "was.render_or_Map": call("index.j2", result=TASK),
    "was.render_or_Mapped": call("index.j2", TASK),
    "was.ProxyPass": call("@myupstream", "path", timeout=3),
    "was.ThreadPass": call(FUNCTION, args=(4.0,)),
    "was.Queue": call(FUNCTION),
    "was.Thread": call(FUNCTION, args=(1.0,), meta={"a": 1}),
    "was.Process": call(FUNCTION, 1, 2),
    "was.Subprocess": call("ls /var/log", filter=FUNCTION, timeout=3),
    "was.Tasks": call(TASK, files=TASK, result=TASK),
    "was.Map": call(TASK, result=TASK, record_count__one=TASK),
    "was.Mapped": call(TASK),
    "was.Input": call(4096),
    "was.db": call("@mydb", filter=FUNCTION, use_cache=["tables.users"], rm_cache="tables.users"),
    "was.setlu": call("tables.users", 1),
    "was.getlu": call("cluster.num-nodes"),
    "was.pipe": call("sub.pages.toc", chapter=5),
    "was.urlfor": call("sub.pages.toc", 1),
    "was.log": call("called index", "info"),
    "was.traceback": call("id"),
    "was.encode_jwt": call({"iss": "example.com", "exp": 1}),
    "was.encode_ott": call("hans", 3600, "pwrset"),
    "was.decode_ott": call("token"),
    "was.revoke_ott": call("token"),
    "was.verify_otp": call("123456"),
    "was.response": call("200 OK", FUNCTION, headers=[("Content-Type", "text/csv")]),
    "response.set_etag": call("CACHE_KEY", max_age=3600),
    "response.set_mtime": call(1.0, max_age=3600),
    "response.set_max_age": call(3600),
    "response.get_header": call("Accept", ""),
    "cookie.set": call("key", "value", expires=None, path=None, domain=None, secure=False,
                       http_only=False),
    "session.mount": call("ADMIN", session_timeout=None, securekey=None, path="/admin",
                          domain=None, secure=False, http_only=False, extend=True),
    "mbox.send": call("text", "alarm", valid=60, key="value"),
    "mbox.get": call("key", "value"),
    "mbox.search": call("key", "value"),
    "upload.save": call("/var/tmp", name=None, mkdir=False, dup="o"),
    "upload.move": call("/var/tmp"),
    "task.then": call(FUNCTION),
}  # fmt: skip


def refused(holders: dict[str, Any]) -> list[str]:
    """The calls of the seed that the signatures of these holders don't take."""
    found = []
    for name, (args, kwargs) in CALLS.items():
        holder, _, method = name.partition(".")
        if holder in holders:
            try:
                inspect.signature(getattr(holders[holder], method)).bind(*args, **kwargs)
            except TypeError as exc:
                found.append(f"{name}: {exc}")
    return found


def test_what_makes_a_service_takes_the_calls_of_the_seed():
    holders = {"skitai": skitai, "pref": skitai.preference(), "app": Atila("seed")}
    assert refused(holders) == []


def test_what_hangs_on_a_request_takes_the_calls_of_the_seed():
    assert seen_in_a_request(refused_calls=True) == []


# Options

OPERATORS = (
    "between in notin eq exact neq lte lt gte gt contains notcontain startswith notstartwith "
    "endswith notendwith regex len__lte len__gt len__between"
).split()


@pytest.mark.parametrize("operator", OPERATORS)
def test_inspect_knows_the_operators(operator):
    kind = operator.rpartition("__")[2]
    condition = {"between": (1, 9), "in": ["1"], "notin": ["1"], "regex": "a"}.get(
        kind, "a" if kind.endswith(("contain", "contains", "with")) else 1
    )
    Atila("seed").inspect(**{f"name__{operator}": condition})(lambda was, name: name)


def test_inspect_knows_its_lists():
    names = "ints floats strings booleans emails uuids nones lists dicts oneof manyof notags safes"
    options: dict[str, Any] = {name: ["a"] for name in names.split()}
    for option, value in options.items():
        Atila("seed").inspect(**{option: value})(lambda was, a: a)
    Atila("seed").inspect(birth_year=int, mobile=re.compile("[0-9]{3}"))(lambda was, **kw: kw)


ROUTE_OPTIONS = {
    "methods": ["POST", "OPTIONS"], "content_types": ["application/json"], "coroutine": True,
    "input_stream": True, "authenticate": "digest", "access_control_allow_origin": ["*"],
    "access_control_max_age": 3600, "subdomain": "www",
}  # fmt: skip


@pytest.mark.parametrize("name", ROUTE_OPTIONS)
def test_routes_take_the_options(name):
    app = Atila("seed")

    @app.route("/", **{name: ROUTE_OPTIONS[name]})
    def index(was):
        yield "text"

    Driver(app)


EVENTS = (
    "before_mount mounted before_reload reloaded mounted_or_reloaded before_umount umounted "
    "before_request finish_request failed_request teardown_request custom-event setlu:users"
).split()


@pytest.mark.parametrize("name", EVENTS)
def test_events_can_be_handled(name):
    app = Atila("seed")
    heard = []
    app.on(name)(lambda was, *args: heard.append(args))
    Driver(app)
    before = len(heard)
    app.emit(name)
    assert heard[before:] == [()]


# The launch script


@pytest.mark.parametrize(
    "words", ["--devel", "--disable-static", "--nginx-conf=myapp.com", "--port=5000"]
)
def test_launch_scripts_take_the_options(words):
    parse([words], "serve.py", {})


def test_launch_scripts_take_the_commands():
    assert {"install", "update", "start"} <= set(COMMANDS)
    for command in COMMANDS:
        assert parse([command], "serve.py", {}).command == command


PAGE = Path(__file__).parents[2] / "docs" / "migrating-from-the-original.md"


def test_what_that_page_calls_the_same_is_there():
    rows = re.findall(r"^\| (.*) \| the same[^|]*\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) > 20
    places = (skitai, skitai.test_client)
    assert [name for name in names if not any(hasattr(place, name) for place in places)] == []


def test_the_page_for_users_of_the_original_names_them_all():
    text = re.sub("```.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)
    named = set(re.findall(r"\w+", " ".join(re.findall("`([^`]+)`", text))))
    tables = [*MODULES.values(), APP, PREFERENCE, *IN_A_REQUEST.values()]
    lists = [*(names for table in tables for names in table), CONFIG, *STATEMENTS.values()]
    names = {name for names in lists for name in names.split()} | set(EVENTS) | set(ROUTE_OPTIONS)
    forgotten = {name for name in names if name.isidentifier() and not name.startswith("__")}
    assert sorted(forgotten - named) == []

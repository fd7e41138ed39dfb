"""What ``skitai.alias`` accepts, what it makes of it, and what it refuses."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run_python

import skitai
from skitai.errors import ConfigError
from skitai.upstream import django_settings
from skitai.upstream.aliases import Alias, Aliases, UnknownAlias, define, parse_reference
from skitai.upstream.interface import Member
from skitai.upstream.kinds import DB_MONGODB, DB_PGSQL, DB_REDIS, DB_SQLITE3, dialect_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def all_packages_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers are only looked for; that they aren't installed is another test."""
    find = importlib.util.find_spec
    drivers = ("psycopg2", "redis", "pymongo")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: find("json" if name in drivers else name)
    )


def only(ctype: str, text: str, **options: Any) -> Member:
    (member,) = define("x", ctype, text, **options).members
    return member


# Members


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("localhost", Member("localhost", 5432)),
        ("localhost/mydb", Member("localhost", 5432, "mydb")),
        ("user:pass@localhost/mydb", Member("localhost", 5432, "mydb", "user", "pass")),
        ("user@db-1.example.com:5433/mydb", Member("db-1.example.com", 5433, "mydb", "user")),
        ("asda:1231@127.0.0.1:5432/mydb 20", Member("127.0.0.1", 5432, "mydb", "asda", "1231", 20)),
        ("h/50%2525", Member("h", 5432, "50%25")),
        ("a%40b:p%3A%2F%40%20%25@h/d", Member("h", 5432, "d", "a@b", "p:/@ %")),
        ("u:p:q@r@h/d", Member("h", 5432, "d", "u", "p:q@r")),
        ("u:@h/d", Member("h", 5432, "d", "u", "")),
        ("[::1]:5433/d", Member("::1", 5433, "d")),
        ("u:p@[2001:db8:0::1]/d 3", Member("2001:db8::1", 5432, "d", "u", "p", 3)),
        ("postgres_db/d", Member("postgres_db", 5432, "d")),
        ("host/db/user/pa%2Fss", Member("host", 5432, "db", "user", "pa/ss")),
        ("host:1/db/user", Member("host", 1, "db", "user")),
        ("/var/run/postgresql/mydb", Member("/var/run/postgresql", 5432, "mydb")),
        ("u:p@/tmp:5433/mydb 5", Member("/tmp", 5433, "mydb", "u", "p", 5)),
        ("/var/run/postgresql/", Member("/var/run/postgresql", 5432)),
        ("  localhost/mydb   7 ", Member("localhost", 5432, "mydb", weight=7)),
    ],
)
def test_members_of_postgresql(text: str, member: Member) -> None:
    assert only(DB_PGSQL, text) == member


@pytest.mark.parametrize(
    ("ctype", "text", "member"),
    [
        (DB_REDIS, "localhost", Member("localhost", 6379, "0")),
        (DB_REDIS, "localhost/3 2", Member("localhost", 6379, "3", weight=2)),
        (DB_REDIS, ":secret@h:1/0", Member("h", 1, "0", None, "secret")),
        (DB_REDIS, "me:secret@h", Member("h", 6379, "0", "me", "secret")),
        (DB_MONGODB, "localhost/mycollection", Member("localhost", 27017, "mycollection")),
        (DB_MONGODB, "u:p@h:1/db/col", Member("h", 1, "db/col", "u", "p")),
        ("http", "s1.myserver.com", Member("s1.myserver.com", 80)),
        ("http", "s1.myserver.com/api/v1/ 3", Member("s1.myserver.com", 80, "/api/v1", weight=3)),
        ("http", "u:p@h:8000/", Member("h", 8000, "", "u", "p")),
        ("http", "h/a@b:c", Member("h", 80, "/a@b:c")),
        ("https", "h/api", Member("h", 443, "/api", tls=True)),
        ("https", "h:8443", Member("h", 8443, tls=True)),
        ("ws", "h", Member("h", 80)),
        ("wss", "h/chat", Member("h", 443, "/chat", tls=True)),
        (DB_SQLITE3, "./my files/sqlite3.db", Member("", 0, "./my files/sqlite3.db")),
        (DB_SQLITE3, "/var/a.db 20", Member("", 0, "/var/a.db 20")),
        (DB_SQLITE3, ":memory:", Member("", 0, ":memory:")),
        (DB_SQLITE3, "file:a.db?mode=ro", Member("", 0, "file:a.db?mode=ro")),
    ],
)
def test_members_of_other_kinds(ctype: str, text: str, member: Member) -> None:
    assert only(ctype, text) == member


def test_ssl_encrypts_and_chooses_the_port() -> None:
    assert only("http", "h", ssl=True) == Member("h", 443, tls=True)
    assert only(DB_REDIS, "h", ssl=True) == Member("h", 6379, "0", tls=True)
    assert only(DB_PGSQL, "h/d", ssl=True) == Member("h", 5432, "d", tls=True)


def test_several_members_in_their_order() -> None:
    alias = define("x", DB_PGSQL, ["user:pass@localhost/mydb 20", "user:pass@remote.com/mydb 10"])
    assert [(member.host, member.weight) for member in alias.members] == [
        ("localhost", 20), ("remote.com", 10),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ctype", "kind", "dialect"),
    [
        (skitai.DB_PGSQL, DB_PGSQL, "postgresql"),
        (skitai.DB_POSTGRESQL, DB_PGSQL, "postgresql"),
        (skitai.DB_SYN_PGSQL, DB_PGSQL, "postgresql"),
        (skitai.DB_SQLITE3, DB_SQLITE3, "sqlite"),
        (skitai.DB_SYN_REDIS, DB_REDIS, None),
        (skitai.DB_SYN_MONGODB, DB_MONGODB, None),
        (skitai.PROTO_SYN_HTTP, "http", None),
        (skitai.PROTO_SYN_HTTPS, "http", None),
        (skitai.PROTO_HTTPS, "http", None),
        (skitai.PROTO_WSS, "ws", None),
    ],
)
def test_kinds_that_blocked_elsewhere_are_the_same_here(
    ctype: str, kind: str, dialect: str | None
) -> None:
    found = define("x", ctype, "localhost/db" if ctype[0] == "*" and "redis" not in ctype else "h")
    assert (found.kind, dialect_of(found.kind)) == (kind, dialect)


PARTS = st.text(min_size=1, max_size=20)


@given(PARTS, PARTS, PARTS)
def test_what_is_percent_encoded_comes_back(user: str, password: str, database: str) -> None:
    text = f"{quote(user, safe='')}:{quote(password, safe='')}@h/{quote(database, safe='')} 2"
    assert only(DB_PGSQL, text) == Member("h", 5432, database, user, password, 2)


@given(st.text(max_size=40), st.sampled_from([DB_PGSQL, DB_REDIS, DB_MONGODB, "http", DB_SQLITE3]))
def test_any_text_is_a_member_or_refused(text: str, ctype: str) -> None:
    try:
        member = only(ctype, text)
    except ConfigError:
        return
    assert member.host or ctype == DB_SQLITE3
    assert member.weight >= 1


# Refusals


@pytest.mark.parametrize(
    ("ctype", "members", "message"),
    [
        (DB_PGSQL, "", "member '': it is empty: give 'host:port/path'"),
        (DB_PGSQL, [], "members must be text or a list of it, not []"),
        (DB_PGSQL, None, "members must be text or a list of it, not None"),
        (DB_PGSQL, [5], "member 5 must be text, as in 'localhost:5432/mydb'"),
        (DB_PGSQL, ["h/d", ""], "member '': it is empty"),
        (DB_PGSQL, "h/d x", "member 'h/d x': the weight must be a whole number from 1 to 1000000"),
        (DB_PGSQL, "h/d 0", "the weight must be a whole number from 1 to 1000000, not '0'"),
        (DB_PGSQL, "h/d -1", "the weight must be"),
        (DB_PGSQL, "h/d 1.5", "the weight must be"),
        (DB_PGSQL, "h/d 1000001", "the weight must be"),
        (DB_PGSQL, "h/d 1 2", "it has several blanks"),
        (DB_PGSQL, "h:0/d", "the port must be a number from 1 to 65535"),
        (DB_PGSQL, "h:65536/d", "the port must be"),
        (DB_PGSQL, "h:/d", "the port must be"),
        (DB_PGSQL, "h:5432x/d", "the port must be"),
        (DB_PGSQL, "::1/d", "the host is malformed: put an IPv6 address into brackets"),
        (DB_PGSQL, "[::x]/d", "[::x] is no IPv6 address"),
        (DB_PGSQL, "[::1/d", "the host is malformed"),
        (DB_PGSQL, ":5432/d", "the host is missing"),
        (DB_PGSQL, "/mydb", "the host is missing"),
        (DB_PGSQL, "-h/d", "'-h' is no name of a host"),
        (DB_PGSQL, "@h/d", "give a user before '@'"),
        (DB_PGSQL, "u:p@h/d/user/pw", "it has a user before '@' and more after the database"),
        (DB_PGSQL, "h/d/u/p/q", "member 'h/d/u/***': more follows than database, user and passw"),
        (DB_PGSQL, "postgresql://h/d", "leave out 'postgresql://', the type of the alias says it"),
        (DB_PGSQL, "%ff:p@h/d", "user and password must be UTF-8"),
        (DB_REDIS, "h/first", "a database of Redis is a number, not 'first': give 'localhost/0'"),
        (DB_REDIS, "/run/redis.sock", "the host is missing"),
        (DB_MONGODB, "h", "give the database, and perhaps a collection, as in 'localhost/mydb'"),
        (DB_MONGODB, "h/a/b/c", "give the database, and perhaps a collection"),
        ("http", "h/a?b=c", "a base path has no '?' and no '#'"),
        ("https", "https://h/a", "leave out 'https://'"),
        (DB_SQLITE3, " ", "it is empty: give the path of a file, as in './sqlite3.db'"),
        (DB_SQLITE3, "a\0b", "it has a zero byte"),
        ("*postgres", "h", "type '*postgres' is unknown: did you mean skitai.DB_POSTGRESQL?"),
        ("sqlite", "h", "type 'sqlite' is unknown: did you mean skitai.DB_SQLITE3?"),
        (None, "h", "type None is unknown"),
        (skitai.DJANGO, ["a", "b"], "give the path of the settings of Django, not ['a', 'b']"),
    ],
)
def test_wrong_members_are_named(ctype: Any, members: Any, message: str) -> None:
    if ctype in ("*postgres",):
        pytest.importorskip("skitai.upstream.interfaces")
    with pytest.raises(ConfigError) as caught:
        Aliases().add("@mydb", ctype, members)
    assert str(caught.value).startswith("alias '@mydb': ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["u:geheim@h:x/d", "u:ge/heim@h/d", "u:ge@heim@h:0/d", "h:x/d/u/geheim", ":geheim@:1/0"]
)
def test_no_message_shows_a_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Aliases().add("a", DB_PGSQL, text)
    assert "heim" not in str(caught.value)
    assert "***" in str(caught.value)


def test_nothing_printed_shows_a_password() -> None:
    alias = define("x", DB_PGSQL, "u:geheim@h/d")
    assert "geheim" not in repr(alias) + repr(alias.members) + alias.members[0].name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_conns": -1}, "max_conns must be 0 or more, not -1: give 32"),
        ({"max_conns": "8"}, "max_conns must be 0 or more, not '8'"),
        ({"max_conns": True}, "max_conns must be"),
        ({"ssl": "yes"}, "ssl must be True or False, not 'yes'"),
        ({"verify": "/no/such/file"}, "verify must be True, False or a file of certificates"),
        ({"verify": None}, "verify must be"),
        ({"source": "10.0.0.0/8, office"}, "source 'office' is no address and no network"),
        ({"source": 5}, "source must be text or a list of it, not 5"),
        ({"role": [1]}, "role must be text or a list of it, not [1]"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=r"^alias '@mydb': ") as caught:
        Aliases().add("@mydb", "http", "h", **options)
    assert message in str(caught.value)


def test_a_file_cannot_be_encrypted() -> None:
    with pytest.raises(ConfigError, match="ssl is for connections, a file has none"):
        Aliases().add("a", DB_SQLITE3, "a.db", ssl=True)


@pytest.mark.parametrize("name", ["", "@", "@@a", "a b", "a/b", "@a:b", None, 5, ".a"])
def test_wrong_names_are_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="must be of letters, digits, .* give '@mydb'"):
        Aliases().add(name, "http", "h")


@pytest.mark.parametrize(
    ("ctype", "package", "extra"),
    [
        (DB_PGSQL, "psycopg2", "postgresql"),
        (DB_REDIS, "redis", "redis"),
        (DB_MONGODB, "pymongo", "mongodb"),
    ],
)
def test_a_missing_package_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, ctype: str, package: str, extra: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        Aliases().add("a", ctype, "localhost/0")
    assert str(caught.value) == (f"alias '@a': {package} is missing: pip install 'skitai[{extra}]'")
    Aliases().add("a", DB_SQLITE3, "a.db")
    Aliases().add("a", "http", "h")


# The registry


def test_what_an_alias_has() -> None:
    aliases = Aliases()
    args = aliases.add(
        "@api", "https", "h", role="admin, staff", source="10.1.2.3/8,::1", max_conns=0,
        verify=False,
    )  # fmt: skip
    assert args == ("api", ("https", "h", "admin, staff", "10.1.2.3/8,::1", False, 0, False))
    alias = aliases.find("api")
    assert isinstance(alias, Alias)
    assert (alias.name, alias.kind, alias.max_conns, alias.verify) == ("api", "http", 0, False)
    assert alias.roles == ("admin", "staff")
    assert alias.networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert alias.args == args[1]
    plain = define("x", "http", "h")
    assert (plain.roles, plain.networks, plain.max_conns, plain.verify) == ((), (), 32, True)


def test_the_first_definition_of_a_name_stays() -> None:
    aliases = Aliases()
    first = aliases.add("@a", "http", "first")
    assert aliases.add("a", DB_PGSQL, "second") == first
    assert aliases.add("@a", DB_PGSQL, "not even right:x") == first
    assert aliases.find("a").members == (Member("first", 80),)
    assert len(aliases) == 1


def test_aliases_of_an_app_hide_those_of_the_service() -> None:
    service, app = Aliases(), Aliases()
    service.add("a", "http", "of-service")
    service.add("b", "http", "of-service")
    app.add("a", "http", "of-app")
    assert service.find("a", app).members[0].host == "of-app"
    assert service.find("b", app).members[0].host == "of-service"
    assert service.find("a").members[0].host == "of-service"
    assert app.get("b") is None


def test_an_unknown_alias_is_named_with_those_that_there_are() -> None:
    service, app = Aliases(), Aliases()
    with pytest.raises(UnknownAlias) as caught:
        service.find("mydb")
    assert str(caught.value) == (
        "there is no alias '@mydb': call skitai.alias('@mydb', ...) before skitai.run()"
    )
    assert isinstance(caught.value, KeyError)
    service.add("users", "http", "h")
    app.add("photos", "http", "h")
    with pytest.raises(KeyError) as other:
        service.find("photo", app)
    assert str(other.value) == "there is no alias '@photo': did you mean '@photos'?"
    with pytest.raises(KeyError) as third:
        service.find("xyz", app)
    assert str(third.value) == "there is no alias '@xyz': known are @photos, @users"


def test_files_are_found_from_the_directory_of_the_script(tmp_path: Path) -> None:
    aliases = Aliases(lambda: tmp_path)
    aliases.add("a", DB_SQLITE3, "./data/a.db")
    aliases.add("b", DB_SQLITE3, "/var/b.db")
    aliases.add("c", DB_SQLITE3, ":memory:")
    paths = [aliases.find(name).members[0].path for name in "abc"]
    assert paths == [f"{tmp_path}/data/a.db", "/var/b.db", ":memory:"]


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("@api", ("api", "")),
        ("@api/", ("api", "/")),
        ("@api/v1/users", ("api", "/v1/users")),
        ("api/v1", ("api", "/v1")),
        ("", ("", "")),
    ],
)
def test_references_are_a_name_and_a_path(reference: str, parts: tuple[str, str]) -> None:
    assert parse_reference(reference) == parts


# Django

SETTINGS = """
import os
from pathlib import Path
from .base import *

BASE_DIR = Path(__file__).resolve().parent.parent
print("noise on standard output")
os.environ["CHANGED_BY_SETTINGS"] = "1"
open(BASE_DIR / "ran", "a").write("x")
DATABASES = {"default": %s}
"""


def django(folder: Path, database: str, settings: str = SETTINGS) -> Path:
    site = folder / "site_of_test"
    site.mkdir(exist_ok=True)
    (site / "__init__.py").write_text("")
    (site / "base.py").write_text("DEBUG = False\nfrom site_of_test import words\n")
    (site / "words.py").write_text("WORD = 1\n")
    (site / "settings.py").write_text(settings.replace("%s", database))
    return site / "settings.py"


def test_sqlite_of_a_django_project(tmp_path: Path) -> None:
    django(tmp_path, "{'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}")
    aliases = Aliases(lambda: tmp_path)
    before = list(sys.path), set(sys.modules)
    name, args = aliases.add("@rdb", skitai.DJANGO, "site_of_test/settings.py")
    alias = aliases.find("rdb")
    assert (name, args[0], alias.kind) == ("rdb", "django", DB_SQLITE3)
    assert alias.members == (Member("", 0, str(tmp_path / "db.sqlite3")),)
    assert (tmp_path / "ran").read_text() == "x"
    assert "CHANGED_BY_SETTINGS" not in os.environ
    assert before[0] == sys.path
    assert not {name for name in set(sys.modules) - before[1] if "site_of_test" in name}


@pytest.mark.parametrize(
    ("database", "member"),
    [
        (
            "{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'd', 'USER': 'u', 'HOST': 'h',"
            " 'PASSWORD': 'p@ss', 'PORT': '5433'}",
            Member("h", 5433, "d", "u", "p@ss"),
        ),
        (
            "{'ENGINE': 'django.contrib.gis.db.backends.postgis', 'NAME': 'd', 'HOST': '::1',"
            " 'OPTIONS': {'sslmode': 'require'}}",
            Member("::1", 5432, "d", tls=True),
        ),
        (
            "{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'd', 'HOST': '/run/pg',"
            " 'PORT': 6000, 'OPTIONS': {'sslmode': 'prefer'}}",
            Member("/run/pg", 6000, "d"),
        ),
        (
            "{'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}",
            Member("", 0, ":memory:"),
        ),
    ],
)
def test_databases_of_django_projects(tmp_path: Path, database: str, member: Member) -> None:
    path = django(tmp_path, database)
    assert only(skitai.DJANGO, str(path)) == member
    assert only(skitai.DJANGO, [path]) == member


def test_a_local_server_of_django_is_reached_by_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    (sockets / ".s.PGSQL.5999").touch()
    monkeypatch.setattr(django_settings, "SOCKET_DIRECTORIES", ("/nowhere", str(sockets)))
    database = "{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'd', 'PORT': %d}"
    assert only(skitai.DJANGO, [django(tmp_path, database % 5999)]).host == str(sockets)
    other = tmp_path / "other"  # Python keeps what it compiled of a file for a second
    other.mkdir()
    assert only(skitai.DJANGO, [django(other, database % 5998)]).host == "/nowhere"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("DATABASES = {}", "have no DATABASES['default']: add it"),
        ("x = 1", "have no DATABASES['default']: add it"),
        ("1 / 0", "can't be run: ZeroDivisionError: division by zero"),
        ("import os; os._exit(0)", "can't be run: exit code 0"),
        (
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': 'd'}}",
            "engine 'django.db.backends.mysql' is not supported, only SQLite and PostgreSQL are",
        ),
        (
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}",
            "NAME of the database is empty",
        ),
        (
            "DATABASES = {'default': {'ENGINE': 'x.postgresql', 'NAME': 'd', 'PORT': 'x'}}",
            "PORT 'x' must be a number from 1 to 65535",
        ),
        ("DATABASES = {'default': {'ENGINE': 'x.postgresql'}}", "NAME of the database is empty"),
    ],
)
def test_settings_that_do_not_help_are_named(tmp_path: Path, settings: str, message: str) -> None:
    path = django(tmp_path, "", settings)
    with pytest.raises(ConfigError, match=r"^alias '@rdb': settings ") as caught:
        Aliases(lambda: tmp_path).add("@rdb", skitai.DJANGO, str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_settings_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'nowhere/settings.py': '.*' does not exist: correct"):
        Aliases(lambda: tmp_path).add("@rdb", skitai.DJANGO, "nowhere/settings.py")


def test_settings_that_hang_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "TIMEOUT", 0.5)
    path = django(tmp_path, "", "import time; time.sleep(60)")
    with pytest.raises(ConfigError, match="did not end within 0.5 s"):
        only(skitai.DJANGO, str(path))


# The public functions


def test_the_public_names_lead_to_the_default_service() -> None:
    source = (
        "import skitai, sys\n"
        "with skitai.preference() as pref:\n"
        "    print(skitai.alias('@lite', skitai.DB_SQLITE3, ['./sqlite3.db']))\n"
        "    skitai.alias('@myapi', skitai.PROTO_HTTPS, ['s1.myserver.com'])\n"
        "skitai.set_max_rcache(10)\n"
        "@skitai.register_g('a')\n"
        "class A: pass\n"
        "skitai.register_states(['b']); skitai.addlu('c')\n"
        "print(list(skitai.g), skitai.STA_NORMAL, skitai.STA_REQFAIL)\n"
        "heavy = {'psycopg2', 'redis', 'pymongo', 'ssl', 'sqlite3', 'asyncio'}\n"
        "print(heavy & set(sys.modules))\n"
        "skitai.alias('@x', skitai.DB_REDIS, 'h/x')\n"
    )
    done = run_python(source, "-W", "error")
    assert done.stdout == (
        "('lite', ('*sqlite3', ['./sqlite3.db'], '', '', False, 32, True))\n"
        "['a', 'b', 'c'] 3 -1\n"
        "set()\n"
    )
    assert done.returncode == 2
    assert done.stderr == (
        "<string>, line 12: alias '@x': member 'h/x': a database of Redis is a number, not 'x': "
        "give 'localhost/0'\n"
    )


def test_members_are_named_as_they_are_written():
    assert Member("10.0.0.7", 8000).name == "10.0.0.7:8000"
    assert Member("10.0.0.7", 8000, "/base/path").name == "10.0.0.7:8000/base/path"
    assert Member("::1", 8000).name == "[::1]:8000"
    assert Member("", 0, "/tmp/shop.db").name == "/tmp/shop.db"

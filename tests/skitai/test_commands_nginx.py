"""What ``--nginx-conf`` writes, prints and refuses; tests/e2e/test_nginx.py lets nginx run."""

from __future__ import annotations

import re

import pytest

from skitai.commands.nginx import NginxFront, Wish
from skitai.commands.nginx_text import quoted
from skitai.commands.written_files import Condition, condition_of, sealed
from skitai.config import Settings
from skitai.errors import ConfigError, StartupError
from skitai.mounts import StaticMount
from skitai.options import parse
from skitai.preference import Place
from skitai.worker import Survey

NAMES = ["include/backend.conf", "include/static.conf", "include/upstream.conf", "nginx.conf"]


@pytest.fixture(autouse=True)
def _no_root(monkeypatch):
    monkeypatch.delenv("STATIC_ROOT", raising=False)


@pytest.fixture
def survey(tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("a")
    mount = StaticMount("/static/", tmp_path / "static", ("default",), Place.BACK)
    return Survey([mount], frozenset(), ("default",), 1000)


def front(tmp_path, *, domain="example.com", settings=None, **wish):
    settings = Settings(**{"name": "shop", **(settings or {})})
    return NginxFront(settings, tmp_path, Wish(domain, **wish))


def text_of(tmp_path, name):
    return (tmp_path / "conf" / "nginx" / name).read_text()


def test_files_and_next_steps(tmp_path, survey, capsys):
    assert front(tmp_path).write(survey) == 0
    home = tmp_path / "conf" / "nginx"
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*.conf")) == NAMES
    assert all(condition_of(home / name) is Condition.OURS for name in NAMES)
    assert (tmp_path / ".static_root/static/a.css").read_text() == "a"
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (f"collected 1 static files in {tmp_path}/.static_root: 1 new, 0 removed")
    assert printed[-5:-2] == [
        "next steps:",
        f"  sudo ln -sf {home}/nginx.conf /etc/nginx/conf.d/shop.conf",
        "  sudo nginx -t && sudo systemctl reload nginx",
    ]
    assert printed[-2].endswith("--disable-static update")
    assert printed[-1] == "  sudo systemctl restart shop"


def test_files_can_be_collected_elsewhere(tmp_path, survey, monkeypatch):
    monkeypatch.setenv("STATIC_ROOT", str(tmp_path / "srv"))
    front(tmp_path).write(survey)
    assert (tmp_path / "srv/static/a.css").exists()
    assert f'root "{tmp_path}/srv";' in text_of(tmp_path, "nginx.conf")


def test_a_second_run_writes_what_is_new(tmp_path, survey):
    front(tmp_path).write(survey)
    front(tmp_path, domain="example.org", settings={"port": 6000}).write(survey)
    assert "server_name example.org;" in text_of(tmp_path, "nginx.conf")
    assert "server 127.0.0.1:6000 " in text_of(tmp_path, "include/upstream.conf")


def test_edited_files_are_left_alone_unless_forced(tmp_path, survey):
    front(tmp_path).write(survey)
    path = tmp_path / "conf/nginx/include/backend.conf"
    path.write_text(path.read_text() + "proxy_bind 10.0.0.1;\n")
    (tmp_path / "static" / "new.css").write_text("new")
    with pytest.raises(StartupError, match=r"backend.conf' was edited.*conf/nginx/local.*--force"):
        front(tmp_path).write(survey)
    assert "proxy_bind" in path.read_text()
    assert not (tmp_path / ".static_root/static/new.css").exists()  # nothing was done
    front(tmp_path, force=True).write(survey)
    assert "proxy_bind" not in path.read_text()


def test_files_of_somebody_else_are_never_replaced(tmp_path, survey):
    path = tmp_path / "conf/nginx/nginx.conf"
    path.parent.mkdir(parents=True)
    path.write_text("server {}\n")
    with pytest.raises(StartupError, match="was not written by skitai"):
        front(tmp_path, force=True).write(survey)
    assert path.read_text() == "server {}\n"


def test_a_dry_run_prints_all_and_writes_nothing(tmp_path, survey, capsys):
    front(tmp_path, dry=True).write(survey)
    printed = capsys.readouterr().out
    assert all(f"# {tmp_path}/conf/nginx/{name}\n" in printed for name in NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["static"]


def test_a_place_that_can_not_be_written(tmp_path, survey):
    (tmp_path / "conf").write_text("a file")
    with pytest.raises(StartupError, match=r"can't be (read|written): Not a directory"):
        front(tmp_path).write(survey)


@pytest.mark.parametrize(
    ("settings", "server"),
    [
        ({"address": "0.0.0.0", "port": 5000}, "127.0.0.1:5000"),
        ({"address": "::", "port": 80}, "[::1]:80"),
        ({"address": "10.1.2.3"}, "10.1.2.3:5000"),
        ({"address": "fe80::1"}, "[fe80::1]:5000"),
        ({"address": "unix:/run/my shop/a.sock"}, '"unix:/run/my shop/a.sock"'),
    ],
)
def test_nginx_comes_to_where_the_service_is(tmp_path, survey, settings, server):
    front(tmp_path, settings=settings).write(survey)
    assert f"server {server} max_fails=0;" in text_of(tmp_path, "include/upstream.conf")


@pytest.mark.parametrize(
    ("seconds", "line"), [(30, "keepalive_timeout 25s;"), (3, "keepalive_timeout 1s;"), (0, "")]
)
def test_idle_connections_are_closed_by_nginx_first(tmp_path, survey, seconds, line):
    front(tmp_path, settings={"keep_alive": seconds}).write(survey)
    text = text_of(tmp_path, "include/upstream.conf")
    assert line in text
    assert ("keepalive" in text) == bool(line)


def test_settings_of_the_service_are_followed(tmp_path, survey):
    front(tmp_path, settings={"forwarded_header": "forwarded", "compress": False}).write(survey)
    assert "client_max_body_size 1000;" in text_of(tmp_path, "nginx.conf")
    forwarded = "proxy_set_header Forwarded 'for=$shop_for;proto=$scheme;host=\"$shop_host\"';"
    assert forwarded in text_of(tmp_path, "include/backend.conf")
    assert "gzip" not in text_of(tmp_path, "include/static.conf")


def test_hosts_are_further_servers(tmp_path):
    hosts = (".example.org", "default", "api.example.com", "example.com")
    front(tmp_path).write(Survey([], frozenset(), hosts, 0))
    text = text_of(tmp_path, "nginx.conf")
    assert re.findall(r"server_name (.*);", text) == [
        "example.com", ".example.org", "api.example.com",
    ]  # fmt: skip
    roots = re.findall(r'root "(.*)";', text)
    assert [root.partition(".static_root")[2] for root in roots] == [
        "/.hosts/example.com",  # the domain has mounts of its own
        "/.hosts/example.org",
        "/.hosts/api.example.com",
    ]


def test_a_domain_below_a_mounted_one_has_its_files(tmp_path):
    survey = Survey([], frozenset(), (".example.com", "default"), 0)
    front(tmp_path, domain="www.example.com").write(survey)
    assert '/.hosts/example.com";' in text_of(tmp_path, "nginx.conf").partition("server_name")[2]


@pytest.mark.parametrize(
    ("address", "trusted", "noted"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("10.1.2.3", "127.0.0.1", True),
        ("10.1.2.3", "10.0.0.0/8", False),
        ("unix:/run/a.sock", "127.0.0.1", True),
        ("unix:/run/a.sock", "unix", False),
    ],
)
def test_a_service_that_does_not_trust_nginx_is_noticed(
    tmp_path, survey, capsys, address, trusted, noted
):
    front(tmp_path, settings={"address": address, "trusted_proxies": trusted}).write(survey)
    assert ("to trusted_proxies:" in capsys.readouterr().out) == noted


# What is refused


@pytest.mark.parametrize("domain", ["", "a b", "a.com;", "http://a.com", "-.com", "a" * 64, "*"])
def test_what_is_no_domain(tmp_path, domain):
    with pytest.raises(ConfigError, match="--nginx-conf must be a domain"):
        front(tmp_path, domain=domain)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"port": 0}, "needs a port that stays the same"),
        ({"proxy_protocol": True}, "proxy_protocol=True can't be had behind nginx"),
        ({"client_ca": "ca.pem"}, "client_ca='ca.pem' can't be had behind nginx"),
    ],
)
def test_settings_that_nginx_can_not_be_in_front_of(tmp_path, settings, why):
    with pytest.raises(ConfigError, match=why):
        front(tmp_path, settings=settings)


def test_certificate_and_key_are_files_and_belong_together(tmp_path):
    with pytest.raises(ConfigError, match="belong together: give both"):
        front(tmp_path, certificate="a.pem")
    with pytest.raises(ConfigError, match=r"--nginx-certificate 'a.pem' does not exist"):
        front(tmp_path, certificate="a.pem", key="a.key")


@pytest.mark.parametrize("name", ["$HOME", 'a"b', "a\\b", "a*", "a{b}", "a;b", "a\nb", "a#b"])
def test_paths_that_nginx_would_read_differently(name):
    with pytest.raises(ConfigError, match="can't be named in a configuration of nginx"):
        quoted(f"/srv/{name}")


# The command line


def test_options_of_the_command_line():
    line = parse(
        ["--nginx-conf=a.com", "--nginx-certificate=a.pem", "--nginx-key", "a.key", "--force"],
        "serve.py",
        {},
    )
    assert (line.command, line.nginx_domain, line.force) == ("nginx-conf", "a.com", True)
    assert (line.nginx_certificate, line.nginx_key, line.installs) == ("a.pem", "a.key", True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--nginx-conf=a.com", "install"], "commands 'install' and 'nginx-conf': give one"),
        (["--nginx-key=a.key"], "need --nginx-conf=DOMAIN"),
        (["--nginx-conf"], "expected one argument"),
    ],
)
def test_mistakes_on_the_command_line(words, why):
    with pytest.raises(ConfigError, match=why):
        parse(words, "serve.py", {})


# Files that are known to be unedited


def test_sealed_files(tmp_path):
    path = tmp_path / "file"
    assert condition_of(path) is Condition.MISSING
    path.write_text(sealed("line\n", "a note"))
    assert condition_of(path) is Condition.OURS
    path.write_text(path.read_text() + " ")
    assert condition_of(path) is Condition.EDITED
    path.write_text("line\n")
    assert condition_of(path) is Condition.FOREIGN
    path.write_bytes(b"\xff\x00")
    assert condition_of(path) is Condition.FOREIGN


def test_ages_are_tried_from_the_longest_path(tmp_path, survey):
    ages = {"/": 5, "/static/a.b+": 60, "/static/": 7}
    NginxFront(Settings(name="shop"), tmp_path, Wish("example.com"), ages).write(survey)
    text = text_of(tmp_path, "include/upstream.conf")
    found = text.partition("map $uri $shop_expires {\n")[2].partition("}")[0]
    assert [line.strip() for line in found.splitlines()] == [
        "default 600s;", r'"~^/static/a\.b\+(/|$)" 60s;', '"~^/static(/|$)" 7s;', '"~^(/|$)" 5s;',
    ]  # fmt: skip


def test_an_age_for_a_path_that_nginx_reads_differently_is_refused(tmp_path, survey):
    front = NginxFront(Settings(name="shop"), tmp_path, Wish("example.com"), {'/a"; x': 5})
    with pytest.raises(ConfigError, match="can't be named"):
        front.write(survey)

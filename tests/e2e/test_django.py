"""A Django project beside an Atila app: models as in the seed on two databases, and the admin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from chromium import Chromium
from django_project import FILES
from live_service import write_files

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))
from postgresql_server import running_postgresql

pytestmark = pytest.mark.e2e


def sqlite(folder):
    yield {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}


def postgresql(folder):
    with running_postgresql() as server:
        yield {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": server.new_database(),
            "USER": server.user,
            "PASSWORD": server.password,
            "HOST": "127.0.0.1",
            "PORT": server.port,
        }


@pytest.fixture(scope="module", params=[sqlite, postgresql], ids=["sqlite", "postgresql"])
def service(request, launch_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("database")
    databases = request.param(folder)
    files = {**FILES, "project/database.json": json.dumps(next(databases))}
    write_files(folder, files)
    prepared = subprocess.run(
        [sys.executable, "prepare.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert prepared.returncode == 0, prepared.stderr
    service = launch_once(files, workers=2)
    yield service
    service.close()
    for _ in databases:
        pass


def add_user(browser, uid, **values):
    answer = browser("/users", "POST", json={"uid": uid, **values})
    assert answer.status_code == 200, answer.text
    return answer.json()["user"]


# -- the seed's example


def test_rows_are_added_changed_found_and_removed(browser):
    user = add_user(browser, "u1", nick_name="Momo")
    assert (user["uid"], user["lev"], user["status"]) == ("u1", "user", None)
    assert None not in (user["created"], user["last_updated"])
    assert browser("/users", params={"nick_name": "Momo"}).json()["users"][0]["uid"] == "u1"
    changed = browser("/users", "PATCH", json={"uid": "u1", "nick_name": "Gigi"}).json()["user"]
    assert changed["nick_name"] == "Gigi"
    assert (changed["created"], changed["id"]) == (user["created"], user["id"])
    browser("/logs", "POST", json={"uid": "u1"})
    assert browser("/users", "DELETE", params={"uid": "u1"}).status_code == 204
    assert browser("/users", params={"uid": "u1"}).json() == {"users": []}
    assert browser("/joined", params={"uid": "u1"}).json()["joined"] == []


@pytest.mark.parametrize("path", ["/async/who", "/yielding/who", "/in-thread/who"])
def test_statements_are_tasks_in_every_kind_of_function(browser, path):
    if not browser("/users", params={"uid": "who"}).json()["users"]:
        add_user(browser, "who")
    assert [row["uid"] for row in browser(path).json()["users"]] == ["who"]


def test_what_is_wrong_is_refused_before_the_database_is_asked(browser):
    answer = browser("/users", "POST", json={"uid": "x" * 33, "nick_name": 5})
    assert answer.status_code == 400
    errors = answer.json()["errors"]
    assert "at most 32 characters" in errors["uid"][0]
    assert errors["nick_name"] == ["A value of type str is needed, not int."]


# -- beside Django's own manager


def test_django_reads_what_statements_have_written(browser):
    add_user(browser, "writer")
    browser("/logs", "POST", json={"uid": "writer"})
    answer = browser("/logs/by-django").json()
    assert answer["user"] == "writer"
    assert set(answer["same"].values()) == {True}, answer


def test_statements_find_what_django_has_written(browser):
    add_user(browser, "django")
    answer = browser("/logs/written-by-django", params={"uid": "django"})
    assert set(answer.json()["found"].values()) == {1}, answer.text


def test_statements_in_transactions_joins_and_with(browser):
    add_user(browser, "many")
    assert browser("/move", params={"uid": "many"}).json() == {"lev": "guest", "status": None}
    assert browser("/logs", "POST", json={"uid": "many"}).status_code == 200
    found = browser("/joined", params={"uid": "many"}).json()
    assert [row["uid"] for row in found["joined"]] == ["many"]
    assert {"uid": "many"} in found["cte"]
    assert found["latest"] == [{"uid": "many"}]
    assert [row["action"] for row in found["updated"]] == ["out"]
    again = browser("/upsert", params={"uid": "k"}).json()["found"]
    assert again == [[1000, "k", "again"], [1001, "k2", None]]


# -- the admin


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.browser
def test_the_admin_lists_and_changes_rows_in_a_browser(chromium, browser, service):
    add_user(browser, "seen", nick_name="Beppo")
    site = f"http://127.0.0.1:{service.port}"
    chromium.errors.clear()
    chromium.call("Network.clearBrowserCookies")
    chromium.open(f"{site}/admin/firebase_vue/user/")
    chromium.run("document.querySelector('#id_username').value = 'boss'")
    chromium.run("document.querySelector('#id_password').value = 'very secret'")
    chromium.follow("document.querySelector('#login-form').submit()")
    rows = chromium.run("document.querySelector('#result_list').innerText")
    assert "Beppo" in rows
    # The style sheets of the admin are there.
    assert chromium.run("getComputedStyle(document.querySelector('#header')).display") == "flex"
    chromium.follow(
        "[...document.querySelectorAll('#result_list tr')]"
        ".find((row) => row.innerText.includes('Beppo')).querySelector('a').click()"
    )
    chromium.run("document.querySelector('#id_nick_name').value = 'Straßenkehrer'")
    chromium.follow("document.querySelector('[name=_save]').click()")
    assert "was changed successfully" in chromium.run("document.body.innerText")
    assert [error for error in chromium.errors if "favicon" not in error] == []
    [user] = browser("/users", params={"uid": "seen"}).json()["users"]
    assert user["nick_name"] == "Straßenkehrer"


def log_in(service, session, host="127.0.0.1", **headers):
    session.trust_env = False
    session.headers.update({"Host": host, **headers})
    site = f"http://127.0.0.1:{service.port}"
    page = session.get(f"{site}/admin/login/")
    assert page.status_code == 200
    token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    form = {"csrfmiddlewaretoken": token, "username": "boss", "password": "very secret"}
    cookies = "; ".join(f"{one.name}={one.value}" for one in session.cookies)

    def send(**more):
        headers = {"Cookie": cookies, **more}
        return session.post(
            f"{site}/admin/login/", data=form, headers=headers, allow_redirects=False
        ).status_code

    return send


def test_forms_of_other_sites_are_refused(service):
    with requests.Session() as session:
        send = log_in(service, session, "shop.example")
        assert send(Origin="http://evil.example") == 403
        assert send(Origin="http://shop.example") == 302
        assert send(Cookie="", Origin="http://shop.example") == 403


def test_behind_a_proxy_with_tls_the_scheme_is_that_of_the_client(service):
    with requests.Session() as session:
        send = log_in(service, session, "shop.example", **{"X-Forwarded-Proto": "https"})
        assert send(Origin="http://shop.example") == 403
        assert send() == 403  # over TLS Django wants to know where a form comes from
        assert send(Origin="https://shop.example") == 302
        assert send(Referer="https://shop.example/admin/login/") == 302


def test_files_of_the_admin_are_served(browser):
    answer = browser("/static/admin/css/base.css")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/css")
    assert browser("/static/admin/nothing.css").status_code == 404

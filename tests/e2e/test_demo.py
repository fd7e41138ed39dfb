"""The demo as a newcomer meets it: started by serve.py, used over HTTP."""

from __future__ import annotations

import csv
import html
import io
import os
import re
import socket
from pathlib import Path

import pytest

import skitai

pytestmark = pytest.mark.e2e

SERVE = str(Path(__file__).parents[2] / "serve.py")
BROWSER = {"Accept": "text/html"}
SAMPLES = 13


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHELF_DB", str(home / "books.sqlite3"))
        patch.chdir(home)  # the demo must start from any directory
        with skitai.test_client(SERVE, port=free_port(), devel=True) as running:
            yield running


@pytest.fixture
def momo(client):
    response = client.post("/api/books", json={"title": "Momo", "author": "Michael Ende"})
    assert response.status_code == 201
    yield response.json()
    client.delete(response.headers["Location"])


def test_front_page_shows_the_books(client):
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.text.count('class="card"') >= SAMPLES
    assert "Gödel, Escher, Bach" in response.text
    assert 'href="/static/css/shelf.css"' in response.text
    assert 'href="/books/1"' in response.text


def test_front_page_filters(client):
    response = client.get("/?status=reading&q=tram")
    assert response.text.count('class="card"') == 1
    assert "The Master and Margarita" in response.text
    assert 'value="tram"' in response.text
    assert "No book here" in client.get("/?q=no+such+words").text


@pytest.mark.parametrize(
    "path", ["/?status=burnt", "/?q=a&q=b", "/?colour=red", "/api/books?status=burnt"]
)
def test_unknown_filters_are_refused(client, path):
    assert client.get(path).status_code == 400


@pytest.mark.parametrize("path", ["/books/1", "/books/new", "/about", "/source"])
def test_pages_come_as_html(client, path):
    response = client.get(path, headers=BROWSER)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert "<h1>" in response.text
    assert "This page is made by" in response.text


def test_head_answers_without_a_body(client):
    response = client.head("/")
    assert response.status_code == 200
    assert response.text == ""


def test_author_pages_take_encoded_names(client):
    response = client.get("/authors/Gabriel%20Garc%C3%ADa%20M%C3%A1rquez")
    assert "One Hundred Years of Solitude" in response.text
    assert client.get("/authors/Nobody").status_code == 404


def test_about_tells_how_the_request_was_served(client):
    text = client.get("/about", headers={"User-Agent": "curious <reader>"}).text
    assert "curious &lt;reader&gt;" in text
    assert "/static/" in text
    assert "/api/clock?wait=2" in text


def test_source_shows_only_the_apps_own_files(client):
    text = client.get("/source/services/books.py").text
    assert "def __mount__(app, mntopt):" in text
    assert "from . import library" in client.get("/source").text
    for path in ("nothing.py", "..%2F..%2Fserve.py", "%2Fetc%2Fpasswd"):
        assert client.get(f"/source/{path}").status_code in (400, 404)


def test_every_link_of_the_site_leads_somewhere(client):
    seen, todo, skipped = set(), ["/"], {"/oops", "/api/clock?wait=2"}
    while todo:
        path = todo.pop()
        if path in seen or path in skipped:
            continue
        seen.add(path)
        response = client.get(path, headers=BROWSER)
        assert response.status_code == (404 if path == "/api/books/999" else 200), path
        if response.headers["Content-Type"].startswith("text/html"):
            links = re.findall(r'(?:href|src)="(/[^"]*)"', response.text)
            todo += [html.unescape(link) for link in links]
    assert len(seen) > 50


def test_form_adds_a_book_and_leads_to_it(client):
    form = {"title": "The Moomins", "author": "Tove Jansson", "year": "1948", "notes": "A hat."}
    response = client.post("/books", form, allow_redirects=False)
    assert response.status_code == 303
    place = response.headers["Location"]
    page = client.get(place).text
    assert "<h1>The Moomins</h1>" in page
    assert "1948" in page

    edited = client.post(place, {**form, "title": "The Magician's Hat", "rating": "5"})
    assert edited.status_code == 200
    assert "<h1>The Magician&#39;s Hat</h1>" in edited.text
    assert client.get("/api" + place).json()["rating"] == 5
    assert client.delete("/api" + place).status_code == 204


def test_form_with_a_mistake_is_explained(client):
    response = client.post("/books", {"title": "", "author": "Nobody"}, headers=BROWSER)
    assert response.status_code == 400
    assert "title must not be empty" in response.text


def test_text_of_users_is_escaped(client):
    book = {"title": "<script>alert(1)</script>", "author": '"><b>', "notes": "{{ 7 * 7 }}"}
    place = client.post("/api/books", json=book).headers["Location"]
    for path in ("/", place.removeprefix("/api")):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert "&lt;script&gt;alert" in text
        assert "{{ 7 * 7 }}" in text
    client.delete(place)


def test_api_lists_and_searches(client):
    books = client.get("/api/books").json()["books"]
    assert len(books) >= SAMPLES
    found = client.get("/api/books?status=finished&q=ISLAND").json()["books"]
    assert [book["title"] for book in found] == ["The Summer Book"]


def test_api_book_from_start_to_end(client, momo):
    place = f"/api/books/{momo['id']}"
    assert momo["status"] == "wanted"
    assert client.get(place).json() == momo

    changed = client.patch(place, json={"rating": 4, "notes": "Tempus fugit"}).json()
    assert changed == {**momo, "rating": 4, "notes": "Tempus fugit"}

    replaced = client.put(place, json={"title": "Momo", "author": "M. Ende"}).json()
    assert replaced == {**momo, "author": "M. Ende"}

    response = client.delete(place)
    assert (response.status_code, response.text) == (204, "")
    assert client.get(place).status_code == 404
    assert client.delete(place).status_code == 404


def test_api_keeps_every_character(client, momo):
    notes = "こんにちは 🐈 \\ \" ' ; -- \t\n Ünïcödé"
    changed = client.patch(f"/api/books/{momo['id']}", json={"notes": notes}).json()
    assert changed["notes"] == notes


def test_api_errors_are_json(client):
    response = client.get("/api/books/999")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.json() == {"code": 40400, "message": "not found", "more_info": "no such book"}
    assert client.get("/api/books/cat").status_code == 404
    assert client.get("/api/books/" + "9" * 30).status_code == 404


def test_api_errors_are_pages_for_browsers(client):
    response = client.get("/api/books/999", headers=BROWSER)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")
    assert "no such book" in response.text


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("post", "/api/books", {"title": "Alone"}, "author must not be empty"),
        ("post", "/api/books", {"title": "A", "author": "B", "pages": 3}, "no field 'pages'"),
        ("patch", "/api/books/1", {"rating": 11}, "from 0 to 5"),
        ("patch", "/api/books/1", {"status": "burnt"}, "wanted, reading, finished"),
        ("put", "/api/books/1", {"rating": 3}, "title must not be empty"),
    ],
)
def test_api_refuses_and_explains(client, method, path, body, reason):
    response = getattr(client, method)(path, json=body)
    assert response.status_code == 400
    assert reason in response.json()["more_info"]


def test_api_methods_are_declared(client):
    response = client.post("/api/books/1", json={})
    assert response.status_code == 405
    allowed = {name.strip() for name in response.headers["Allow"].split(",")}
    assert {"GET", "PUT", "PATCH", "DELETE"} <= allowed


def test_clock_is_answered_by_the_event_loop(client):
    now = client.get("/api/clock?wait=0.01").json()
    assert set(now) == {"time", "worker", "thread"}
    assert now["thread"] == "MainThread"
    for wait in ("soon", "-1", "11", "nan", "1&wait=2"):
        assert client.get(f"/api/clock?wait={wait}").status_code == 400


def test_csv_has_every_book(client):
    response = client.get("/books.csv")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert {"Pedro Páramo", "Gödel, Escher, Bach"} <= {row["title"] for row in rows}
    assert len(rows) == len(client.get("/api/books").json()["books"])


def test_bookplate_is_a_download(client):
    response = client.get("/bookplate")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("image/svg+xml")
    disposition = response.headers["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert "bookplate.svg" in disposition
    assert "Ex libris" in response.text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/css/shelf.css", "text/css"),
        ("/static/js/shelf.js", "javascript"),
        ("/static/img/shelf.svg", "image/svg+xml"),
    ],
)
def test_static_files(client, path, kind):
    response = client.get(path)
    assert response.status_code == 200
    assert kind in response.headers["Content-Type"]
    assert client.get(path + ".missing").status_code == 404


def test_favicon_leads_to_the_logo(client):
    response = client.get("/favicon.ico", allow_redirects=False)
    assert response.status_code == 302
    assert response.headers["Location"] == "/static/img/shelf.svg"


def test_oops_shows_the_traceback_to_developers(client):
    response = client.get("/oops", headers=BROWSER)
    assert response.status_code == 500
    assert "IndexError" in response.text
    assert "tour.py" in response.text
    assert "IndexError" in "\n".join(client.get("/oops").json()["traceback"])


def test_production_hides_errors_and_shares_the_books(tmp_path, monkeypatch):
    monkeypatch.setenv("SHELF_DB", str(tmp_path / "books.sqlite3"))
    with skitai.test_client(SERVE, port=free_port(), workers=2) as client:
        for headers in (BROWSER, {"Accept": "application/json"}):
            response = client.get("/oops", headers=headers)
            assert response.status_code == 500
            assert "IndexError" not in response.text
            assert "tour.py" not in response.text
        place = client.post("/api/books", json={"title": "Momo", "author": "Michael Ende"}).headers[
            "Location"
        ]
        for _ in range(20):
            # A new connection each time, so that both workers get some.
            response = client.get(place, headers={"Connection": "close"})
            assert response.json()["title"] == "Momo"


def test_stopping_closes_the_books(tmp_path, monkeypatch):
    monkeypatch.setenv("SHELF_DB", str(tmp_path / "books.sqlite3"))
    with skitai.test_client(SERVE, port=free_port()) as client:
        assert client.get("/").status_code == 200
        assert len(os.listdir(tmp_path)) > 1
    # __umount__ ran: SQLite tidies up after the last connection.
    assert os.listdir(tmp_path) == ["books.sqlite3"]

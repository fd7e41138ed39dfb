"""Which file a path leads to, and that no path leads out of the static directories."""

from __future__ import annotations

import pytest
from live_service import eventually
from static_project import SECRET, SMALL, fetch

pytestmark = pytest.mark.e2e


# Which file


def test_directories_on_one_url_are_asked_in_order(site):
    assert fetch(site, "/static/small.bin").content == SMALL
    assert fetch(site, "/static/only-here.txt").content == b"only here"
    assert fetch(site, "/static/in-none").content == b"the app has static/in-none"
    assert fetch(site, "/robots.txt").content == b"User-agent: *"


def test_names_are_percent_decoded_once(site):
    assert fetch(site, "/static/name%20with%20%C3%BC.txt").content == b"named"
    assert fetch(site, "/static/%73mall.bin").content == SMALL
    assert fetch(site, "/static/%2573mall.bin").content == b"the app has static/%73mall.bin"
    assert fetch(site, "/static/small.bin?v=%00../../").content == SMALL


def test_index_files(site):
    assert fetch(site, "/static/folder/").content == b"<p>folder</p>"
    assert fetch(site, "/static/both/").content == b"first choice"
    assert fetch(site, "/static/bare/").content == b"the app has static/bare/"
    assert fetch(site, "/static/bare/file.txt").content == b"in bare"


@pytest.mark.parametrize("query", ["", "?", "?a=1&b=%2F/c?d"])
def test_a_folder_with_an_index_wants_its_slash(site, query):
    for method in ("GET", "HEAD"):
        response = fetch(site, f"/static/folder{query}", method)
        assert response.status == 301
        assert response.getheader("Location") == f"/static/folder/{query}"


def test_a_redirect_never_leads_to_another_host(site):
    for target in ("//static/folder", "http://evil.example/static/folder", "/static//folder"):
        location = fetch(site, target).getheader("Location") or "/"
        assert location.startswith("/"), target
        assert not location.startswith("//"), target


def test_only_get_and_head_see_files(site):
    def ask(method, path):
        return site.client.request(method, path, headers={"Connection": "close"})

    assert ask("POST", "/static/small.bin").text == "the app has static/small.bin"
    for method in ("PUT", "PATCH", "DELETE"):
        assert ask(method, "/static/small.bin").status_code == 405
    assert "GET" in ask("OPTIONS", "/static/small.bin").headers["Allow"]


# What must stay inside

ESCAPES = [
    "/static/../secret.txt",
    "/static/../../project/secret.txt",
    "/static/folder/../../secret.txt",
    "/static/./../secret.txt",
    "/../secret.txt",
    "/static/..",
    "/static/../",
    "/static/%2e%2e/secret.txt",
    "/static/%2E%2E%2Fsecret.txt",
    "/static/..%2fsecret.txt",
    "/static/..%2Fsecret.txt",
    "/static/%2e%2e%2fsecret.txt",
    "/static/.%2e/secret.txt",
    "/static/%252e%252e%252fsecret.txt",
    "/static/..%252fsecret.txt",
    "/static/..\\secret.txt",
    "/static/..%5csecret.txt",
    "/static/%5c..%5csecret.txt",
    "/static/..%c0%afsecret.txt",
    "/static/%c0%ae%c0%ae/secret.txt",
    "/static/..%ef%bc%8fsecret.txt",
    "/static/small.bin%00.txt",
    "/static/%00../secret.txt",
    "/static/..%00/secret.txt",
    "/static/../public-secrets/key.txt",
    "/static-secrets/key.txt",
    "/public-secrets/key.txt",
    "/static/..;/secret.txt",
    "/static/.../secret.txt",
    "/static//../secret.txt",
    "/static/{folder}/secret.txt",
    "/static/{quoted}%2Fsecret.txt",
    "/static//{folder}/secret.txt",
    "//{folder}/secret.txt",
    "/{quoted}/secret.txt",
    "http://localhost/static/../secret.txt",
    "http://localhost/static/%2e%2e/secret.txt",
    "/static/file:///{folder}/secret.txt",
    "/static/link-out",
    "/static/link-absolute",
    "/static/link-to-hidden",
    "/static/link-to-outer-folder/key.txt",
    "/static/.hidden",
    "/static/%2ehidden",
    "/static/.git/config",
    "/static/folder/../.hidden",
    "/serve.py",
    "/static/../serve.py",
    "..%2fsecret.txt",
    "/static/small.bin/../../secret.txt",
    "/static/small.bin/",
    "/static/~root",
    "/static/pipe",
    "/static/link-to-nothing",
    "/static/" + "a" * 300,
    "/static/" + "../" * 40 + "etc/passwd",
    "/" + "..%2f" * 40 + "etc%2fpasswd",
]


@pytest.mark.parametrize("target", ESCAPES)
def test_nothing_outside_of_the_directories_is_ever_sent(site, target):
    folder = str(site.folder)
    target = target.format(folder=folder.lstrip("/"), quoted=folder.replace("/", "%2F"))
    for method in ("GET", "HEAD"):
        response = fetch(site, target, method)
        assert response.status in (200, 301, 400, 404), response.status
        if response.status == 200 and method == "GET":
            assert response.content.startswith(b"the app has ")
        assert SECRET not in response.content
        assert b"root:" not in response.content
        assert response.getheader("ETag") is None


def test_links_that_stay_inside_are_followed(site):
    assert fetch(site, "/static/link-inside").content == SMALL
    assert fetch(site, "/static/link-to-folder/").content == b"<p>folder</p>"


def test_well_known_is_the_one_visible_dot(site):
    assert fetch(site, "/static/.well-known/security.txt").content == b"Contact: us"


# Change


def test_a_changed_file_is_new_at_once_and_a_removed_one_gone(site):
    path = site.folder / "public" / "changing.txt"
    path.write_text("one")
    assert eventually(
        lambda: (found := fetch(site, "/static/changing.txt")).content == b"one" and found,
        "the new file",
    )
    first = fetch(site, "/static/changing.txt").getheader("ETag")
    for text in ("two", "three", "four"):
        path.write_text(text)
        response = fetch(site, "/static/changing.txt", If_None_Match=first)
        assert (response.status, response.content) == (200, text.encode())
        assert response.getheader("ETag") != first
    path.unlink()
    assert fetch(site, "/static/changing.txt").content == b"the app has static/changing.txt"

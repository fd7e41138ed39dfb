"""OpenAPI of running services: fuzzed by what the document says, and its page in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import schemathesis
from chromium import Chromium
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode

import skitai

pytestmark = pytest.mark.e2e

DEMO = str(Path(__file__).parents[2] / "serve.py")
STRICT = """
from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import skitai
from atila import Atila
from skitai.wire.multipart import UploadedFile

app = Atila(__name__)


class Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=8)]
    count: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1


class Order(msgspec.Struct):
    id: int
    lines: list[Line]


@app.get("/orders/<int:id>")
async def show(was, id: int, full: bool = False) -> Order:
    \"\"\"One order.\"\"\"
    if id > 1000:
        raise was.Error("404 Not Found")
    return Order(id, [Line("a")])


@app.put("/orders/<int:id>")
@app.inspect("JSON")
async def put(was, id, line: Line) -> Order:
    return Order(7, [line])


@app.get("/search")
@app.inspect("URL", required=["q"], ints=["page"], page__between=(1, 9), q__len__lte=20)
def search(was, q, page=1, order: Literal["up", "down"] = "up") -> dict:
    return {"q": q, "page": page, "order": order}


@app.post("/users")
@app.inspect("JSON", booleans=["admin"], name__len__between=(2, 9), level__in=[1, 2])
def add_user(was, name: str, admin=None, level=1) -> dict:
    return {"name": name, "admin": admin, "level": level}


@app.post("/files")
def upload(was, file: UploadedFile) -> dict:
    return {"size": file.size}


if __name__ == "__main__":
    skitai.mount("/shop", app)
    skitai.run()
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHELF_DB", str(tmp_path_factory.mktemp("demo") / "books.sqlite3"))
        with skitai.test_client(DEMO, port=0, devel=True) as running:
            yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    script = tmp_path_factory.mktemp("strict") / "serve.py"
    script.write_text(STRICT)
    with skitai.test_client(script, port=0, devel=True) as running:
        yield running


def has_whole_float(value):
    """``1.0`` is an integer for JSON Schema, but not here, where JSON is checked by type."""
    if isinstance(value, dict):
        return any(map(has_whole_float, value.values()))
    if isinstance(value, list):
        return any(map(has_whole_float, value))
    return isinstance(value, float) and value.is_integer()


def fuzz(url, examples, without=()):
    """Send what the document allows, and what it doesn't, always the same; all answers must be as
    the document says. Returns how many requests were sent."""
    sent = 0
    schema = schemathesis.openapi.from_url(url)
    excluded = [schemathesis.checks.CHECKS.get_one(name) for name in without]
    for found in schema.get_all_operations():
        for mode in GenerationMode:

            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=found.ok().as_strategy(generation_mode=mode))
            def run(case):
                nonlocal sent
                assume(not has_whole_float(case.body))
                case.call_and_validate(excluded_checks=excluded)
                sent += 1

            try:
                run()
            except Unsatisfiable:  # whoever takes nothing can't be sent anything wrong
                assert mode is GenerationMode.NEGATIVE
    return sent


def test_the_demo_answers_as_its_document_says(demo):
    document = demo.get("/openapi.json").json()
    validate(document)
    assert {"/api/books", "/api/books/{id}"} <= document["paths"].keys()
    # Its forms have rules that only its own code knows: what a schema takes may be refused.
    assert fuzz(demo.resolve("/openapi.json"), 4, ["positive_data_acceptance"]) > 50


def test_what_is_declared_holds_in_both_directions(strict):
    """Everything that a schema takes is taken, and nothing else."""
    validate(strict.get("/shop/openapi.json").json())
    assert fuzz(strict.resolve("/shop/openapi.json"), 12) > 80


def test_production_says_nothing(tmp_path):
    script = tmp_path / "serve.py"
    script.write_text(STRICT)
    with skitai.test_client(script, port=0, workers=1) as client:
        assert client.get("/shop/openapi.json").status_code == 404
        assert client.get("/shop/openapi").status_code == 404
        assert "__spec__" not in client.get("/shop/search?q=x").text


@pytest.mark.browser
def test_the_page_lists_operations_and_tries_them(strict, tmp_path):
    with Chromium(tmp_path) as browser:
        browser.screen(1280, 900)
        browser.open(strict.resolve("/shop/openapi"))
        browser.wait("document.querySelectorAll('details').length == 5")
        assert browser.run("document.title") == "API 1.0.0"

        # A form of parameters: path and query.
        browser.run("document.querySelector('#get_show summary').click()")
        browser.wait("document.querySelector('#get_show button')")
        browser.run("document.querySelector('#get_show [name=id]').value = '7'")
        browser.run("document.querySelector('#get_show [name=full]').value = 'true'")
        browser.run("document.querySelector('#get_show button').click()")
        browser.wait("document.querySelector('#get_show .status')")
        assert browser.run("document.querySelector('#get_show .status').innerText") == "200 OK"
        answer = json.loads(browser.run("document.querySelector('#get_show .answer').innerText"))
        assert answer == {"id": 7, "lines": [{"sku": "a", "count": 1}]}

        # A body, filled in by its schema, and a refusal.
        browser.run("document.querySelector('#post_add_user summary').click()")
        browser.wait("document.querySelector('#post_add_user textarea')")
        body = json.loads(browser.run("document.querySelector('#post_add_user textarea').value"))
        assert body.keys() == {"name", "admin", "level"}
        browser.run("document.querySelector('#post_add_user button').click()")
        browser.wait("document.querySelector('#post_add_user .status')")
        status = browser.run("document.querySelector('#post_add_user .status').innerText")
        assert status == "400 Bad Request"
        shown = browser.run("document.querySelector('#post_add_user .answer').innerText")
        assert "__spec__" not in shown

        # The list can be narrowed.
        browser.run(
            "document.querySelector('#filter').value = 'files';"
            "document.querySelector('#filter').dispatchEvent(new Event('input'))"
        )
        assert browser.run("document.querySelectorAll('details:not([hidden])').length") == 1
        errors = [line for line in browser.errors if "400" not in line]
        assert errors == []

"""The pages of --devel in a real browser: they run, hide nothing needed, and load nothing."""

from __future__ import annotations

import pytest
from chromium import Chromium

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SERVE = """
    import skitai
    from atila import Atila
    from jobs import divide

    app = Atila(__name__)

    @app.route("/prices/<currency>", methods=["GET"])
    def price(was, currency, token=""):
        hostile = "</script><script>document.title = 'taken'</script>"
        rates = {"EUR": 1}
        return str(rates[currency])

    @app.route("/process")
    def process(was):
        return str(was.Process(divide, 7, 0).fetch())

    @app.route("/thread")
    def thread(was):
        return str(was.Thread(divide, 7, 0).fetch())

    if __name__ == "__main__":
        skitai.mount("/", app)
        skitai.run(address="127.0.0.1")
"""
FILES = {"serve.py": SERVE, "jobs.py": "def divide(a, b):\n    return a / b\n"}


def text(browser, selector):
    return browser.run(f"document.querySelector({selector!r}).textContent")


def hidden_rows(browser):
    return browser.run("[...document.querySelectorAll('[data-row]')].filter(r => r.hidden).length")


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(FILES, devel=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def page(service, browser):
    def show(path):
        browser.errors.clear()
        browser.open(f"http://127.0.0.1:{service.port}{path}")
        return browser

    return show


def complaints(browser):
    """What the browser says beside the status of the page itself."""
    return [error for error in browser.errors if "Failed to load resource" not in error]


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (380, True)])
def test_a_crash_is_shown_whole(page, width, dark):
    browser = page("/prices/USD?token=abc")
    browser.screen(width, 800, dark=dark)
    assert text(browser, ".name") == "KeyError"
    assert text(browser, "h1").endswith("GET /prices/USD?token=********")
    assert "<script>" in text(browser, "details.frame table")
    assert browser.run("document.title").startswith("500 KeyError")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert complaints(browser) == []


def test_the_traceback_is_copied_and_all_is_unfolded(page):
    browser = page("/prices/USD")
    browser.run(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (t) =>"
        " { window.copied = t; }}}); document.getElementById('copy').click()"
    )
    copied = browser.wait("window.copied")
    assert copied.startswith("GET /prices/USD HTTP/1.1 -> 500")
    assert copied.endswith("KeyError: 'USD'")
    closed = "document.querySelectorAll('details.frame:not([open])').length"
    assert browser.run(closed) > 0
    browser.run("document.getElementById('unfold').click()")
    assert browser.run(closed) == 0


@pytest.mark.parametrize("path", ["/process", "/thread"])
def test_the_line_of_a_task_is_shown(page, path):
    browser = page(path)
    shown = browser.run("[...document.querySelectorAll('details.frame b')].map(b => b.textContent)")
    assert {"divide", path[1:]} <= set(shown)
    assert "return a / b" in text(browser, "main")


def test_the_routes_can_be_filtered_and_tried(page):
    browser = page("/routes")
    browser.run("filter.value = 'price GET'; filter.dispatchEvent(new Event('input'))")
    assert hidden_rows(browser) == 2
    browser.run("document.querySelector('input[name=path]').value = '/prices/EUR'")
    browser.follow("document.querySelector('form button').click()")
    assert "this route answers" in text(browser, "#verdict")
    assert "currency = EUR" in text(browser, "#verdict")
    assert complaints(browser) == []


def test_a_typo_is_found_at_once(page):
    browser = page("/price/EUR")
    assert "/prices/<currency>" in text(browser, "#near")
    browser.follow("document.querySelector('footer a').click()")
    assert text(browser, "h1") == "All that is mounted"
    assert complaints(browser) == []

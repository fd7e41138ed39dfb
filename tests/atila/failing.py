"""Apps that fail under --devel, and what their pages show."""

from __future__ import annotations

import html
import re

from driving import Driver

from atila import Atila

KEY = "the-key-of-this-app-1"


def driver_of(handler, rule="/", async_=False, **options):
    app = Atila("failing")
    app.securekey = KEY
    app.route(rule, **options)(handler)
    return Driver(app, debug=True)


def plain(text):
    return html.unescape(re.sub("<[^>]*>", "", text))


def failures(page):
    """Name and message of each exception."""
    found = re.findall(r'class="what">(.*?)</div></div>', page.text, re.DOTALL)
    return [plain(each.replace("</div>", ": ", 1)) for each in found]


def variables(page):
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", page.text, re.DOTALL)
    return {plain(name): plain(text) for name, text in rows}

"""``client.driver()``: a service as a browser shows it, in a headless Chromium.

The driver shares cookies with its test client; `skitai.testing.chromium` is the browser.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from skitai.testing.chromium import Chromium

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

    from skitai.testing.sessions import HttpSession

LOOK_AGAIN = 0.02  # seconds between two looks at whether an element is there
LAST_WRITES = 5.0  # seconds for processes of a browser that were killed to be gone


class Driver:
    """A browser with one page. Ends with ``with``, by ``close()``, or with its client.

    Parameters:
        url: of the service; what `navigate` gets may be relative to it.
        session: of the client, whose cookies are shared.
        timeout: seconds that any step may take.

    Raises ``SkitaiError`` when Chromium isn't installed. Its methods raise ``RuntimeError`` with
    what the browser says, and ``TimeoutError``.
    """

    def __init__(self, url: str, session: HttpSession, timeout: float) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._session = session
        self._timeout = timeout
        self._shared: dict[tuple[str, str], str] = {}
        # No TemporaryDirectory: at the end of the interpreter it would go before the browser.
        self._profile = Path(tempfile.mkdtemp(prefix="skitai-driver-"))
        try:
            self._chromium = Chromium(self._profile, timeout)
        except BaseException:
            _remove(self._profile)
            raise
        try:
            if url.startswith("https:"):  # as the client: tests make their own certificates
                self._chromium.call("Security.setIgnoreCertificateErrors", ignore=True)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser, and remove what it wrote. May be called again."""
        self._chromium.close()
        _remove(self._profile)

    def navigate(self, url: str) -> None:
        """Go to a URL, and wait until it is loaded with its styles and scripts."""
        self.sync()
        self._chromium.open(urljoin(f"{self._url}/", url))
        self.sync()

    def one(self, selector: str, timeout: float | None = None) -> Element:
        """The first element that a CSS selector finds, as soon as it is there.

        Parameters:
            timeout: seconds to wait for it; ``None``: those of the client.

        Raises ``TimeoutError`` when it does not come, ``ValueError`` for a wrong selector.
        """
        patience = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        while (element := self._look(selector)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{selector!r} has not come to {self.url} in {patience:g} s")
            time.sleep(LOOK_AGAIN)
        return element

    def run(self, script: str) -> Any:
        """Run JavaScript in the page, and return its (awaited) value, as of JSON."""
        return self._chromium.run(script)

    def capture(self, path: str | os.PathLike[str]) -> None:
        """Save what the window shows, as PNG."""
        self._chromium.screenshot(Path(path))

    def sync(self) -> None:
        """Share cookies: those that changed in the client go to the browser, then all come back.

        `navigate` does so; call it when the page itself has changed some.
        """
        jar, call = self._session.cookies, self._chromium.call
        held = [cookie for cookie in jar if cookie.domain in ("", self._host)]
        mine = {(cookie.name, cookie.path): cookie.value or "" for cookie in held}
        for (name, path), value in mine.items():
            if self._shared.get((name, path)) != value:
                call("Network.setCookie", name=name, value=value, url=self._url, path=path)
        for name, path in self._shared.keys() - mine.keys():
            call("Network.deleteCookies", name=name, url=self._url, path=path)
        cookies = call("Network.getAllCookies")["cookies"]
        kept = [cookie for cookie in cookies if cookie["domain"] == self._host]
        self._shared = {(cookie["name"], cookie["path"]): cookie["value"] for cookie in kept}
        for one in held:
            if self._shared.get((one.name, one.path)) != (one.value or ""):
                jar.clear(one.domain, one.path, one.name)
        for cookie in kept:
            name, path, value = cookie["name"], cookie["path"], cookie["value"]
            if mine.get((name, path)) != value:
                expires = None if cookie["session"] else int(cookie["expires"])
                options = {"domain": self._host, "path": path, "secure": cookie["secure"]}
                jar.set(name, value, expires=expires, **options)

    @property
    def url(self) -> str:
        """Where the page is."""
        return str(self.run("location.href"))

    @property
    def html(self) -> str:
        """The page as it is now."""
        return str(self.run("document.documentElement.outerHTML"))

    @property
    def errors(self) -> list[str]:
        """Uncaught exceptions, failed loads and ``console.error`` of all pages until now."""
        self.run("0")  # takes what the browser has told meanwhile
        return list(self._chromium.errors)

    def _look(self, selector: str) -> Element | None:
        script = f"document.querySelector({json.dumps(selector)})"
        try:
            found = self._chromium.call("Runtime.evaluate", expression=script)
        except RuntimeError as exc:
            if str(exc).startswith("Runtime.evaluate"):
                return None  # one page is leaving, the next has not come
            raise
        if "exceptionDetails" in found and "SyntaxError" in str(found["result"]):
            raise ValueError(f"{selector!r} is no CSS selector")
        handle = found["result"].get("objectId")
        return Element(self._chromium, handle) if handle else None


class Element:
    """An element of the page. Raises ``RuntimeError`` once the page is gone."""

    def __init__(self, chromium: Chromium, handle: str) -> None:
        self._chromium = chromium
        self._handle = handle

    @property
    def text(self) -> str:
        """What a reader sees of it."""
        return str(self._call("function() { return this.innerText ?? this.textContent }"))

    @property
    def html(self) -> str:
        """Its markup, with its own tag."""
        return str(self._call("function() { return this.outerHTML }"))

    def get(self, name: str) -> str | None:
        """The value of an attribute; ``None`` if it has none."""
        value = self._call("function(name) { return this.getAttribute(name) }", name)
        return None if value is None else str(value)

    def fill(self, text: str) -> None:
        """Give a field of a form this value, as if it had been typed."""
        self._call(
            "function(text) { this.focus(); this.value = text;"
            " for (const name of ['input', 'change'])"
            " this.dispatchEvent(new Event(name, {bubbles: true})) }",
            text,
        )

    def click(self) -> None:
        """Click on it. What comes of that may take a while: wait with ``one``."""
        self._call("function() { this.click() }")

    def _call(self, function: str, *arguments: str) -> Any:
        answer = self._chromium.call(
            "Runtime.callFunctionOn",
            objectId=self._handle,
            functionDeclaration=function,
            arguments=[{"value": argument} for argument in arguments],
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]["exception"].get("description")))
        return answer["result"].get("value")


def _remove(folder: Path) -> None:
    """Remove a profile, into which a dying process may still write."""
    deadline = time.monotonic() + LAST_WRITES
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(LOOK_AGAIN)
    if folder.exists():
        shutil.rmtree(folder)  # tells what is wrong

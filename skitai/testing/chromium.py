"""A real headless Chromium: one page, driven by its DevTools protocol over two pipes.

Needs only the binary: no driver, no port, no websocket. `skitai.testing.driver` and our own browser
tests use it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and writes to 4; a child gets ours under other numbers.
TO_3_AND_4 = (
    "import fcntl, os, sys\n"
    "reads, writes = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])\n"
    "os.dup2(reads, 3), os.dup2(writes, 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


class Chromium:
    """One browser with one page. A context manager; nothing is left running after it.

    Parameters:
        profile: an empty directory for everything the browser writes.
        timeout: seconds that any single step may take. Default: 30.

    Raises ``SkitaiError`` when Chromium isn't installed, ``TimeoutError`` when a step takes too
    long. ``errors`` collects the page's uncaught exceptions and console errors.
    """

    def __init__(self, profile: Path, timeout: float = 30.0) -> None:
        self.timeout = timeout
        self.errors: list[str] = []
        self._number = 0
        self._received = b""
        self._events: list[dict[str, Any]] = []
        binary = find_chromium()
        self._log = (profile / "chromium.log").open("wb")
        self._process = self._start(binary, profile)
        self._session = ""
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def open(self, url: str) -> None:
        """Go to a URL and wait until the page with its styles and scripts is loaded."""
        self._events.clear()
        result = self.call("Page.navigate", url=url)
        if result.get("errorText"):
            raise RuntimeError(f"{url}: {result['errorText']}")
        if "loaderId" in result:  # else it is another place of the same page
            self.loaded()

    def loaded(self) -> None:
        """Wait for the load event of a navigation that is under way."""
        self._until(lambda event: event["method"] == "Page.loadEventFired", "the page to load")

    def follow(self, script: str) -> None:
        """Run JavaScript that leads to another page, e.g. a click, and wait for that page."""
        self._events.clear()
        self.run(script)
        self.loaded()

    def run(self, script: str) -> Any:
        """Run JavaScript in the page and return its (awaited) value.

        Raises ``RuntimeError`` with the page's own message if the script throws.
        """
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {_thrown(result['exceptionDetails'])}")
        return result["result"].get("value")

    def wait(self, script: str) -> Any:
        """Run JavaScript on every frame until its value is true, and return that."""
        return self.run(
            "new Promise((done) => { const look = () => {"
            f" const value = {script}; value ? done(value) : requestAnimationFrame(look); }};"
            " look(); })"
        )

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the window in CSS pixels and the colour scheme the user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one DevTools command and return its result (Chrome DevTools Protocol)."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        _write_all(self._commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + self.timeout
        while (message := self._receive(deadline, method)).get("id") != self._number:
            self._keep(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result

    def close(self) -> None:
        """End the browser with all its processes. May be called again."""
        if self._log.closed:
            return
        os.close(self._commands)
        os.close(self._answers)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Chromium ends itself when its command pipe is closed.
            self._process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _start(self, binary: str, profile: Path) -> subprocess.Popen[bytes]:
        for_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()
        ends = (for_browser, from_browser)
        try:
            return subprocess.Popen(
                [sys.executable, "-c", TO_3_AND_4, *map(str, ends), binary, *SWITCHES]
                + [f"--user-data-dir={profile}"],
                pass_fds=ends,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        finally:
            for end in ends:
                os.close(end)

    def _until(self, wanted: Any, what: str) -> None:
        deadline = time.monotonic() + self.timeout
        while not any(map(wanted, self._events)):
            self._keep(self._receive(deadline, what))

    def _keep(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            return
        self._events.append(message)
        params = message["params"]
        if message["method"] == "Runtime.exceptionThrown":
            self.errors.append(_thrown(params["exceptionDetails"]))
        elif message["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif message["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(" ".join(map(_shown, params["args"])))

    def _receive(self, deadline: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            rest = deadline - time.monotonic()
            if rest <= 0 or not select.select([self._answers], [], [], rest)[0]:
                raise TimeoutError(f"Chromium: waited {self.timeout:g} seconds for {what}")
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise RuntimeError(f"Chromium ended; its last words are in {self._log.name}")
            self._received += data
        line, self._received = self._received.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message


def find_chromium() -> str:
    """Return the path of the browser; raises ``SkitaiError`` that names the package to install."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    raise SkitaiError(
        f"no {', '.join(NAMES)} on PATH: tests in a browser need Chromium, "
        "install it with `apt-get install chromium`"
    )


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])


def _shown(argument: dict[str, Any]) -> str:
    """A value that a page has written to its console."""
    return str(argument.get("value", argument.get("description", "")))


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

"""A real nginx with the configuration that a service has written, on ports of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from live_service import eventually

from skitai.testing.launcher import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
WRAPPER = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def prepare(project: Path, folder: Path) -> tuple[Path, int, int]:
    """A configuration that includes that of a project; its ports for http and https."""
    http, https = free_port(), free_port()
    text = (project / "conf" / "nginx" / "nginx.conf").read_text()
    text = re.sub(r"(?m)^.*listen \[::\].*\n", "", text)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{http};")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{https} ")
    folder.mkdir(exist_ok=True)
    (folder / "site.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # the test's directory is open to nobody else
    (folder / "main.conf").write_text(WRAPPER.format(user=user, folder=folder))
    return folder / "main.conf", http, https


def complaints(configuration: Path) -> str:
    """What ``nginx -t`` has to say, beside that all is well; warnings, too."""
    done = subprocess.run(
        [str(PROGRAM), "-t", "-e", "stderr", "-c", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "[" in line]
    return "\n".join(said) + ("" if done.returncode == 0 else f"\nexit code {done.returncode}")


@contextlib.contextmanager
def nginx(project: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Let nginx run; its ports for http and https."""
    configuration, http, https = prepare(project, folder)
    command = [str(PROGRAM), "-e", "stderr", "-c", str(configuration), "-g", "daemon off;"]
    with subprocess.Popen(command) as process:
        try:
            eventually(lambda: process.poll() is not None or listens(http), "nginx to listen")
            assert process.poll() is None, "nginx did not start"
            yield http, https
        finally:
            process.terminate()
    assert process.returncode == 0, (folder / "error.log").read_text()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

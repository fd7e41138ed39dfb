"""Command lines that mean nothing: each is refused in one line, and nothing is started for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_machine import refused, types
from live_service import PATIENCE, write_files

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
# Forks for each command line what a script would be with it: a new interpreter each takes longer.
HARNESS = """
    import io, json, os, sys, tempfile
    import skitai
    import skitai.commands.daemon, skitai.commands.installation, skitai.commands.nginx
    import skitai.worker  # else each of them would import all of this
    from atila import Atila

    app = Atila("app")
    results = []
    for words in json.load(sys.stdin):
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if not child:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.stderr = io.TextIOWrapper(open(2, "wb", 0, closefd=False), errors="replace")
                sys.argv = ["serve.py", *words]
                skitai.mount("/", app)
                skitai.run(name="shop", address="127.0.0.1", port=0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            results.append([code, output.read().decode(errors="replace")])
    print(json.dumps(results))
"""
LINES = {
    "": "unknown command ''",
    "-": "unknown option '-'",
    "-x": "unknown option '-x'",
    "--=x": "ambiguous option",
    "@file": "unknown command '@file'",
    "STATUS": "unknown command 'STATUS'",
    "--start": "unknown option '--start'",
    "start now": "unknown command 'now'",
    "start start": "commands 'start' and 'start': give one",
    "start stop": "commands 'start' and 'stop': give one",
    "-d stop": "commands 'stop' and 'start': give one",
    "-dx": "x'",  # versions of argparse differ
    "status --verbose": "unknown option '--verbose'",
    "reload --port=x": "port must be a whole number",
    "--port": "--port: expected one argument",
    "--port=": "port must be a whole number from 0 to 65535, not ''",
    "--port=99999": "port must be a whole number from 0 to 65535, not '99999'",
    "--port=-1": "port must be a whole number",
    "--port=1e3": "port must be a whole number",
    "--port=٣": "port must be a whole number",
    "--port=5 --port=x": "port must be a whole number",
    "--workers=-1": "workers must be a whole number",
    "--quic=x": "quic must be a whole number",
    "--quic=5": "quic=5 needs a certificate",
    "--name=../x status": "name must be one word",
    "--name=. status": "name must be one word",
    "--name=-x status": "name must be one word",
    "--name=é status": "name must be one word",
    "--address=": "address must be an IPv4",
    "--address=unix:": "address must be an IPv4",
    "--address=unix:/": "'unix:/' is a file of another kind: choose another path",
    "--address=unix:/proc/x": "'unix:/proc/x' can't be used (No such file or directory): give",
    f"--address=unix:/tmp/{'x' * 200}": "path too long",
    "--address=999.1.1.1": "address must be an IPv4",
    "--address=\udcff": "address must be an IPv4",
    "--address=nosuchhost.invalid": "'nosuchhost.invalid' is neither an IP address nor a known",
    "--user=a:b": "user must be the name of a user or a group, not 'a:b': give --user=www-data",
    "--user=nosuchuser": "user 'nosuchuser' does not exist",
    "--group=nosuchgroup": "group 'nosuchgroup' does not exist",
    "--deploy=": "--deploy must be one word",
    "--devel=1": "--devel: ignored explicit argument '1'",
    "--devel --deploy=x": "not allowed with argument --devel",
    "--force": "--force is for commands that write files",
    "--dry-run start": "--dry-run is for commands that write files",
    "--dry-run status": "--dry-run is for commands that write files",
    "--nginx-conf=": "--nginx-conf must be a domain, not ''",
    "--nginx-conf=é.com --port=5": "--nginx-conf must be a domain, not 'é.com'",
    "--nginx-conf=a.com start": "commands 'start' and 'nginx-conf': give one",
    "--nginx-key=a.pem": "need --nginx-conf=DOMAIN",
    "--\udcff": "unknown option",
    "--workers=2 -- x": "unknown command 'x'",
}


def test_every_command_line_that_means_nothing_is_refused(tmp_path):
    write_files(tmp_path, {"serve.py": HARNESS})
    done = subprocess.run(
        [sys.executable, "-W", "error", "serve.py"],
        cwd=tmp_path, input=json.dumps([line.split(" ") for line in LINES]), text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SKITAI_HOME": str(tmp_path / "home")},
        capture_output=True, timeout=4 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for (line, text), (code, output) in zip(LINES.items(), json.loads(done.stdout), strict=True):
        assert code == 2, (line, output)
        assert text in output, line
        assert output.startswith("serve.py: "), output
        assert len(output.splitlines()) == 1, output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["serve.py"]


# The console command


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["new", "shop", "a\0b"], "can't be a directory: "),
        (["new", "serve"], "another file of the project has this name; choose another name, such"),
        (["new", "conftest"], "choose another name, such as 'myconftest'"),
        (["new", "shop", "/proc/shop"], "'/proc/shop' can't be written: No such file"),
        (["new", "shop", "/"], "'/' exists and is not empty"),
        (["new", "shop", "x" * 300], "File name too long"),
        (["new", "shop", "link"], "'link' exists and is not empty: nothing was written"),
        (["new", "é"], "can't be the name of an app"),
        (["new", "--directory"], "arguments are required: name"),
        (["new", "a", "b", "c"], "unrecognized arguments: c"),
        (["", "x"], "invalid choice: ''"),
        (["run"], "there is no serve.py in"),
    ],
)
def test_the_console_command_refuses_in_one_line(tmp_path, capsys, monkeypatch, words, text):
    from skitai.commands.console import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert text in told.err
    assert len(told.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_directory_whose_name_is_no_text(tmp_path):
    done = types(
        tmp_path, "new", "shop", "a\udcffb", module="skitai", PYTHONIOENCODING="utf-8:strict"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wrote a\\xffb\n")
    done = types(tmp_path, "new", "shop", "a\udcffb", module="skitai")
    refused(done, "exists and is not empty: nothing was written")

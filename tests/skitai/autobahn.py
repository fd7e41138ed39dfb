"""Runs Autobahn's conformance suite for WebSockets against an echo: `make autobahn`.

The suite is a program for Python 2.7. Make an environment for it once:

    python2.7 -m virtualenv ~/autobahn
    ~/autobahn/bin/pip install autobahntestsuite 'autobahn[accelerate,twisted]==0.10.9' unittest2 \
        Twisted==19.10.0 klein==17.10.0 Werkzeug==1.0.1 jinja2==2.11.3 txaio==2.1.0 six==1.16.0 \
        zope.interface==4.6.0 service_identity==18.1.0 pyOpenSSL==19.1.0 cryptography==3.3.2

and name its program: ``make autobahn WSTEST=~/autobahn/bin/wstest CASES='1.* 2.*'``. Without cases
all run, 517 of them in a quarter of an hour.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from websocket_serving import Sockets

GOOD = {"OK", "INFORMATIONAL"}
AGENT = "skitai"


def run(program: str, cases: list[str], directory: Path) -> dict[str, dict[str, str]]:
    """Run the cases; by case what the suite says of behaviour and end."""
    with Sockets() as sockets:
        spec = {
            "outdir": str(directory / "reports"),
            "servers": [{"agent": AGENT, "url": sockets.url.rstrip("/")}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (directory / "spec.json").write_text(json.dumps(spec))
        command = [program, "-m", "fuzzingclient", "-s", str(directory / "spec.json")]
        with (directory / "output").open("w") as output:
            done = subprocess.run(command, stdout=output, stderr=output, cwd=directory, check=False)
    report = directory / "reports" / "index.json"
    if done.returncode or not report.exists():
        sys.exit(f"the suite failed:\n{(directory / 'output').read_text()[-2000:]}")
    results: dict[str, dict[str, str]] = json.loads(report.read_text())[AGENT]
    return results


def main() -> None:
    """Run what is asked for, print the counts, fail when a case is not good."""
    program = os.path.expanduser(os.environ.get("WSTEST", "wstest"))
    if shutil.which(program) is None:
        sys.exit(f"there is no {program!r}: see the beginning of {__file__} for how to get it")
    with tempfile.TemporaryDirectory(prefix="autobahn-") as directory:
        results = run(program, sys.argv[1:] or ["*"], Path(directory))
    bad = {
        case: (result["behavior"], result["behaviorClose"])
        for case, result in results.items()
        if not {result["behavior"], result["behaviorClose"]} <= GOOD
    }
    for kind, count in sorted(Counter(item["behavior"] for item in results.values()).items()):
        print(f"{kind}: {count}")
    for case, (behavior, end) in sorted(bad.items()):
        print(f"{case}: {behavior}, end {end}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

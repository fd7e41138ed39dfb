"""Mounted aliases that can't work: the service does not start, and says why."""

from __future__ import annotations

import re

import pytest
from live_service import run_script, write_files

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "skitai.alias('@books', skitai.PROTO_HTTP, 'a:1'); skitai.mount('/lb', '@boks/x')",
            "mount point '/lb/': .*boks.*did you mean '@books'",
        ),
        ("skitai.mount('/lb', '@up')", r"mount point '/lb/': .*skitai\.alias\('@up'"),
        (
            "skitai.mount('/lb', '@db'); skitai.alias('@db', skitai.DB_SQLITE3, ':memory:')",
            "mount point '/lb/': alias '@db' is a database",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1', role='x'); skitai.mount('/', '@up')",
            "alias '@up' asks for the role 'x', .* set securekey of the preference",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1'); skitai.mount('/', '@up', pref)\n"
            "pref.config.PROXY_TIMEOUT = 0",
            r"pref\.config\.PROXY_TIMEOUT must be a number of seconds, e\.g\. 60, not 0",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1'); skitai.mount('/', '@up', pref)\n"
            "pref.config.PROXY_KEEP_HOST = 'yes'",
            r"pref\.config\.PROXY_KEEP_HOST must be True or False, not 'yes'",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1'); skitai.mount('/', '@up', pref)\n"
            "pref.config.MAX_UPLOAD_SIZE = -1",
            r"pref\.config\.MAX_UPLOAD_SIZE must be a number of bytes, not -1",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1'); skitai.mount('/', '@up', pref)\n"
            "pref.config.PROXY_TIME_OUT = 5",
            r"pref\.config\.PROXY_TIME_OUT is unknown: did you mean 'PROXY_TIMEOUT'",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1')\n"
            "for _ in 'ab': skitai.mount('/', '@up')",
            "both mounted at '/'",
        ),
        (
            "skitai.alias('@up', skitai.PROTO_HTTP, 'a:1'); skitai.mount('/', '@up', 'app')",
            "alias '@up' can't have an app name",
        ),
    ],
)
def test_what_is_wrong_with_a_mounted_alias_ends_the_start(tmp_path, lines, message):
    script = "import skitai\npref = skitai.preference()\n" + lines + "\nskitai.run(port=0)\n"
    write_files(tmp_path, {"serve.py": script})
    done = run_script(tmp_path)
    assert done.returncode == 2
    assert re.search(message, done.stderr, re.DOTALL), done.stderr
    assert "Traceback" not in done.stderr

"""The page that ``--devel`` shows for a crash: the exception, its frames and their source.

A crash inside of a template begins with the line of the template.
"""

from __future__ import annotations

import linecache
import os
import traceback
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atila.errors import HTTPError
    from skitai.wire.request import Request

CONTEXT_LINES = 3
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.3rem; font-weight: 600; margin: 0 } h2 { font-size: 1rem; margin: 1.5rem 0 .3rem }
.what { font-size: 1.1rem; color: #a11; overflow-wrap: anywhere; white-space: pre-wrap }
pre { background: #f4f4f2; padding: .6rem 0; margin: .2rem 0; overflow-x: auto; border-radius: 6px;
  font: 13px/1.5 ui-monospace, monospace }
pre span { display: block; padding: 0 .8rem } pre .here { background: #fde3df }
.place { color: #666; overflow-wrap: anywhere } summary { cursor: pointer }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 }
  pre { background: #242424 } pre .here { background: #532c28 } .what { color: #ff9c8f }
  .place { color: #999 } }
"""


def render_debug_page(error: HTTPError, exc: BaseException, request: Request) -> str:
    """A page with the exception, the frames innermost first, and the request's headers."""
    summary = traceback.TracebackException.from_exception(exc)
    headline = "".join(summary.format_exception_only()).strip()
    stack = list(reversed(summary.stack))
    templates = _template_lines(exc)
    # Whoever writes a template looks for its line, not for what it called.
    first = next((frame for frame in stack if (frame.filename, frame.lineno) in templates), None)
    if first is not None:
        stack.remove(first)
        stack.insert(0, first)
    frames = "".join(
        _render_frame(frame, (frame.filename, frame.lineno) in templates) for frame in stack
    )
    chain = escape("".join(summary.format()))
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{error.code} {escape(headline[:80])}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head>
<body>
<h1>{error.code} {escape(error.reason)} at {escape(request.method)} {escape(request.path)}</h1>
<p class="what">{escape(headline)}</p>
{frames}
<h2>Request</h2>
<pre><span>{escape(f"{request.method} {request.target} HTTP/{request.version}")}
{escape(headers)}</span></pre>
<details><summary>Traceback as text</summary><pre><span>{chain}</span></pre></details>
<p class="place">You see this page because the service runs with --devel.</p>
</body>
</html>
"""


def _template_lines(exc: BaseException) -> set[tuple[str, int | None]]:
    """Where templates are among the frames: Jinja2 puts them in place of its compiled code."""
    return {
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(exc.__traceback__)
        if "__jinja_exception__" in frame.f_globals
    }


def _render_frame(frame: traceback.FrameSummary, is_template: bool) -> str:
    line_number = frame.lineno or 0
    first = max(1, line_number - CONTEXT_LINES)
    lines = []
    for number in range(first, line_number + CONTEXT_LINES + 1):
        text = linecache.getline(frame.filename, number)
        if text:
            mark = ' class="here"' if number == line_number else ""
            lines.append(f"<span{mark}>{number:>5}  {escape(text.rstrip()) or ' '}</span>")
    place = f"{frame.filename}, line {line_number}"
    name = f"Template {os.path.basename(frame.filename)}" if is_template else frame.name
    return (
        f'<h2>{escape(name)} <span class="place">{escape(place)}</span></h2>'
        f"<pre>{''.join(lines)}</pre>"
    )

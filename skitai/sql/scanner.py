"""SQL text of an app: where its strings, quoted names and comments are, and its commas."""

from __future__ import annotations

import re

from skitai.sql.errors import SqlError

_OPENING = re.compile(r"(?<![\w$])[eE]'|'|\"|`|--|/\*|(?<![\w$])\$(?:[^\W\d]\w*)?\$")
_CLOSING = {
    "'": re.compile(r"(?:[^']|'')*'"),
    "e'": re.compile(r"(?:[^'\\]|''|\\.)*'", re.DOTALL),
    '"': re.compile(r'(?:[^"]|"")*"'),
    "`": re.compile(r"(?:[^`]|``)*`"),
    "--": re.compile(r"[^\n]*"),
}
_COMMENT = re.compile(r"/\*|\*/")
_PUNCTUATION = re.compile(r"[(),]")


def inert_spans(text: str) -> list[tuple[int, int]]:
    """Beginnings and ends of strings, quoted names and comments (PostgreSQL 15, 4.1).

    Comments nest, as in PostgreSQL. Raises ``SqlError`` when one is not closed.
    """
    spans = []
    at = 0
    while opening := _OPENING.search(text, at):
        at = _end_of(text, opening)
        spans.append((opening.start(), at))
    return spans


def _end_of(text: str, opening: re.Match[str]) -> int:
    mark = opening[0].lower()
    if mark == "/*":
        depth, end = 1, opening.end()
        while depth and (match := _COMMENT.search(text, end)):
            depth += 1 if match[0] == "/*" else -1
            end = match.end()
        if not depth:
            return end
    elif mark in _CLOSING:
        if closing := _CLOSING[mark].match(text, opening.end()):
            return closing.end()
    else:
        end = text.find(opening[0], opening.end())
        if end >= 0:
            return end + len(mark)
    raise SqlError(f"{opening[0]} is opened and not closed in the text {text!r}")


def trimmed(text: str) -> str:
    """A statement without blanks and semicolons around it, so that others can stand beside it."""
    text = text.strip().rstrip("; \t\r\n")
    last_line = text[text.rfind("\n") + 1 :]
    return f"{text}\n" if "--" in last_line else text


def blank(text: str) -> str:
    """The text with blanks in place of strings, quoted names and comments; of the same length."""
    parts = []
    at = 0
    for start, end in inert_spans(text):
        parts += [text[at:start], " " * (end - start)]
        at = end
    return "".join(parts) + text[at:]


def split_list(text: str) -> list[str]:
    """The parts between the commas of a text that are not inside parentheses or strings."""
    if "," not in text:
        return [text]
    parts = []
    depth = start = 0
    for match in _PUNCTUATION.finditer(blank(text)):
        if match[0] == ",":
            if depth == 0:
                parts.append(text[start : match.start()])
                start = match.end()
        else:
            depth += 1 if match[0] == "(" else -1
    return [*parts, text[start:]]

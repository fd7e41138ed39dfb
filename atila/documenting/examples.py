"""Which of the recorded requests become examples in a document, and how they look there.

``report`` asks for each method of a resource.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]

MAX_SUCCESSES = 2
MAX_TEXT = 80  # characters of a value; longer ones are cut
_BREAK = "  "
_NO_BODY = ("GET", "DELETE")


def endpoint_of(record: Record) -> str:
    """The path of a request with the placeholders of its route in it."""
    path: str = record["url"].partition("?")[0]
    rule: str = record["spec"]["routeopt"]["route"]
    found = _matcher(rule).fullmatch(path)
    return found.group(1) + rule if found else path


@lru_cache(maxsize=1024)
def _matcher(rule: str) -> re.Pattern[str]:
    """Matches paths that end with what a rule stands for; the first group is what is before it."""
    source = ""
    for piece in re.split(r"(<[^>]*>)", rule):
        if piece.startswith("<path:"):
            source += ".*"
        else:
            source += "[^/]+" if piece.startswith("<") else re.escape(piece)
    return re.compile(f"(.*?){source}")


def choose_examples(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """The first successes, at most two, and all errors, without those that say the same again."""
    successes: list[Record] = []
    errors: list[Record] = []
    for record in records:
        chosen = errors if _status(record) >= 400 else successes
        if not any(_is_same(record, other) for other in chosen):
            chosen.append(record)
    return successes[:MAX_SUCCESSES], errors


def render_example(record: Record) -> list[str]:
    """The lines of one example."""
    request, response = record["request"], record["response"]
    lines = [f"> **_URL_**: `{record['url']}`{_BREAK}"]
    if request["type"]:
        lines += [f"> **_Request Data_** ({request['type']}){_BREAK}", "", *_fence(request["data"])]
    lines.append(f"> **_Response_**: `{response['status']}`{_BREAK}")
    lines += [f"> **_Response Data_** ({response['type']}){_BREAK}", "", *_fence(response["data"])]
    return lines


def _status(record: Record) -> int:
    return int(record["response"]["status"].partition(" ")[0])


def _is_same(one: Record, other: Record) -> bool:
    """Whether an example would show nothing that another doesn't."""
    if one["response"]["status"] != other["response"]["status"]:
        return False
    if one["method"] in _NO_BODY:
        return bool(one["url"] == other["url"])
    sent, sent_before = one["request"]["data"], other["request"]["data"]
    if sent is not None and sent == sent_before:
        return True
    same_answer = bool(one["response"]["data"] == other["response"]["data"])
    return same_answer and _keys(sent) == _keys(sent_before)


def _keys(data: Any) -> Any:
    return set(data) if isinstance(data, dict) else type(data)


def _fence(data: Any) -> list[str]:
    text = json.dumps(shortened(data), indent=2, ensure_ascii=False)
    return ["```json", *text.split("\n"), "```", ""]


def shortened(value: Any) -> Any:
    """The same data with its long texts cut."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return value[: MAX_TEXT - 3] + "..."
    return value

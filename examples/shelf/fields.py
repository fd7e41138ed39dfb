"""The fields of a book and their rules: no database, no web in here. guards.py calls it."""

from __future__ import annotations

from typing import Any

STATUSES = {"wanted": "Want to read", "reading": "Reading", "finished": "Finished"}
DEFAULTS = {
    "title": "",
    "author": "",
    "year": None,
    "status": "wanted",
    "rating": 0,
    "notes": "",
}
LONGEST = {"title": 200, "author": 120, "notes": 4000}  # characters


class BadField(ValueError):
    """A field that can't be stored. The message names the field and what it may be."""


def clean(given: dict[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """Return the given fields ready to store, with text from forms turned into numbers.

    Parameters:
        given: what a client sent, by field name.
        whole: True for a complete book, missing fields get their defaults; False for a change
            of some fields. Default: True.

    Raises ``BadField`` for an unknown field or a value against the rules.
    """
    unknown = [name for name in given if name not in DEFAULTS]
    if unknown:
        raise BadField(f"a book has no field {unknown[0]!r}, only {', '.join(DEFAULTS)}")
    fields = {**DEFAULTS, **given} if whole else dict(given)
    return {name: _RULES[name](name, value) for name, value in fields.items()}


def clean_status(status: object) -> str:
    """Return the status if it is one of ``STATUSES``; raises ``BadField`` otherwise."""
    if not isinstance(status, str) or status not in STATUSES:
        raise BadField(f"status is one of {', '.join(STATUSES)}, not {status!r}")
    return status


def _line(name: str, value: object) -> str:
    text = " ".join(_text(name, value).split())
    if not text:
        raise BadField(f"{name} must not be empty")
    return text


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadField(f"{name} must be text")
    if len(value) > LONGEST[name]:
        raise BadField(f"{name} has at most {LONGEST[name]} characters")
    return value.replace("\r\n", "\n").strip()


def _status(_name: str, value: object) -> str:
    return clean_status(value)


def _year(name: str, value: object) -> int | None:
    return None if value in (None, "") else _whole_number(name, value, -3000, 2200)


def _rating(name: str, value: object) -> int:
    return _whole_number(name, value, 0, 5)


def _whole_number(name: str, value: object, low: int, high: int) -> int:
    fault = BadField(f"{name} must be a whole number from {low} to {high}")
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise fault
    try:
        number = int(value)
    except ValueError:
        raise fault from None
    if not low <= number <= high:
        raise fault
    return number


_RULES = {
    "title": _line,
    "author": _line,
    "year": _year,
    "status": _status,
    "rating": _rating,
    "notes": _text,
}

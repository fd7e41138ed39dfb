"""What a resource asks of its parameters, as lists in Markdown. ``report`` writes them."""

from __future__ import annotations

from typing import Any

# Options of ``@app.inspect`` that name parameters, and what they say of each.
_OF_NAMES = {
    "required": "required",
    "nones": "may be empty",
    "ints": "int",
    "floats": "float",
    "strings": "str",
    "booleans": "bool",
    "lists": "list",
    "dicts": "dict",
    "ranges": "range",
    "emails": "email",
    "uuids": "uuid",
    "safes": "safe text",
    "notags": "text without tags",
}
_GROUPS = {"oneof": "one of these is required", "manyof": "one of these is required"}


def parameter_list(names: list[str], defaults: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    """One line for each parameter that isn't in the path: whether it must be there.

    Parameters:
        names: of the function's parameters.
        defaults: name to default.
        rules: what ``@app.inspect`` asks of them.
    """
    required = rules.get("required", ())
    lines = []
    for name in [*names, *(name for name in required if name not in names)]:
        if name in required or name not in defaults:
            lines.append(f"  - {name} (*required*)")
        elif defaults[name] is None:
            lines.append(f"  - {name} (*optional*)")
        else:
            lines.append(f"  - {name} (*optional, default: {defaults[name]}*)")
    return lines


def requirement_list(rules: dict[str, Any]) -> list[str]:
    """One line for each parameter with all its rules.

    Parameters:
        rules: options of ``@app.inspect`` to names or text.
    """
    found: dict[str, list[str]] = {}
    for option, value in rules.items():
        if option in _GROUPS:
            found.setdefault(" | ".join(value), []).append(_GROUPS[option])
        elif isinstance(value, list):
            for name in value:
                found.setdefault(name, []).append(_OF_NAMES.get(option, option))
        else:
            name, rule = _rule_of(option)
            found.setdefault(name, []).append(f"{rule} {value}".strip())
    return [
        f"  - {name}: {', '.join(f'`{rule}`' for rule in told)}" for name, told in found.items()
    ]


def _rule_of(option: str) -> tuple[str, str]:
    """Parameter and operator of a keyword: ``name__len__gte`` is ``name`` and ``len gte``."""
    whole, _, rest = option.partition("__")
    while rest.startswith("_"):  # name___key: a member of the value
        key, _, rest = rest[1:].partition("__")
        whole += f".{key}"
    return whole, rest.replace("__", " ")

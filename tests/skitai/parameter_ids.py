"""Names of parametrized tests, the same in every process, so that several can share the work."""

from __future__ import annotations

import re


def by_repr(value):
    """How a value looks, without the addresses of objects."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))

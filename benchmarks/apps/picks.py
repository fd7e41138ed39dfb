"""Which rows of the table `item` are asked for; the same in all contenders."""

from __future__ import annotations

QUERIES, ROWS, STRIDE = 20, 10_000, 499


def keys(number: int) -> list[int]:
    """Return 20 different keys, far from each other, that follow from one."""
    return [(number + step * STRIDE) % ROWS + 1 for step in range(QUERIES)]

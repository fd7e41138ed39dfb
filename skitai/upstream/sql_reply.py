"""``SqlReply``: what a SQL database answered; made by the drivers of PostgreSQL and SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.tasks.reply import Reply

if TYPE_CHECKING:
    from skitai.sql.rows import Row


class SqlReply(Reply):
    """The rows of the last statement that ran.

    Parameters:
        data: a list, empty when nothing was found; None for a statement that has no rows at all.
        rowcount: how many rows it found, inserted, changed or deleted; -1 where that means nothing.
    """

    __slots__ = ("rowcount",)

    def __init__(self, data: list[Row] | None, rowcount: int) -> None:
        super().__init__(data)
        self.rowcount = rowcount

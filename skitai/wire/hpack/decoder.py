"""Decoding header blocks of HTTP/2 (RFC 7541), within bounds that no peer can pass.

``http2.py`` owns one decoder per connection.
"""

from __future__ import annotations

from collections import deque

from skitai.wire.hpack.strings import STATIC_TABLE, CompressionFault, decode_number, decode_string

TABLE_SIZE = 4096  # bytes of the dynamic table; the default of the protocol
FIELD_OVERHEAD = 32  # what a field counts beside its text (RFC 7541, 4.1)
_FIRST_DYNAMIC = len(STATIC_TABLE) + 1
_TOO_MUCH = 4

Field = tuple[str, str]


class HeaderDecoder:
    """Turns header blocks into fields, and keeps the dynamic table that they build.

    Parameters:
        max_size: bytes of all fields of a block, as SETTINGS_MAX_HEADER_LIST_SIZE counts them.

    Attributes:
        changes: how often the table has changed. While it stays the same, so does what a block
            means.
        size: bytes of the fields of the last block.
    """

    __slots__ = ("_capacity", "_entries", "_max_size", "_table_size", "changes", "size")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._entries: deque[Field] = deque()  # the newest first
        self._table_size = 0
        self._capacity = TABLE_SIZE
        self.changes = 0
        self.size = 0

    def decode(self, block: bytes) -> list[Field] | None:
        """The fields of a block; None if they are larger than allowed.

        Raises ``CompressionFault`` for a block that is none, or far too large.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise CompressionFault("a header block is cut off, or refers to nothing") from None

    def _decode(self, block: bytes) -> list[Field] | None:
        fields: list[Field] = []
        append = fields.append
        room = self._max_size
        at, end = self._resize(block), len(block)
        while at < end:
            byte = block[at]
            at += 1
            if byte & 0x80:
                index = byte & 0x7F
                if index == 0x7F:
                    index, at = decode_number(block, at, 0x7F)
                field = self._field(index)
            else:
                prefix = 0x3F if byte & 0x40 else 0x0F
                if byte & 0x60 == 0x20:
                    raise CompressionFault("the table changes its size within a header block")
                index = byte & prefix
                if index == prefix:
                    index, at = decode_number(block, at, prefix)
                if index:
                    name = self._field(index)[0]
                else:
                    name, at = decode_string(block, at)
                value, at = decode_string(block, at)
                field = (name, value)
                if byte & 0x40:
                    self._add(field)
            room -= len(field[0]) + len(field[1]) + FIELD_OVERHEAD
            if room >= 0:
                append(field)
            elif room < -_TOO_MUCH * self._max_size:
                # One byte may stand for a field of 4 KB: decoding that only costs time.
                raise CompressionFault("the header fields are far too large")
        self.size = self._max_size - room
        return fields if room >= 0 else None

    def _field(self, index: int) -> Field:
        if index >= _FIRST_DYNAMIC:
            return self._entries[index - _FIRST_DYNAMIC]
        if index == 0:
            raise CompressionFault("a header block refers to the index 0")
        return STATIC_TABLE[index - 1]

    def _resize(self, block: bytes) -> int:
        """Obey updates of the table size, which may only stand in front (RFC 7541, 4.2)."""
        at = 0
        for _ in range(2):
            if at >= len(block) or block[at] & 0xE0 != 0x20:
                break
            capacity = block[at] & 0x1F
            at += 1
            if capacity == 0x1F:
                capacity, at = decode_number(block, at, 0x1F)
            if capacity > TABLE_SIZE:
                raise CompressionFault("the table can't be that large")
            self._capacity = capacity
            self.changes += 1
            self._evict(0)
        return at

    def _add(self, field: Field) -> None:
        size = len(field[0]) + len(field[1]) + FIELD_OVERHEAD
        self.changes += 1
        self._evict(size)
        if size <= self._capacity:
            self._entries.appendleft(field)
            self._table_size += size

    def _evict(self, wanted: int) -> None:
        """Make room for an entry of that size (RFC 7541, 4.4)."""
        entries = self._entries
        while entries and self._table_size + wanted > self._capacity:
            name, value = entries.pop()
            self._table_size -= len(name) + len(value) + FIELD_OVERHEAD
            self.changes += 1

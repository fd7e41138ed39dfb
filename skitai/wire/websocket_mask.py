"""Takes the mask off what a WebSocket client sends (RFC 6455, 5.3)."""

from __future__ import annotations

_LONG = 1024  # bytes from where on four translations are faster than one big number
_TABLES: list[bytes] = []


def unmask_in_python(data: bytes, mask: bytes) -> bytes:
    """Combine data with a mask of four bytes, over and over."""
    size = len(data)
    if size < _LONG:
        repeated = (mask * ((size + 3) >> 2))[:size]
        number = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
        return number.to_bytes(size, "little")
    if not _TABLES:
        _TABLES.extend(bytes(byte ^ key for byte in range(256)) for key in range(256))
    out = bytearray(size)
    for start in range(4):
        out[start::4] = data[start::4].translate(_TABLES[mask[start]])
    return bytes(out)


unmask = unmask_in_python

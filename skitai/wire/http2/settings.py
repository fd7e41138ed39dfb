"""Settings of HTTP/2 (RFC 9113, 6.5), as a frame and as the header of an upgrade."""

from __future__ import annotations

import base64
import re

from skitai.wire.http2 import frames
from skitai.wire.http2.frames import ConnectionFault

_BASE64 = re.compile(r"[A-Za-z0-9_-]*={0,2}")


def read_settings(payload: bytes) -> dict[int, int]:
    """The settings in a SETTINGS frame; unknown ones are among them.

    Raises ``ConnectionFault`` for values that can't be.
    """
    if len(payload) % 6:
        raise ConnectionFault(frames.FRAME_SIZE_ERROR, "settings have 6 bytes each")
    settings: dict[int, int] = dict(frames.iter_settings(payload))
    if settings.get(frames.ENABLE_PUSH, 0) > 1:
        raise ConnectionFault(frames.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is 0 or 1")
    if settings.get(frames.INITIAL_WINDOW_SIZE, 0) > frames.MAX_WINDOW:
        raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "the initial window is too large")
    size = settings.get(frames.FRAME_SIZE, frames.MIN_FRAME_SIZE)
    if not frames.MIN_FRAME_SIZE <= size <= frames.MAX_FRAME_SIZE:
        raise ConnectionFault(frames.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of range")
    return settings


def read_upgrade_settings(text: str | None) -> dict[int, int] | None:
    """The settings in an HTTP2-Settings header (RFC 7540, 3.2.1); None if it is missing or wrong.

    A repeated header comes joined by a comma, which is wrong, too.
    """
    if text is None or not _BASE64.fullmatch(text):
        return None
    bare = text.rstrip("=")
    try:
        return read_settings(base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)))
    except (ValueError, ConnectionFault):
        return None

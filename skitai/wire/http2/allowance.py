"""What an HTTP/2 client may send that costs it nothing and the server work.

Frames such as PING, SETTINGS and PRIORITY, and streams that are reset before they are answered
(CVE-2023-44487, CVE-2025-8671), are counted against an allowance that fills up again with time.
"""

from __future__ import annotations

from skitai.wire.http2.frames import ENHANCE_YOUR_CALM, ConnectionFault

# At once, and at each call of `refill`, which is twice a second.
FRAMES_AT_ONCE, FRAMES_REFILL = 1000, 500
RESETS_AT_ONCE, RESETS_REFILL = 200, 25
FRAMES_OF_REQUEST = 4


class Allowance:
    """What one client has left; ``ConnectionFault`` ENHANCE_YOUR_CALM when that is nothing.

    Attributes:
        frames: of them; every request brings ``FRAMES_OF_REQUEST`` more.
    """

    __slots__ = ("_resets", "frames")

    def __init__(self) -> None:
        self.frames = FRAMES_AT_ONCE
        self._resets = RESETS_AT_ONCE

    def refill(self) -> None:
        """Some time has passed."""
        self.frames = min(self.frames + FRAMES_REFILL, FRAMES_AT_ONCE)
        self._resets = min(self._resets + RESETS_REFILL, RESETS_AT_ONCE)

    def spend(self, cost: int = 1) -> None:
        """A frame asked for work and carried nothing."""
        self.frames -= cost
        if self.frames < 0:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that do nothing")

    def spend_reset(self) -> None:
        """A stream was reset, by the client or for what it did."""
        self._resets -= 1
        if self._resets < 0:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many streams are reset")

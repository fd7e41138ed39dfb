"""How far a task came (seed, Map / Load-Balancing); public as ``skitai.STA_NORMAL`` and so on."""

from __future__ import annotations

STA_REQFAIL = -1  # it could not be issued: unknown command, bad arguments
STA_UNSENT = 0  # not finished, or cancelled before it was sent
STA_TIMEOUT = 1  # the deadline passed
STA_NETERR = 2  # the connection could not be made or broke
STA_NORMAL = 3  # the upstream answered, if only with an error

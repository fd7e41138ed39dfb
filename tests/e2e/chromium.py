"""The headless Chromium of the browser tests: that of the test client's driver."""

from __future__ import annotations

from skitai.testing.chromium import Chromium as Chromium
from skitai.testing.chromium import find_chromium as find_chromium

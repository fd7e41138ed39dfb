"""Apps of other frameworks hosted by skitai; `HOSTED` in the environment names the module."""

from __future__ import annotations

import importlib
import os

import skitai

app = importlib.import_module(f"benchmarks.apps.{os.environ['HOSTED']}").app

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(address="127.0.0.1", access_log=False)

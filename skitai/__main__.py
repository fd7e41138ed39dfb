"""``python -m skitai``: the console command, also where its script is not on the path."""

from __future__ import annotations

from skitai.commands.console import main

if __name__ == "__main__":
    raise SystemExit(main())

"""The one command of the benchmark: `python benchmarks/run.py --help`.

As a script it sees its own folder first; it puts the repository there and hands over.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the benchmark with the command line's options; return the exit code."""
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from benchmarks.command import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

"""The ``quantlib`` command: ``quantlib ...`` or ``python -m quantlib ...``."""

import sys

from ._quantlib import run_command


def main() -> int:
    """Run the command with this process's arguments; returns the exit code."""
    return run_command(["quantlib", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

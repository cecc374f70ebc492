"""The ``quantlib`` command: ``quantlib ...`` or ``python -m quantlib ...``."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from ._quantlib import run_command


def main() -> int:
    """Run the command with this process's arguments; returns the exit code."""
    _point_to_onnxruntime()
    return run_command(["quantlib", *sys.argv[1:]])


def _point_to_onnxruntime() -> None:
    """Let the command find the library of this environment's package, which it may run models with."""
    package = find_spec("onnxruntime")
    if "ORT_DYLIB_PATH" in os.environ or package is None or package.origin is None:
        return
    capi = Path(package.origin).parent / "capi"
    names = ("libonnxruntime.so*", "onnxruntime.dll", "libonnxruntime*.dylib")
    found = sorted(path for name in names for path in capi.glob(name))
    if found:
        os.environ["ORT_DYLIB_PATH"] = str(found[-1])


if __name__ == "__main__":
    sys.exit(main())

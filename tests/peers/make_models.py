#!/usr/bin/env python3
"""Writes the small random models of hf_models/ as Hugging Face folders.

    make_models.py OUTDIR [GROUP...]

GROUP is a module of hf_models/; without any, all are written.
"""

import sys
from pathlib import Path

from hf_models import GROUPS


def main():
    out, *groups = sys.argv[1:]
    for group in groups or GROUPS:
        for name, (write, pre) in GROUPS[group].items():
            folder = Path(out) / name
            folder.mkdir(parents=True)
            write(folder)
            if pre:
                (Path(out) / f"{name}.pre").write_text(pre)


if __name__ == "__main__":
    main()

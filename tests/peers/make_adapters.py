#!/usr/bin/env python3
"""Writes the small random adapters of hf_adapters.py as PEFT folders.

    make_adapters.py OUTDIR MODELS

MODELS is the folder in which make_models.py wrote the models that they are for.
"""

import sys
from pathlib import Path

from hf_adapters import write_all

if __name__ == "__main__":
    write_all(Path(sys.argv[1]), Path(sys.argv[2]))

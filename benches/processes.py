"""Processes that are measured, and others for what must not be done in the one that measures."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor


def timed(command):
    """Wall seconds and peak memory in MiB (ru_maxrss, which counts mapped pages) of a process."""
    # Nobody waits for what was written before.
    os.sync()
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{command}: exit status {status}\n{errors.decode(errors='replace')[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def apart(function, *arguments):
    """Calls in a process of its own: those that are measured begin with the memory of the one that starts them."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()

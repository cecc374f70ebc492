"""Arrays in Python: quantlib against gguf-py's numpy code, MLX, and its own C function.

    python benches/arrays.py [--quick]

needs the quantlib package, gguf, mlx, and a release build of quantlib-ffi; `make bench` sees to them. Prints
Markdown. Results are compared before their times count; everything runs with one thread.
"""

import argparse
import ctypes
import statistics
import time
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
from gguf.quants import dequantize as gguf_dequantize
from gguf.quants import quantize as gguf_quantize

import quantlib as ql

ROOT = Path(__file__).resolve().parents[1]
TYPICAL = ["q4_0", "q8_0", "q4_k", "q6_k"]


def in_turn(engines, rounds):
    """Seconds of each engine in each round."""
    times = [[] for _ in engines]
    for _ in range(rounds):
        for engine, seconds in zip(engines, times):
            start = time.perf_counter()
            engine()
            seconds.append(time.perf_counter() - start)
    return times


def ratio(theirs, ours):
    """The median of the ratios of each round, and half the distance between their quartiles."""
    ratios = sorted(a / b for a, b in zip(theirs, ours))
    middle = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f}× ±{50 * (high - low) / middle:.0f}%"


def against_gguf(names, rounds):
    x = np.random.default_rng(1).standard_normal((64, 4096), dtype=np.float32)
    print("\n| gguf-py | encode, M elements/s | quantlib | decode, M elements/s | quantlib |")
    print("|---|---:|---:|---:|---:|")
    for name in names:
        dtype = gguf.GGMLQuantizationType[name.upper()]
        data = ql.quantize(x, name, np.ones(4096, np.float32), threads=1).data
        cells = []
        try:
            expected = gguf_quantize(x, dtype)
        except NotImplementedError:
            cells += ["–", "–"]
        else:
            same = np.array_equal(expected, ql.quantize(x, name, threads=1).data)
            times = in_turn([lambda: gguf_quantize(x, dtype), lambda: ql.quantize(x, name, threads=1)], rounds)
            cells += [f"{x.size / statistics.median(times[0]) / 1e6:.1f}"]
            cells += [ratio(*times) + ("" if same else ", other bytes")]
        ours = lambda: ql.dequantize(data, name, x.shape, threads=1)
        if not np.array_equal(gguf_dequantize(data, dtype), ours()):
            raise SystemExit(f"{name}: gguf-py decodes something else")
        times = in_turn([lambda: gguf_dequantize(data, dtype), ours], rounds)
        cells += [f"{x.size / statistics.median(times[0]) / 1e6:.1f}", ratio(*times)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def against_mlx(bits, rounds):
    mx.set_default_device(mx.cpu)
    x = np.random.default_rng(1).standard_normal((1024, 4096), dtype=np.float32)
    theirs = mx.array(x)
    print("\n| MLX, groups of 64 | encode, M elements/s | quantlib | decode, M elements/s | quantlib |")
    print("|---|---:|---:|---:|---:|")
    for count in bits:
        planes = mx.quantize(theirs, group_size=64, bits=count)
        ours = ql.quantize_affine(x, count, 64, layout="mlx", threads=1)
        for a, b in zip(planes, (ours.codes, ours.scales, ours.biases)):
            if not np.array_equal(np.array(a), b):
                raise SystemExit(f"{count} bits: not MLX's planes")
        encoders = [
            lambda: mx.eval(mx.quantize(theirs, group_size=64, bits=count)),
            lambda: ql.quantize_affine(x, count, 64, layout="mlx", threads=1),
        ]
        decoders = [
            lambda: mx.eval(mx.dequantize(*planes, group_size=64, bits=count)),
            lambda: ours.dequantize(threads=1),
        ]
        encode, decode = in_turn(encoders, rounds), in_turn(decoders, rounds)
        speed = lambda times: f"{x.size / statistics.median(times[0]) / 1e6:.1f}"
        print(f"| {count} bits | {speed(encode)} | {ratio(*encode)} | {speed(decode)} | {ratio(*decode)} |", flush=True)


def c_library():
    library = ctypes.CDLL(str(ROOT / "target" / "release" / "libquantlib_ffi.so"))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.ql_quantize.argtypes = [ctypes.c_uint32, pointer, size, size, pointer, pointer, size, pointer]
    return library


class Options(ctypes.Structure):
    """The first version of ql_options, which a struct_size of 0 stands for."""

    _fields_ = [("struct_size", ctypes.c_size_t), ("threads", ctypes.c_uint32), ("rest", ctypes.c_uint32 * 9)]


def against_c(names, rounds):
    """64 MiB of floats: what Python adds to the call."""
    library, options = c_library(), Options(threads=1)
    x = np.random.default_rng(1).standard_normal((4096, 4096), dtype=np.float32)
    print("\n| 64 MiB array | C, ms | time of Python's `ql.quantize` |")
    print("|---|---:|---:|")
    for name in names:
        number = next(dtype.ggml_id for dtype in ql.types() if dtype == name)
        size = ql.quantize(x, name).data.nbytes

        def call():
            out = np.empty(size, np.uint8)
            status = library.ql_quantize(
                number, x.ctypes.data, *x.shape, None, out.ctypes.data, size, ctypes.byref(options)
            )
            assert status == 0
            return out

        assert np.array_equal(call(), ql.quantize(x, name, threads=1).data.ravel())
        times = in_turn([call, lambda: ql.quantize(x, name, threads=1)], rounds)
        print(f"| {name} | {1e3 * statistics.median(times[0]):.1f} | {ratio(times[1], times[0])} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few types, less often")
    quick = parser.parse_args().quick
    known = {dtype.name.lower() for dtype in gguf.quants._type_traits}
    every = [dtype.name for dtype in ql.types() if dtype.name in known and dtype.is_quantized]
    against_gguf(TYPICAL if quick else every, 5 if quick else 11)
    against_mlx([4] if quick else [2, 3, 4, 5, 6, 8], 5 if quick else 11)
    against_c(TYPICAL, 5 if quick else 21)


if __name__ == "__main__":
    main()

"""Planar encoders beside MLX and onnxruntime in one process: results compared, then timed.

    python benches/affine.py [MEGABYTES]

Needs quantlib (a release build: QUANTLIB_PROFILE=release scripts/build-python), mlx[cpu] and
onnxruntime. One thread each, as far as the peer can be told: MLX's CPU quantizer has one, onnxruntime's
takes what it finds, so run this under `taskset -c 0`. Prints medians.
"""

import statistics
import sys
import time

import mlx.core as mx
import numpy as np
from onnxruntime.capi import _pybind_state as native

import quantlib as ql


def median(call, repeat=5):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def mlx_peer(x, **options):
    array = mx.array(x)
    mx.eval(array)

    def quantize():
        planes = mx.quantize(array, **options)
        mx.eval(planes)
        return planes

    return lambda: np.array(quantize()[0]), quantize


def onnxruntime_peer(x, bits, block):
    run = {4: native.quantize_matmul_4bits, 8: native.quantize_matmul_8bits}[bits]
    rows, cols = x.shape
    weight = np.ascontiguousarray(x.T)
    codes = np.zeros((rows, cols // block, block * bits // 8), np.uint8)
    scales = np.zeros((rows, cols // block), x.dtype)
    zeros = np.zeros((rows, -(-cols // block * bits // 8)), np.uint8)

    def quantize():
        run(codes, weight, scales, zeros, block, rows, cols, False)
        return codes

    return quantize, quantize


def cases(x):
    for bits in [2, 3, 4, 5, 6, 8]:
        yield f"mlx {bits} bits, 64", mlx_peer(x, bits=bits, group_size=64), dict(bits=bits, group_size=64)
    for mode, group in [("mxfp4", 32), ("mxfp8", 32), ("nvfp4", 16)]:
        yield f"mlx {mode}", mlx_peer(x, mode=mode, group_size=group), dict(layout=mode)
    for bits in [4, 8]:
        options = dict(bits=bits, group_size=32, layout="matmulnbits")
        yield f"MatMulNBits {bits} bits, 32", onnxruntime_peer(x, bits, 32), options


def main():
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    x = np.random.default_rng(0).standard_normal((megabytes * 64, 4096), dtype=np.float32)
    gigabytes = x.nbytes / 1e9
    copy = median(lambda: x.copy())
    print(f"{ql.build_info()['profile']}, {ql.build_info().get('isa')}; copy {gigabytes / copy:.1f} GB/s")
    print("| | ours GB/s | ratio to the peer | decode GB/s |\n|---|---|---|---|")
    for name, (result, timed), options in cases(x):
        q = ql.quantize_affine(x, threads=1, **options)
        assert np.array_equal(q.codes, result()), name
        ours = median(lambda options=options: ql.quantize_affine(x, threads=1, **options))
        theirs = median(timed, 3)
        decode = median(lambda q=q: q.dequantize(threads=1))
        print(f"| {name} | {gigabytes / ours:.2f} | {theirs / ours:.1f} | {gigabytes / decode:.2f} |")


if __name__ == "__main__":
    main()

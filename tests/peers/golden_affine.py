"""Writes tests/data/golden/affine: hashes of what MLX, onnxruntime and NNCF make of the same arrays.

    python tests/peers/golden_affine.py

Needs numpy, ml_dtypes and the peers whose files are to be written: mlx[cpu], onnxruntime, nncf.
quantlib-codecs/tests/affine.rs makes the same arrays and compares.
"""

import hashlib
import importlib.metadata
import itertools
import json
from pathlib import Path

import ml_dtypes
import numpy as np

GOLDEN = Path(__file__).parent.parent / "data/golden/affine"
TYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
SETS = ["uniform", "wide", "degenerate", "halves", "offset", "tiny"]


def splitmix(x):
    """A hash of 64-bit integers."""
    x = x.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def array(name, rows, cols):
    """An array that needs no random numbers, so that any language can make it."""
    seed = SETS.index(name) << 32
    bits = splitmix(np.arange(rows * cols) + seed).reshape(rows, cols)
    unit = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    row = np.arange(rows)[:, None]
    exponent = (splitmix(row + seed + (1 << 31)) >> np.uint64(59)).astype(np.float32)
    if name == "uniform":
        return unit
    if name == "wide":
        return unit * np.exp2(exponent - 20)
    if name == "degenerate":
        choices = [unit * 0, np.broadcast_to(unit[:, :1], unit.shape), -np.abs(unit), np.abs(unit)]
        return np.choose(row % 4, choices).astype(np.float32)
    if name == "halves":
        return ((bits >> np.uint64(59)).astype(np.float32) - 16) / 2
    if name == "offset":
        return unit + np.float32(1000)
    return unit * np.exp2(-100 - exponent)


def arrays(source, rows=24, cols=384):
    for name in SETS:
        with np.errstate(under="ignore"):
            yield array(name, rows, cols).astype(TYPES[source])


def sha256(results):
    """Of planes, one tensor after the other."""
    digest = hashlib.sha256()
    for planes in results:
        for plane in planes:
            digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def case(results, source, shape, **wish):
    """One entry: what to ask for, and the hash over all arrays."""
    return {**wish, "source": source, "shape": shape, "sha256": sha256(results)}


def pack(codes, bits):
    """A stream of bits, the lowest first."""
    codes = np.ascontiguousarray(codes).view(np.uint8 if bits <= 8 else np.uint16)
    if bits >= 8:
        return codes
    stream = (codes.ravel()[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(stream.ravel(), bitorder="little")


def mlx_cases():
    import mlx.core as mx

    types = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}

    def planes(x, source, **options):
        quantized = mx.quantize(mx.array(x.astype(np.float32)).astype(types[source]), **options)
        floats = [np.array(plane.astype(mx.float32)).astype(TYPES[source]) for plane in quantized[1:]]
        scales = floats if len(floats) == 2 else [np.array(quantized[1])]
        return [np.array(quantized[0]), *scales]

    for source, bits, group in itertools.product(TYPES, [1, 2, 3, 4, 5, 6, 8], [32, 64, 128]):
        results = (planes(x, source, bits=bits, group_size=group) for x in arrays(source))
        yield case(results, source, [24, 384], layout="mlx", bits=bits, group_size=group)
    modes = [("mxfp4", None), ("mxfp8", None), ("nvfp4", None), ("nvfp4", 1.0), ("nvfp4", 0.0123), ("nvfp4", 1001.0)]
    for source, (mode, scale) in itertools.product(TYPES, modes):
        # MLX's exponents below -127 wrap around, which nobody wants.
        usable = [x for name, x in zip(SETS, arrays(source), strict=True) if name != "tiny"]
        group = 16 if mode == "nvfp4" else 32
        shared = {} if scale is None else {"global_scale": mx.array(scale)}
        results = (planes(x, source, mode=mode, group_size=group, **shared) for x in usable)
        asked = {} if scale is None else {"global_scale": scale}
        yield case(results, source, [24, 384], layout=mode, bits=8 if mode == "mxfp8" else 4, **asked)


def onnxruntime_cases():
    yield from matmulnbits_cases()
    yield from bnb4_cases()
    yield from blocked_cases()
    yield from static_cases()


def matmulnbits_cases():
    from onnxruntime.capi import _pybind_state as native

    quantize = {
        2: native.quantize_matmul_2bits,
        4: native.quantize_matmul_4bits,
        8: native.quantize_matmul_8bits,
    }

    def planes(x, bits, block, symmetric):
        rows, cols = x.shape
        blocks = -(-cols // block)
        weight = np.pad(np.ascontiguousarray(x.T), ((0, blocks * block - cols), (0, 0)))
        codes = np.zeros((rows, blocks, block * bits // 8), np.uint8)
        scales = np.zeros((rows, blocks), x.dtype)
        zeros = np.zeros((rows, -(-blocks * bits // 8)), np.uint8)
        quantize[bits](codes, weight, scales, zeros, block, rows, cols, symmetric)
        return [codes, scales] if symmetric else [codes, scales, zeros]

    widths = [384, 70, 33]
    for source, cols, bits in itertools.product(["f32", "f16"], widths, [2, 4, 8]):
        for block, symmetric in itertools.product([16, 32, 64, 128], [False, True]):
            results = (planes(x, bits, block, symmetric) for x in arrays(source, cols=cols))
            yield case(
                results,
                source,
                [24, cols],
                layout="matmulnbits",
                bits=bits,
                group_size=block,
                symmetric=symmetric,
            )


def bnb4_cases():
    """bitsandbytes' types: groups of all elements in their order, whatever the rows."""
    from onnxruntime.capi import _pybind_state as native

    def planes(x, kind, block):
        rows, cols = x.shape
        codes = np.zeros(-(-rows * cols // 2), np.uint8)
        scales = np.zeros(-(-rows * cols // block), x.dtype)
        native.quantize_matmul_bnb4(codes, x, scales, block, kind, rows, cols)
        return [codes, scales]

    shapes = [[24, 384], [7, 33], [24, 70]]
    for source, shape, kind in itertools.product(["f32", "f16"], shapes, [0, 1]):
        for block in [16, 32, 64, 128, 256]:
            results = (planes(x, kind, block) for x in arrays(source, *shape))
            yield case(results, source, shape, layout=["fp4", "nf4"][kind], bits=4, group_size=block)


def blocked_cases():
    """Blocks along axis 0, by the weight-only tool."""
    from onnxruntime.capi import _pybind_state as native

    # Its sibling for 2 bits writes past the ends of its arrays; the tool uses this one only.
    bits, quantize = 4, native.quantize_qdq_matmul_4bits

    def planes(x, block, symmetric):
        rows, cols = x.shape
        blocks = -(-rows // block)
        codes = np.zeros(-(-rows * cols // 2), np.uint8)
        scales = np.zeros((blocks, cols), x.dtype)
        zeros = np.zeros(-(-blocks * cols // 2), np.uint8)
        quantize(codes, x, scales, zeros, block, cols, rows, symmetric)
        return [codes, scales] if symmetric else [codes, scales, zeros]

    for source, shape in itertools.product(["f32", "f16"], [[384, 24], [70, 33], [33, 7]]):
        for block, symmetric in itertools.product([16, 32, 64, 128], [False, True]):
            results = (planes(x, block, symmetric) for x in arrays(source, *shape))
            yield case(
                results,
                source,
                shape,
                layout="qdq",
                bits=bits,
                group_size=block,
                axis=0,
                symmetric=symmetric,
            )


def static_cases():
    """One scale for the tensor or an axis, and blocks of 8 bits, by the static tool."""
    from onnx import TensorProto
    from onnxruntime.quantization import quant_utils

    types = {
        (4, False): TensorProto.UINT4,
        (4, True): TensorProto.INT4,
        (8, False): TensorProto.UINT8,
        (8, True): TensorProto.INT8,
        (16, False): TensorProto.UINT16,
        (16, True): TensorProto.INT16,
    }

    def quantize(x, kind, symmetric):
        zero, scale, codes = quant_utils.quantize_data(x, kind, symmetric)
        return np.asarray(codes), np.asarray(scale), np.asarray(zero)

    def planes(x, bits, axis, symmetric):
        kind = types[bits, symmetric]
        if axis is None:
            codes, scales, zeros = quantize(x, kind, symmetric)
        else:
            parts = [quantize(row, kind, symmetric) for row in np.moveaxis(x, axis, 0)]
            codes, scales, zeros = (np.stack(plane) for plane in zip(*parts, strict=True))
            codes = np.moveaxis(codes, 0, axis)
        return result(codes, scales, zeros, bits, symmetric)

    def blocked(x, bits, axis, block, symmetric):
        kind = types[bits, symmetric]
        zeros, scales = quant_utils.compute_scale_zp_blocked(x, kind, axis, block, symmetric)
        spread = (np.repeat(plane, block, axis) for plane in (scales, zeros))
        cut = [plane.take(range(x.shape[axis]), axis) for plane in spread]
        codes = quant_utils.quantize_nparray(kind, x, *cut)
        return result(codes, scales, zeros, bits, symmetric)

    def result(codes, scales, zeros, bits, symmetric):
        planes = [pack(codes, bits), scales]
        return planes if symmetric else [*planes, pack(zeros, bits)]

    for source, bits, symmetric in itertools.product(["f32", "f16"], [4, 8, 16], [False, True]):
        for axis in [None, 0, 1]:
            shape = [25, 33]
            results = (planes(x, bits, axis, symmetric) for x in arrays(source, *shape))
            yield case(
                results,
                source,
                shape,
                layout="qdq",
                bits=bits,
                group_size=None,
                axis=axis,
                symmetric=symmetric,
            )
    for source, symmetric, axis in itertools.product(["f32", "f16"], [False, True], [0, 1]):
        results = (blocked(x, 8, axis, 32, symmetric) for x in arrays(source, 70, 33))
        yield case(
            results,
            source,
            [70, 33],
            layout="qdq",
            bits=8,
            group_size=32,
            axis=axis,
            symmetric=symmetric,
        )


def nncf_cases():
    from nncf import CompressWeightsMode
    from nncf.quantization.algorithms.weight_compression import weight_lowering
    from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig
    from nncf.tensor import Tensor

    modes = {
        (8, False): CompressWeightsMode.INT8_ASYM,
        (8, True): CompressWeightsMode.INT8_SYM,
        (4, False): CompressWeightsMode.INT4_ASYM,
        (4, True): CompressWeightsMode.INT4_SYM,
    }

    def planes(x, bits, group, symmetric):
        config = WeightCompressionConfig(modes[bits, symmetric], group or -1)
        quantized = weight_lowering.do_integer_quantization(Tensor(x), config, (1,))
        zeros = [] if symmetric else [pack(quantized.zero_point.data.astype(np.uint8), bits)]
        scales = quantized.scale.data.astype(np.float16)
        return [pack(quantized.tensor.data, bits), scales, *zeros]

    for source, bits, symmetric in itertools.product(["f32", "f16"], [4, 8], [False, True]):
        for group in [None, 32, 64, 128]:
            results = (planes(x, bits, group, symmetric) for x in arrays(source))
            yield case(
                results,
                source,
                [24, 384],
                layout="openvino",
                bits=bits,
                group_size=group,
                axis=-1 if group else 0,
                symmetric=symmetric,
            )


    yield from nncf_float_cases()


def nncf_float_cases():
    from nncf import CompressWeightsMode
    from nncf.quantization.algorithms.weight_compression import weight_lowering
    from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig
    from nncf.tensor import Tensor

    # Ours: the mode, and the type of scales in a model.
    modes = {
        "nf4": (CompressWeightsMode.NF4, np.float16),
        "fp4": (CompressWeightsMode.FP4, np.float16),
        "fp8": (CompressWeightsMode.FP8_E4M3, np.float16),
        "mxfp4": (CompressWeightsMode.MXFP4, ml_dtypes.float8_e8m0fnu),
        "mxfp8": (CompressWeightsMode.MXFP8_E4M3, ml_dtypes.float8_e8m0fnu),
    }
    e2m1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 9, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
    tables = {"nf4": weight_lowering.NF4_QUANTILES, "fp4": e2m1, "mxfp4": e2m1}

    def planes(x, mode, group):
        kind, scale = modes[mode]
        config = WeightCompressionConfig(kind, group or -1)
        quantized = weight_lowering.do_float_quantization(Tensor(x), config, (1,))
        values = np.asarray(quantized.tensor.data, np.float32)
        scales = np.asarray(quantized.scale.data).astype(scale)
        if mode not in tables:
            return [values.astype(ml_dtypes.float8_e4m3fn), scales]
        # Zeros have a sign in one path of NNCF's, and none in the other; here they have none.
        order = np.argsort(tables[mode])
        codes = order[np.searchsorted(tables[mode][order], values + np.float32(0))]
        assert (tables[mode][codes] == values).all()
        return [pack(codes.astype(np.uint8), 4), scales]

    for source, mode in itertools.product(["f32", "f16"], modes):
        for group in [32] if mode.startswith("mx") else [None, 32, 64, 128]:
            results = (planes(x, mode, group) for x in arrays(source))
            yield case(
                results,
                source,
                [24, 384],
                layout=f"openvino-{mode}",
                bits=8 if mode.endswith("8") else 4,
                group_size=group,
                axis=-1 if group else 0,
            )


def write(peer, cases):
    try:
        version = importlib.metadata.version(peer)
    except importlib.metadata.PackageNotFoundError:
        print(f"{peer} is not installed: its file stays as it is")
        return
    defaults = {"group_size": None, "axis": -1, "symmetric": False}
    entries = [defaults | entry for entry in cases()]
    GOLDEN.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("    " + json.dumps(entry) for entry in entries)
    text = f'{{\n  "{peer}": "{version}",\n  "cases": [\n{lines}\n  ]\n}}\n'
    (GOLDEN / f"{peer}.json").write_text(text)
    print(f"{peer} {version}: {len(entries)} cases")


if __name__ == "__main__":
    write("mlx", mlx_cases)
    write("onnxruntime", onnxruntime_cases)
    write("nncf", nncf_cases)

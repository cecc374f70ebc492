"""Planar formats that onnxruntime reads: its own quantizers' bytes, and what its kernels decode."""

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import _pybind_state as native
from onnxruntime.quantization import calibrate, quant_utils

import quantlib as ql

MATMUL = {
    2: native.quantize_matmul_2bits,
    4: native.quantize_matmul_4bits,
    8: native.quantize_matmul_8bits,
}
ELEMENT = {
    (4, False): TensorProto.UINT4,
    (4, True): TensorProto.INT4,
    (8, False): TensorProto.UINT8,
    (8, True): TensorProto.INT8,
    (16, False): TensorProto.UINT16,
    (16, True): TensorProto.INT16,
}


def weights(rng, shape, dtype):
    """Normal rows, rows of zeros, of one sign, and of small numbers."""
    x = rng.standard_normal(shape)
    x[1], x[2] = 0, np.abs(x[2])
    x[3] *= 1e-5
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("cols", [256, 70, 33])
def test_matmulnbits_equals_onnxruntime(rng, dtype, bits, block, symmetric, cols):
    x = weights(rng, (20, cols), dtype)
    blocks = -(-cols // block)
    codes = np.zeros((20, blocks, block * bits // 8), np.uint8)
    scales = np.zeros((20, blocks), dtype)
    zeros = np.zeros((20, -(-blocks * bits // 8)), np.uint8)
    padded = np.pad(np.ascontiguousarray(x.T), ((0, blocks * block - cols), (0, 0)))
    MATMUL[bits](codes, padded, scales, zeros, block, 20, cols, symmetric)
    q = ql.quantize_affine(x, bits, block, symmetric=symmetric, layout="matmulnbits")
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.scales, scales)
    if symmetric:
        assert q.zero_points is None
    else:
        np.testing.assert_array_equal(q.zero_points, zeros)


def run(node, initializers, inputs, output, opset=21, domains=()):
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in inputs.items()
        ],
        [helper.make_tensor_value_info("y", output, None)],
        initializers,
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def tensor(name, array):
    return onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("cols", [256, 70])
def test_matmulnbits_kernel_multiplies_what_we_decode(rng, bits, symmetric, cols):
    x = weights(rng, (20, cols), "float32")
    q = ql.quantize_affine(x, bits, 32, symmetric=symmetric, layout="matmulnbits")
    planes = [tensor("b", q.codes), tensor("s", q.scales)]
    if not symmetric:
        planes.append(tensor("z", q.zero_points))
    node = helper.make_node(
        "MatMulNBits",
        ["a", *(plane.name for plane in planes)],
        ["y"],
        domain="com.microsoft",
        K=cols,
        N=20,
        bits=bits,
        block_size=32,
    )
    a = np.eye(cols, dtype=np.float32)
    y = run(node, planes, {"a": a}, TensorProto.FLOAT, domains=["com.microsoft"])
    np.testing.assert_allclose(y.T, q.dequantize(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("group_size", "axis"), [(None, None), (None, 0), (None, 1), (32, 0), (32, 1)]
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_dequantize_linear_decodes_what_we_decode(rng, bits, symmetric, group_size, axis, dtype):
    x = weights(rng, (70, 33), dtype)
    q = ql.quantize_affine(x, bits, group_size, axis, symmetric, layout="qdq")
    kind = ELEMENT[bits, symmetric]
    initializers = [
        helper.make_tensor("x", kind, x.shape, q.codes.tobytes(), raw=True),
        tensor("s", q.scales),
    ]
    if not symmetric:
        initializers.append(
            helper.make_tensor("z", kind, q.scales.shape, q.zero_points.tobytes(), raw=True)
        )
    attributes = {} if axis is None else {"axis": axis, "block_size": group_size or 0}
    names = [i.name for i in initializers]
    node = helper.make_node("DequantizeLinear", names, ["y"], **attributes)
    output = helper.np_dtype_to_tensor_dtype(x.dtype)
    y = run(node, initializers, {}, output)
    np.testing.assert_array_equal(y, q.dequantize(dtype))


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_equals_the_static_tool(rng, bits, symmetric, axis, dtype):
    x = weights(rng, (24, 40), dtype)
    rows = [x] if axis is None else list(np.moveaxis(x, axis, 0))
    parts = [quant_utils.quantize_data(row, ELEMENT[bits, symmetric], symmetric) for row in rows]
    codes = np.stack([np.asarray(codes) for _, _, codes in parts])
    codes = codes[0] if axis is None else np.moveaxis(codes, 0, axis)
    scales = np.array([scale for _, scale, _ in parts])
    q = ql.quantize_affine(x, bits, None, axis, symmetric, layout="qdq")
    assert q.scales.dtype == x.dtype
    np.testing.assert_array_equal(q.scales.ravel(), scales)
    if bits == 4:
        kind = ml_dtypes.int4 if symmetric else ml_dtypes.uint4
        nibbles = np.stack([q.codes & 15, q.codes >> 4], axis=1).reshape(x.shape)
        wide = codes.astype(kind).view(np.uint8) & 15
        np.testing.assert_array_equal(nibbles, wide)
    else:
        np.testing.assert_array_equal(q.codes, codes)
        if not symmetric:
            zeros = np.array([zero for zero, _, _ in parts])
            np.testing.assert_array_equal(q.zero_points.ravel(), zeros)


def calibrated(x, method, symmetric, bins, percentile=99.9):
    collector = calibrate.HistogramCollector(method, symmetric, bins, 128, percentile, "same")
    collector.collect({"x": x})
    low, high, *_ = collector.compute_collection_result()["x"]
    return low, high


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("method", ["percentile", "entropy"])
@pytest.mark.parametrize("skewed", [False, True])
def test_ranges_equal_onnxruntimes_calibration(rng, symmetric, method, skewed):
    x = rng.standard_t(3, (64, 200)).astype(np.float32)
    x = np.abs(x) + np.float32(0.5) if skewed else x
    low, high = calibrated(x, method, symmetric, 2048)
    bits = quant_utils.get_qmin_qmax_for_qType(ELEMENT[8, symmetric], symmetric=symmetric)
    zero, scale = quant_utils.compute_scale_zp(low, high, *bits, symmetric)
    clip = 99.9 if method == "percentile" else method
    q = ql.quantize_affine(x, 8, None, None, symmetric, layout="qdq", clip=clip)
    assert scale < ql.quantize_affine(x, 8, None, None, symmetric, layout="qdq").scales
    assert q.scales == scale
    assert symmetric or q.zero_points == zero


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("kind", "name"), [(0, "fp4"), (1, "nf4")])
@pytest.mark.parametrize("block", [16, 64, 256])
@pytest.mark.parametrize("shape", [(20, 64), (9, 33)])
def test_bnb4_equals_onnxruntime(rng, dtype, kind, name, block, shape):
    x = weights(rng, shape, dtype)
    codes = np.zeros(-(-x.size // 2), np.uint8)
    scales = np.zeros(-(-x.size // block), dtype)
    native.quantize_matmul_bnb4(codes, x, scales, block, kind, *shape)
    q = ql.quantize_affine(x, group_size=block, layout=name)
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.scales, scales)
    again = ql.AffineTensor.from_planes(shape, codes, scales.astype(np.float32), group_size=block, layout=name)
    np.testing.assert_array_equal(again.dequantize(), q.dequantize())


@pytest.mark.parametrize("name", ["nf4", "fp4"])
def test_onnxruntime_decodes_bnb4(rng, name):
    """MatMulBnb4 with the identity gives the weight back."""
    weight = weights(rng, (32, 64), "float32")
    q = ql.quantize_affine(weight, group_size=32, layout=name)
    attributes = {"K": 64, "N": 32, "block_size": 32, "quant_type": int(name == "nf4")}
    node = helper.make_node("MatMulBnb4", ["x", "b", "s"], ["y"], domain="com.microsoft", **attributes)
    planes = [tensor("b", q.codes), tensor("s", q.scales)]
    identity = {"x": np.eye(64, dtype=np.float32)}
    got = run(node, planes, identity, onnx.TensorProto.FLOAT, domains=["com.microsoft"])
    np.testing.assert_array_equal(got.T, q.dequantize())


@pytest.mark.parametrize(("name", "kind"), [("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2")])
def test_fp8_is_the_nearest(rng, name, kind):
    x = weights(rng, (20, 60), "float32")
    kind = np.dtype(getattr(ml_dtypes, kind))
    q = ql.quantize_affine(x, group_size=20, layout=f"fp8-{name}")
    assert q.codes.dtype == np.uint8 and q.scales.shape == (20, 3)
    largest = np.abs(x.reshape(20, 3, 20)).max(2) / np.float32(ml_dtypes.finfo(kind).max)
    scales = np.maximum(largest, np.finfo(np.float32).eps)
    np.testing.assert_array_equal(q.scales, scales)
    codes = (x / scales.repeat(20, 1)).astype(kind)
    np.testing.assert_array_equal(q.codes.view(np.uint8), codes.view(np.uint8))
    np.testing.assert_array_equal(q.dequantize(), codes.astype(np.float32) * scales.repeat(20, 1))

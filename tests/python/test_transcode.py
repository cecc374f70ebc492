"""Transcoding: the clients of the target decode the very numbers that ggml decodes from the source."""

import gguf
import ml_dtypes
import mlx.core as mx
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gguf import GGMLQuantizationType as Type
from onnx import TensorProto, helper

import quantlib as ql

ROWS, COLS = 24, 256


def weights(rng):
    """Rows of several magnitudes, groups of zeros, and rows of one sign."""
    x = rng.standard_normal((ROWS, COLS), dtype=np.float32)
    x *= np.exp2(rng.integers(-9, 3, (ROWS, 1))).astype(np.float32)
    x[1, 32:96] = 0
    x[2], x[3] = np.abs(x[2]), -np.abs(x[3])
    return x


def of_ggml(q):
    """What gguf-py decodes."""
    kind = Type[q.dtype.upper()]
    return gguf.quants.dequantize(q.data, kind).reshape(q.shape)


def by_mlx(q, group_size=32):
    """What MLX decodes with scales in single precision, which its files need not have."""
    wide = [mx.array(np.asarray(plane, np.float32)) for plane in (q.scales, q.biases)]
    codes = mx.array(q.codes)
    return np.array(mx.dequantize(codes, *wide, group_size=group_size, bits=q.bits))


def run(node, planes, inputs):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "graph",
        [value(name, TensorProto.FLOAT, x.shape) for name, x in inputs.items()],
        [value("y", TensorProto.FLOAT, None)],
        planes,
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def initializer(name, array):
    return onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)


def by_matmulnbits(q, block):
    """What onnxruntime multiplies with: a product with each unit vector."""
    planes = [initializer("b", q.codes), initializer("s", q.scales)]
    if q.zero_points is not None:
        planes.append(initializer("z", q.zero_points))
    rows, cols = q.shape
    node = helper.make_node(
        "MatMulNBits",
        ["a", *(plane.name for plane in planes)],
        ["y"],
        domain="com.microsoft",
        K=cols,
        N=rows,
        bits=q.bits,
        block_size=block,
        accuracy_level=1,
    )
    return run(node, planes, {"a": np.eye(cols, dtype=np.float32)}).T


def by_dequantize_linear(q, block, axis):
    signed = q.zero_points is None
    kind = {
        (4, True): TensorProto.INT4,
        (4, False): TensorProto.UINT4,
        (8, True): TensorProto.INT8,
        (8, False): TensorProto.UINT8,
    }[q.bits, signed]

    def codes(name, array, shape):
        return helper.make_tensor(name, kind, shape, array.tobytes(), raw=True)

    planes = [codes("q", q.codes, q.shape), initializer("s", q.scales)]
    if not signed:
        planes.append(codes("z", q.zero_points, q.scales.shape))
    names = [plane.name for plane in planes]
    node = helper.make_node("DequantizeLinear", names, ["y"], axis=axis, block_size=block)
    return run(node, planes, {})


@pytest.mark.parametrize("dtype", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"])
def test_mlx_decodes_what_ggml_does(rng, dtype):
    q = ql.quantize(weights(rng), dtype)
    planes = ql.transcode(q, "mlx")
    assert planes.scales.dtype == planes.biases.dtype == np.float16
    np.testing.assert_array_equal(by_mlx(planes), of_ggml(q))
    back = ql.transcode(planes, dtype)
    np.testing.assert_array_equal(back.data, q.data)


@pytest.mark.parametrize("dtype", ["q4_k", "q5_k"])
def test_k_quants_fit_mlx_with_scales_of_f32(rng, dtype):
    q = ql.quantize(weights(rng), dtype)
    planes = ql.transcode(q, "mlx")
    assert planes.scales.dtype == np.float32
    np.testing.assert_array_equal(by_mlx(planes), of_ggml(q))
    with pytest.raises(ql.UnsupportedError, match="not exact in f16"):
        ql.transcode(q, "mlx", scale_dtype="float16")
    with pytest.raises(ql.UnsupportedError, match="one for 64"):
        ql.transcode(q, "mlx", group_size=64)


@pytest.mark.parametrize(("dtype", "mode", "group"), [("mxfp4", "mxfp4", 32), ("nvfp4", "nvfp4", 16)])
def test_mlx_modes_decode_what_ggml_does(rng, dtype, mode, group):
    q = ql.quantize(weights(rng), dtype)
    planes = ql.transcode(q, "mlx")
    assert planes.biases is None
    theirs = mx.dequantize(
        mx.array(planes.codes), mx.array(planes.scales), group_size=group, bits=4, mode=mode
    )
    decoded = np.array(theirs.astype(mx.float32))
    np.testing.assert_array_equal(decoded, of_ggml(q))
    # And what MLX itself quantized becomes ggml's blocks.
    codes, scales = mx.quantize(mx.array(weights(rng)), group_size=group, bits=4, mode=mode)
    shape = (ROWS, COLS)
    ours = ql.AffineTensor.from_planes(shape, np.array(codes), np.array(scales), layout=mode)
    blocks = ql.transcode(ours, dtype)
    decoded = mx.dequantize(codes, scales, group_size=group, bits=4, mode=mode)
    np.testing.assert_array_equal(of_ggml(blocks), np.array(decoded.astype(mx.float32)))
    again = ql.transcode(blocks, "mlx")
    np.testing.assert_array_equal(again.codes, np.array(codes))
    np.testing.assert_array_equal(again.scales, np.array(scales))


def test_gpt_oss_blocks_are_mlx_words(rng):
    """The table that transformers decodes gpt-oss with, on blocks of any bytes."""
    blocks = rng.integers(0, 256, (3, 8, 4, 16), dtype=np.uint8)
    scales = rng.integers(100, 140, (3, 8, 4), dtype=np.uint8)
    q = ql.AffineTensor.from_planes((3, 8, 128), blocks, scales, layout="gpt-oss")
    values = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    values = np.array(values + [-x for x in values], np.float32)
    pairs = np.stack([values[blocks & 15], values[blocks >> 4]], axis=-1)
    want = np.ldexp(pairs.reshape(3, 8, 4, 32), scales.astype(int)[..., None] - 127)
    want = want.reshape(3, 8, 128)
    np.testing.assert_array_equal(q.dequantize(), want)
    mlx = ql.transcode(q, "mlx")
    assert mlx.codes.tobytes() == blocks.tobytes() and mlx.scales.tobytes() == scales.tobytes()
    assert mlx.codes.shape == (3, 8, 16)
    ggml = ql.transcode(q, "mxfp4")
    np.testing.assert_array_equal(of_ggml(ggml), want)
    again = ql.transcode(ggml, "gpt-oss")
    np.testing.assert_array_equal(again.codes, blocks)
    np.testing.assert_array_equal(again.scales, scales)


@pytest.mark.parametrize("dtype", ["q4_0", "q8_0"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_onnxruntime_decodes_what_ggml_does(rng, dtype, symmetric):
    q = ql.quantize(weights(rng), dtype)
    want = of_ggml(q)
    ort_weights = ql.transcode(q, "matmulnbits", symmetric=symmetric, scale_dtype="float32")
    assert (ort_weights.zero_points is None) == symmetric
    np.testing.assert_array_equal(by_matmulnbits(ort_weights, 32), want)
    for axis in [1, 0]:
        qdq = ql.transcode(q, "qdq", symmetric=symmetric, axis=axis, scale_dtype="float32")
        assert qdq.shape == ((ROWS, COLS) if axis else (COLS, ROWS))
        decoded = by_dequantize_linear(qdq, 32, axis)
        np.testing.assert_array_equal(decoded if axis else decoded.T, want)
        np.testing.assert_array_equal(ql.transcode(qdq, dtype).data, q.data)
    np.testing.assert_array_equal(ql.transcode(ort_weights, dtype).data, q.data)


def test_onnxruntimes_own_weights_become_blocks(rng):
    """Of half-precision scales, and with one scale for several of ggml's blocks."""
    x = weights(rng).astype(np.float16)
    for dtype, bits, block in [("q4_0", 4, 32), ("q4_0", 4, 128), ("q8_0", 8, 64)]:
        q = ql.quantize_affine(x, bits, block, symmetric=True, layout="matmulnbits")
        blocks = ql.transcode(q, dtype)
        np.testing.assert_array_equal(of_ggml(blocks), q.dequantize())
        again = ql.transcode(blocks, "matmulnbits", group_size=block)
        np.testing.assert_array_equal(again.codes, q.codes)
        np.testing.assert_array_equal(again.scales, q.scales)
    single = ql.quantize_affine(weights(rng) / 3, 4, 32, symmetric=True, layout="matmulnbits")
    with pytest.raises(ql.UnsupportedError, match=r"row \d+, columns \d+ to \d+: .*not exact in f16"):
        ql.transcode(single, "q4_0")


def test_planes_of_files(rng):
    x = weights(rng)
    for layout, dtype in [("mlx", "float32"), ("mlx", "bfloat16"), ("matmulnbits", "float16")]:
        x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        q = ql.quantize_affine(x, layout=layout)
        zeros = q.biases if layout == "mlx" else q.zero_points
        same = ql.AffineTensor.from_planes(q.shape, q.codes, q.scales, zeros, layout=layout)
        np.testing.assert_array_equal(same.dequantize(), q.dequantize())
        assert same.scales.dtype == q.scales.dtype
        with pytest.raises(ql.MisuseError, match="scales has"):
            ql.AffineTensor.from_planes(q.shape, q.codes, q.scales[1:], zeros, layout=layout)


def test_misuse(rng):
    q = ql.quantize(weights(rng), "q4_0")
    with pytest.raises(ql.MisuseError, match="no target of transcoding"):
        ql.transcode(q, "gguf")
    with pytest.raises(TypeError, match="QuantizedTensor or an AffineTensor"):
        ql.transcode(q.data, "mlx")
    with pytest.raises(ql.UnsupportedError, match="q4_k cannot be made"):
        ql.transcode(q, "q4_k")
    with pytest.raises(ql.UnsupportedError, match="is no grid"):
        ql.transcode(ql.quantize(weights(rng), "iq4_xs"), "mlx")

"""Planar formats: what the tools that own the layouts write, and what is refused."""

import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest

import quantlib as ql

FLOATS = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


def numpy_type(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def data_sets(rng):
    """Arrays of (16, 256), among them all that is known to be special."""
    shape = (16, 256)
    normal = rng.standard_normal(shape)
    rows = (shape[0], 1)
    degenerate = normal.copy()
    degenerate[:4] = 0
    degenerate[4:8] = degenerate[4:8, :1]
    degenerate[8:12] = -np.abs(degenerate[8:12])
    any_bits = rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    yield normal
    yield degenerate
    yield rng.standard_t(2, shape)
    yield normal * np.exp2(rng.integers(-149, -10, rows))
    yield normal * np.exp2(rng.integers(-60, 60, rows))
    yield rng.integers(-16, 16, shape) / 2
    yield 1000 + normal * np.exp2(rng.integers(-20, 5, rows))
    yield any_bits


def finite(x, dtype):
    with np.errstate(all="ignore"):
        x = x.astype(np.float32).astype(dtype)
    return np.where(np.isfinite(x.astype(np.float32)), x, dtype.type(0)).astype(dtype)


def as_float32(x):
    return np.array(x.astype(mx.float32))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_equals_mlx(rng, name, bits, group_size):
    for x in data_sets(rng):
        x = finite(x, numpy_type(name))
        ours = ql.quantize_affine(x, bits=bits, group_size=group_size)
        theirs = mx.array(x.astype(np.float32)).astype(FLOATS[name])
        codes, scales, biases = mx.quantize(theirs, group_size=group_size, bits=bits)
        assert ours.scales.dtype == ours.biases.dtype == x.dtype
        assert ours.zero_points is None
        np.testing.assert_array_equal(ours.codes, np.array(codes))
        np.testing.assert_array_equal(ours.scales.astype(np.float32), as_float32(scales))
        np.testing.assert_array_equal(ours.biases.astype(np.float32), as_float32(biases))
        if name == "float32":
            decoded = mx.dequantize(codes, scales, biases, group_size=group_size, bits=bits)
            np.testing.assert_array_equal(ours.dequantize(), np.array(decoded))


@pytest.mark.parametrize("name", FLOATS)
def test_equals_mlx_with_a_global_scale(rng, name):
    for factor in (1, 1, 1, 0.7, 1.3, 1e-3, 300):
        x = rng.standard_normal((64, 512)) * np.exp2(rng.integers(-8, 4, (64, 1)))
        x = finite(x, numpy_type(name))
        scale = np.float32(np.abs(x).max()) * np.float32(factor)
        ours = ql.quantize_affine(x, layout="nvfp4", global_scale=scale)
        shared = {"mode": "nvfp4", "global_scale": mx.array(scale)}
        codes, scales = mx.quantize(mx.array(x.astype(np.float32)).astype(FLOATS[name]), **shared)
        np.testing.assert_array_equal(ours.codes, np.array(codes))
        np.testing.assert_array_equal(ours.scales, np.array(scales))
        decoded = np.array(mx.dequantize(codes, scales, **shared, dtype=mx.float32))
        np.testing.assert_array_equal(ours.dequantize(), decoded)
        planes = np.array(codes), np.array(scales)
        again = ql.AffineTensor.from_planes(x.shape, *planes, layout="nvfp4", global_scale=scale)
        assert again.global_scale == ours.global_scale == scale
        np.testing.assert_array_equal(again.dequantize(), decoded)


def test_what_is_relative_to_a_global_scale_keeps_it(rng):
    q = ql.quantize_affine(rng.standard_normal((2, 64), dtype=np.float32), layout="nvfp4", global_scale=5)
    # 5/2688 times a scale has more digits than ggml's scales.
    with pytest.raises(ql.UnsupportedError, match="not exact"):
        ql.transcode(q, "nvfp4")
    # Here it is 1.
    q = ql.quantize_affine(rng.standard_normal((2, 64), dtype=np.float32), layout="nvfp4", global_scale=2688)
    assert np.array_equal(ql.transcode(q, "nvfp4").dequantize(), q.dequantize())


def test_threads_and_leading_dimensions_change_nothing(rng):
    x = rng.standard_normal((3, 70, 640), dtype=np.float32)
    one = ql.quantize_affine(x, bits=3, threads=1)
    many = ql.quantize_affine(x.reshape(210, 640), bits=3, threads=3)
    assert one.shape == x.shape and one.codes.shape == (3, 70, 60)
    assert one.nbytes == one.codes.nbytes + one.scales.nbytes + one.biases.nbytes
    for plane in ("codes", "scales", "biases"):
        assert getattr(one, plane).tobytes() == getattr(many, plane).tobytes()
    assert np.array_equal(one.dequantize(threads=1), many.dequantize(threads=2).reshape(x.shape))
    assert np.array_equal(np.asarray(one), one.dequantize())
    assert repr(one) == f"AffineTensor(bits=3, shape=(3, 70, 640), nbytes={one.nbytes})"


def test_scales_of_another_type(rng):
    x = rng.standard_normal((4, 64), dtype=np.float32)
    wide, narrow = ql.quantize_affine(x), ql.quantize_affine(x, scale_dtype="float16")
    assert np.array_equal(narrow.codes, wide.codes)
    assert np.array_equal(narrow.scales, wide.scales.astype(np.float16))
    assert narrow.dequantize("float16").dtype == np.float16


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"bits": 7}, "7"),
        ({"bits": 9}, "9 bits"),
        ({"group_size": 0}, "0 elements"),
        ({"group_size": 48}, "divide"),
        ({"group_size": None}, "groups"),
        ({"axis": 0}, "last axis"),
        ({"axis": 2}, "2 dimensions"),
        ({"symmetric": True}, "symmetric"),
        ({"scale_dtype": "int8"}, "int8"),
        ({"layout": "gguf"}, "mlx"),
        ({"global_scale": 1}, "only nvfp4"),
        ({"layout": "nvfp4", "global_scale": 0}, "global scale of 0"),
        ({"bits": 3, "layout": "matmulnbits"}, "2, 4 or 8"),
        ({"group_size": 48, "layout": "openvino"}, "divide"),
    ],
)
def test_refusals_say_what_is_wrong(arguments, says):
    with pytest.raises(ql.MisuseError, match=says):
        ql.quantize_affine(np.ones((2, 64), np.float32), **arguments)


def error(q, x, axis=None):
    return np.square(q.dequantize().astype(np.float64) - x).sum(axis)


@pytest.mark.parametrize("layout", ["mlx", "qdq", "openvino", "matmulnbits"])
def test_search_for_the_least_error_finds_less(rng, layout):
    x = rng.standard_t(3, (16, 256)).astype(np.float32)
    plain = ql.quantize_affine(x, 3 if layout == "mlx" else 4, layout=layout)
    best = ql.quantize_affine(x, plain.bits, layout=layout, clip="mse")
    assert error(best, x) < 0.97 * error(plain, x)


@pytest.mark.parametrize(("group_size", "axis"), [(None, None), (None, 0), (None, 1)])
def test_search_for_the_least_error_of_channels(rng, group_size, axis):
    x = rng.standard_t(3, (64, 256)).astype(np.float32)
    plain, best = (
        ql.quantize_affine(x, 4, group_size, axis, layout="qdq", clip=clip) for clip in (None, "mse")
    )
    # The whole range is one of the candidates: no channel gets worse, and together they get better.
    others = None if axis is None else 1 - axis
    assert (error(best, x, others) <= error(plain, x, others)).all()
    assert error(best, x) < 0.97 * error(plain, x)


def test_clipping_is_refused_where_it_means_nothing():
    x = np.ones((2, 64), np.float32)
    for wish, says in [("kl", "kl"), (101, "100"), (-1, "100"), (99.9, "groups"), ("entropy", "groups")]:
        with pytest.raises(ql.MisuseError, match=says):
            ql.quantize_affine(x, clip=wish)


def test_not_finite():
    x = np.ones((2, 64), np.float32)
    x[1, 3] = np.nan
    with pytest.raises(ql.MisuseError, match="element 67 is NaN"):
        ql.quantize_affine(x)
    assert ql.quantize_affine(x, non_finite="zero").dequantize()[1, 3] == 0

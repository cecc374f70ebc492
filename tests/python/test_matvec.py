"""Quantized matrices times vectors: shapes, types, and what is refused."""

import ml_dtypes
import numpy as np
import pytest
from conftest import BLOCK, PLAIN

import quantlib as ql


@pytest.mark.parametrize("dtype", BLOCK + PLAIN)
def test_products_are_those_of_the_decoded_matrix(weights, rng, dtype):
    q = ql.quantize(weights, dtype)
    x = rng.standard_normal(weights.shape[-1]).astype(np.float32)
    exact = q.dequantize().astype(np.float64) @ x.astype(np.float64)
    size = np.abs(q.dequantize()) @ np.abs(x)
    y = ql.matvec(q, x)
    assert y.dtype == np.float32 and y.shape == weights.shape[:-1]
    assert (np.abs(y - exact) <= 1e-6 * size).all()
    assert np.array_equal(q.matvec(x, threads=2), y)
    integers = ql.matvec_q8(q, x)
    # A step of 8 bits, of elements whose largest is four times the usual one.
    assert (np.abs(integers - exact) <= 0.02 * size).all()
    assert np.array_equal(q.matvec_q8(x, threads=2), integers)


def test_types_for_vectors_have_no_integer_product():
    q = ql.quantize(np.ones((2, 256), np.float32), "q8_k")
    x = np.ones(256, np.float32)
    assert np.allclose(ql.matvec(q, x), 256)
    with pytest.raises(ql.UnsupportedError, match="use matvec"):
        ql.matvec_q8(q, x)


def test_leading_dimensions_are_rows(weights, rng):
    x = rng.standard_normal(512).astype(np.float32)
    stack = ql.quantize(weights.reshape(2, 3, 512), "q4_k")
    flat = ql.quantize(weights, "q4_k")
    assert np.array_equal(ql.matvec(stack, x).reshape(-1), ql.matvec(flat, x))
    row = ql.quantize(weights[0], "q4_k")
    assert ql.matvec(row, x).shape == () and ql.matvec_q8(row, x).shape == ()


@pytest.mark.parametrize("element", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("multiply", [ql.matvec, ql.matvec_q8])
def test_16_bit_vectors_equal_their_widened_selves(weights, rng, element, multiply):
    q = ql.quantize(weights, "q6_k")
    x = rng.standard_normal(512).astype(element)
    assert np.array_equal(multiply(q, x), multiply(q, x.astype(np.float32)))
    assert np.array_equal(multiply(q, x[::-1]), multiply(q, x[::-1].astype(np.float32)))


@pytest.mark.parametrize("multiply", [ql.matvec, ql.matvec_q8])
def test_shapes_that_do_not_fit_are_refused(weights, multiply):
    q = ql.quantize(weights, "q8_0")
    for shape in [(511,), (1, 512), (512, 1), ()]:
        with pytest.raises(ql.MisuseError, match="512"):
            multiply(q, np.zeros(shape, np.float32))
    with pytest.raises(TypeError):
        multiply(q, np.zeros(512, np.int32))
    with pytest.raises(TypeError):
        multiply(weights, np.zeros(512, np.float32))


def test_what_is_not_finite_goes_on_or_is_refused(weights):
    q = ql.quantize(weights, "q8_0")
    x = np.ones(512, np.float32)
    x[3] = np.nan
    assert np.isnan(ql.matvec(q, x)).all()
    with pytest.raises(ql.MisuseError, match="element 3 of the vector is NaN"):
        ql.matvec_q8(q, x)

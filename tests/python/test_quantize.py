"""Encoding and decoding: what may go in, what comes out, what is refused."""

import pickle

import ml_dtypes
import numpy as np
import pytest
from conftest import BLOCK, PLAIN

import quantlib as ql


def rows(tensor):
    return tensor.data.tobytes()


@pytest.mark.parametrize("dtype", BLOCK + PLAIN)
def test_result_has_the_advertised_layout(weights, dtype):
    facts = ql.DType(dtype)
    q = ql.quantize(weights.reshape(2, 3, 512), dtype)
    row_bytes = 512 // facts.block_len * facts.block_bytes
    assert q.dtype == dtype
    assert q.shape == (2, 3, 512)
    assert q.data.shape == (2, 3, row_bytes)
    assert q.data.dtype == np.uint8
    assert q.data.flags.c_contiguous and q.data.flags.owndata and q.data.flags.writeable
    assert q.nbytes == q.data.nbytes == 6 * row_bytes


@pytest.mark.parametrize("dtype", BLOCK)
def test_round_trip_is_close_to_the_input(weights, dtype):
    decoded = ql.quantize(weights, dtype).dequantize()
    assert decoded.dtype == np.float32 and decoded.shape == weights.shape
    relative = np.linalg.norm(decoded - weights) / np.linalg.norm(weights)
    # An upper bound for normal data: half a step of the narrowest type's few levels.
    assert relative < 0.35 if ql.DType(dtype).precision == "ultra-low" else relative < 0.2


def test_plain_types_hold_exactly_what_numpy_rounds_to(weights):
    assert np.array_equal(ql.quantize(weights, "f32").dequantize(), weights)
    assert rows(ql.quantize(weights, "f16")) == weights.astype(np.float16).tobytes()
    assert rows(ql.quantize(weights, "bf16")) == weights.astype(ml_dtypes.bfloat16).tobytes()


@pytest.mark.parametrize("element", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_input_equals_its_widened_self(weights, element):
    narrow = weights.astype(element)
    wide = narrow.astype(np.float32)
    assert rows(ql.quantize(narrow, "q4_k")) == rows(ql.quantize(wide, "q4_k"))
    assert rows(ql.quantize(narrow[:, ::-1], "q4_k")) == rows(ql.quantize(wide[:, ::-1], "q4_k"))


def test_float64_is_rounded_to_float32(weights, rng):
    wide = weights.astype(np.float64) + rng.standard_normal(weights.shape) * 1e-9
    assert rows(ql.quantize(wide, "q8_0")) == rows(ql.quantize(wide.astype(np.float32), "q8_0"))


def strided(x):
    padded = np.zeros((x.shape[0] * 2, x.shape[1] * 3), x.dtype)
    padded[::2, ::3] = x
    return padded[::2, ::3]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return raw[1:].view(x.dtype).reshape(x.shape)


@pytest.mark.parametrize(
    "disguise",
    [
        np.asfortranarray,
        strided,
        read_only,
        misaligned,
        lambda x: np.ascontiguousarray(x[::-1])[::-1],
        lambda x: np.broadcast_to(x, (1, *x.shape))[0],
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: x.tolist(),
        lambda x: x.view(np.matrix),
    ],
    ids="fortran strided read_only misaligned reversed broadcast big_f4 big_f8 list subclass".split(),
)
def test_the_memory_layout_does_not_matter(weights, disguise):
    assert rows(ql.quantize(disguise(weights), "q5_k")) == rows(ql.quantize(weights, "q5_k"))


def test_big_endian_float16(weights):
    narrow = weights.astype(np.float16)
    assert rows(ql.quantize(narrow.astype(">f2"), "q8_0")) == rows(ql.quantize(narrow, "q8_0"))


def test_contiguous_input_is_not_copied_or_changed(weights):
    before = weights.copy()
    ql.quantize(weights, "q6_k")
    assert np.array_equal(weights, before)


@pytest.mark.parametrize("shape", [(0, 256), (3, 0), (2, 0, 256), (0,)])
def test_empty_arrays(shape):
    q = ql.quantize(np.zeros(shape, np.float32), "q4_k")
    assert q.shape == shape and q.nbytes == 0
    assert q.dequantize().shape == shape


def test_one_dimension():
    q = ql.quantize(np.ones(64, np.float32), "q8_0")
    assert q.shape == (64,) and q.data.shape == (68,)


@pytest.mark.parametrize("scalar", [np.float32(1), np.array(1, np.float32), 1.0])
def test_scalars_are_refused(scalar):
    with pytest.raises(ql.MisuseError, match="dimension"):
        ql.quantize(scalar, "q8_0")


@pytest.mark.parametrize(
    "element",
    [
        np.int32,
        np.uint8,
        np.bool_,
        np.complex64,
        np.longdouble,
        object,
        "S4",
        "M8[s]",
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.int4,
    ],
)
def test_other_elements_are_a_type_error(element):
    with pytest.raises(TypeError, match="float32"):
        ql.quantize(np.zeros((2, 256), element), "q4_k")


def test_lists_of_integers_are_a_type_error():
    with pytest.raises(TypeError):
        ql.quantize([[1] * 32], "q8_0")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: ql.quantize(x, "q9_k"), "q9_k"),
        (lambda x: ql.quantize(x[:, :100], "q4_k"), "256"),
        (lambda x: ql.quantize(x, "q4_k", threads=-1), "threads"),
        (lambda x: ql.quantize(x, "q4_k", non_finite="ignore"), "non_finite"),
        (lambda x: ql.quantize(x, "q4_k", np.ones(511, np.float32)), "importance"),
        (lambda x: ql.quantize(x, "q4_k", np.ones((4, 512), np.float32)), "importance"),
        (lambda x: ql.quantize(x, "q4_k", np.full(512, np.nan, np.float32)), "importance"),
        (lambda x: ql.dequantize(np.zeros(7, np.uint8), "q8_0"), "7"),
        (lambda x: ql.dequantize(np.zeros(34, np.uint8), "q8_0", (2, 32)), "68"),
        (lambda x: ql.quantize(x, "q8_0").dequantize("int8"), "int8"),
    ],
)
def test_misuse_says_what_is_wrong(weights, call, message):
    with pytest.raises(ql.MisuseError, match=message) as caught:
        call(weights)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, ql.Error)


def test_impossible_shapes_are_refused_before_allocation():
    with pytest.raises(ql.LimitError) as caught:
        ql.dequantize(np.zeros(34, np.uint8), "q8_0", (2**62, 32))
    assert isinstance(caught.value, MemoryError)
    with pytest.raises(ql.MisuseError):
        ql.dequantize(np.zeros(34, np.uint8), "q8_0", (2**40, 32))


def test_integer_types_have_no_codec(weights):
    with pytest.raises(ql.UnsupportedError) as caught:
        ql.quantize(weights, "i32")
    assert isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_located_or_zeroed(weights, bad):
    weights[4, 77] = bad
    with pytest.raises(ql.MisuseError, match="row 4, column 77"):
        ql.quantize(weights, "q4_k")
    zeroed = ql.quantize(weights, "q4_k", non_finite="zero")
    weights[4, 77] = 0
    assert rows(zeroed) == rows(ql.quantize(weights, "q4_k"))


def test_importance_changes_the_result_and_may_have_any_float_type(weights, rng):
    importance = rng.uniform(0.01, 10, 512).astype(np.float16)
    with_importance = rows(ql.quantize(weights, "q4_k", importance))
    assert with_importance != rows(ql.quantize(weights, "q4_k"))
    assert with_importance == rows(ql.quantize(weights, "q4_k", importance=importance.astype(float)))
    assert with_importance == rows(ql.quantize(weights, "q4_k", importance[None]))


def test_importance_of_experts(weights, rng):
    importance = rng.uniform(0.01, 10, (3, 512)).astype(np.float32)
    experts = weights.reshape(3, 2, 512)
    together = ql.quantize(experts, "q3_k", importance)
    for expert, weight, row in zip(experts, importance, together.data, strict=True):
        assert rows(ql.quantize(expert, "q3_k", weight)) == row.tobytes()


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_threads_do_not_change_the_bytes(rng, threads):
    x = rng.standard_normal((300, 512), dtype=np.float32)
    q = ql.quantize(x, "q8_0", threads=threads)
    assert rows(q) == rows(ql.quantize(x, "q8_0", threads=1))
    assert np.array_equal(q.dequantize(threads=threads), q.dequantize(threads=1))


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("count", [3, 5000])
def test_out_dtype(rng, name, count):
    q = ql.quantize(rng.standard_normal((count, 512), dtype=np.float32), "q6_k")
    element = np.dtype(getattr(ml_dtypes, name, None) or name)
    expected = q.dequantize().astype(element)
    for spelling in (name, element, element.type):
        decoded = q.dequantize(spelling)
        assert decoded.dtype == element and decoded.shape == q.shape
        assert decoded.tobytes() == expected.tobytes()


def test_dequantize_takes_bytes_and_arrays(weights):
    q = ql.quantize(weights, "q5_0")
    expected = q.dequantize()
    flat = q.data.reshape(-1)
    for data in (q.data, q.data.view(np.int8), flat, flat.tobytes(), memoryview(flat), bytearray(flat)):
        assert np.array_equal(ql.dequantize(data, "q5_0", (6, 512)), expected)
        assert np.array_equal(ql.dequantize(data, "Q5_0", [6, 512], out_dtype="float32"), expected)
    assert np.array_equal(ql.dequantize(q.data, "q5_0"), expected)
    assert np.array_equal(ql.dequantize(q.data[::2], "q5_0"), expected[::2])
    with pytest.raises(TypeError):
        ql.dequantize(weights, "q5_0")


def test_quantized_tensors_are_values(weights):
    q = ql.quantize(weights, "q4_1")
    again = ql.QuantizedTensor(q.data, q.dtype)
    assert again.shape == q.shape and rows(again) == rows(q)
    assert ql.QuantizedTensor(q.data.tobytes(), "q4_1", (3, 2, 512)).data.shape == (3, 2, 320)
    copy = pickle.loads(pickle.dumps(q))
    assert (copy.dtype, copy.shape, rows(copy)) == (q.dtype, q.shape, rows(q))
    assert repr(q) == "QuantizedTensor(dtype='q4_1', shape=(6, 512), nbytes=1920)"
    assert np.array_equal(np.asarray(q), q.dequantize())
    assert np.asarray(q, np.float64).dtype == np.float64
    with pytest.raises(ValueError):
        np.array(q, copy=False)
    with pytest.raises(AttributeError):
        q.dtype = "q8_0"


def test_types_are_strings_with_facts():
    names = ql.types()
    assert len(names) == len(set(names)) and "q4_k" in names
    q4_k = names[names.index("q4_k")]
    assert (q4_k.ggml_id, q4_k.block_len, q4_k.block_bytes) == (12, 256, 144)
    assert (q4_k.bits_per_weight, q4_k.precision, q4_k.is_quantized) == (4.5, "low", True)
    assert ql.DType("BF16") == "bf16" and not ql.DType("bf16").is_quantized
    assert ql.DType("u64").ggml_id is None and not ql.DType("u64").has_codec
    assert q4_k.has_codec
    assert pickle.loads(pickle.dumps(q4_k)).block_len == 256
    with pytest.raises(ql.MisuseError, match="q4_k"):
        ql.DType("int4")


def test_build_info_names_the_contract():
    info = ql.build_info()
    assert info["version"] == ql.__version__
    assert info["ggml"] and info["llama_cpp"].startswith("v")
    assert info["threads"] >= 1
    assert info["isa"] in {"scalar", "portable", "avx2", "avx512"}


@pytest.mark.parametrize(
    "name, base",
    [
        ("IoError", OSError),
        ("MalformedError", ValueError),
        ("MisuseError", ValueError),
        ("UnsupportedError", NotImplementedError),
        ("LimitError", MemoryError),
        ("Cancelled", Exception),
    ],
)
def test_exception_classes(name, base):
    kind = getattr(ql, name)
    assert issubclass(kind, ql.Error) and issubclass(kind, base)
    error = kind("what to do")
    error.tensor = "a"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind and str(copy) == "what to do"
    assert (copy.file, copy.tensor, copy.key) == (None, "a", None)

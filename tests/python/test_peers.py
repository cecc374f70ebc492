"""The same as other tools: gguf-py's decoders, its types."""

import gguf
import numpy as np
import pytest
from conftest import BLOCK

import quantlib as ql

# gguf-py decodes these; formats that it lacks have no peer here.
PEERS = sorted(t.name.lower() for t in gguf.quants._type_traits)


def ggml(name):
    return gguf.GGMLQuantizationType[name.upper()]


def test_every_block_type_has_a_peer():
    assert set(BLOCK) <= set(PEERS)


@pytest.mark.parametrize("name", sorted(t.name.lower() for t in gguf.GGMLQuantizationType))
def test_layout(name):
    dtype = ql.DType(name)
    assert dtype.ggml_id == ggml(name).value
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[ggml(name)]
    if name == "q8_1":
        # gguf-py still counts two floats, which ggml has made two halves.
        block_bytes -= 4
    assert (dtype.block_len, dtype.block_bytes) == (block_len, block_bytes)


@pytest.mark.parametrize("name", PEERS)
def test_decoding_equals_gguf_py(name, rng):
    """Any bytes are valid codes; only scales that are NaN or infinite are taken out."""
    dtype = ql.DType(name)
    data = rng.integers(0, 256, (64, 1024 // dtype.block_len * dtype.block_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(data, ggml(name)).astype(np.float32)
    finite = np.isfinite(expected).all(axis=1)
    assert finite.any() or dtype.block_bytes < 40, "no row is left to compare"
    decoded = ql.dequantize(data, name)
    assert decoded.shape == (64, 1024)
    assert np.array_equal(decoded[finite].view(np.uint32), expected[finite].view(np.uint32))


@pytest.mark.parametrize("name", PEERS)
def test_decoding_what_we_encoded_equals_gguf_py(name, weights):
    q = ql.quantize(weights, name, np.ones(512, np.float32))
    expected = gguf.quants.dequantize(q.data, ggml(name))
    assert np.array_equal(q.dequantize().view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"])
def test_encoding_equals_gguf_py(name, weights):
    assert np.array_equal(ql.quantize(weights, name).data, gguf.quants.quantize(weights, ggml(name)))

"""What several test files share."""

import numpy as np
import pytest

# Types with an encoder that needs no importance, and a decoder.
PLAIN = ["f32", "f16", "bf16"]
BLOCK = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]


@pytest.fixture
def rng():
    return np.random.default_rng(20250101)


@pytest.fixture
def weights(rng):
    """Rows that every type can hold: a multiple of 256 columns."""
    return rng.standard_normal((6, 512), dtype=np.float32)

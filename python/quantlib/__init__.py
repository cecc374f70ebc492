"""Quantize neural networks and convert model files, with the bytes that llama.cpp writes.

>>> import numpy as np, quantlib as ql
>>> weights = np.linspace(-1, 1, 512, dtype=np.float32).reshape(2, 256)
>>> q = ql.quantize(weights, "q8_0")
>>> q.data.shape
(2, 272)
>>> bool(np.abs(q.dequantize() - weights).max() < 0.01)
True
"""

from ._dtype import DType, types
from ._errors import (
    Cancelled,
    Error,
    IoError,
    LimitError,
    MalformedError,
    MisuseError,
    UnsupportedError,
)
from ._model import Metadata, Model, open
from ._quantlib import QuantizedTensor, Tensor, build_info, dequantize, quantize

__version__: str = build_info()["version"]

__all__ = [
    "Cancelled",
    "DType",
    "Error",
    "IoError",
    "LimitError",
    "MalformedError",
    "Metadata",
    "MisuseError",
    "Model",
    "QuantizedTensor",
    "Tensor",
    "UnsupportedError",
    "build_info",
    "dequantize",
    "open",
    "quantize",
    "types",
]

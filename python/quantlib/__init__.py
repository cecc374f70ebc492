"""Quantize neural networks and convert model files, with the bytes that llama.cpp writes.

>>> import numpy as np, quantlib as ql
>>> weights = np.linspace(-1, 1, 512, dtype=np.float32).reshape(2, 256)
>>> q = ql.quantize(weights, "q8_0")
>>> q.data.shape
(2, 272)
>>> bool(np.abs(q.dequantize() - weights).max() < 0.01)
True
"""

from ._calibrate import Calibration, calibrate
from ._compare import Comparison, compare
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
from ._importance import ImportanceMatrix, gguf_tensor_names
from ._job import convert_model, quantize_model
from ._model import Metadata, Model, open
from ._quantlib import (
    AffineTensor,
    GGUFWriter,
    QuantizedTensor,
    Tensor,
    build_info,
    dequantize,
    extract_tensor,
    matvec,
    matvec_q8,
    quantize,
    quantize_affine,
    save,
    transcode,
)
from ._report import Report
from ._rewrite import edit_metadata, merge, split

__version__: str = build_info()["version"]

__all__ = [
    "AffineTensor",
    "Calibration",
    "Cancelled",
    "Comparison",
    "DType",
    "Error",
    "GGUFWriter",
    "ImportanceMatrix",
    "IoError",
    "LimitError",
    "MalformedError",
    "Metadata",
    "MisuseError",
    "Model",
    "QuantizedTensor",
    "Report",
    "Tensor",
    "UnsupportedError",
    "build_info",
    "calibrate",
    "compare",
    "convert_model",
    "dequantize",
    "edit_metadata",
    "extract_tensor",
    "gguf_tensor_names",
    "matvec",
    "matvec_q8",
    "merge",
    "open",
    "quantize",
    "quantize_affine",
    "quantize_model",
    "save",
    "split",
    "transcode",
    "types",
]

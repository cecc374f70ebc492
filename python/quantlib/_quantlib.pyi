import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from typing_extensions import Buffer

from ._dtype import DType

__all__ = [
    "AffineTensor",
    "CalibrationStore",
    "GGUFWriter",
    "ImportanceStore",
    "ModelFile",
    "QuantizedTensor",
    "Tensor",
    "build_info",
    "compare",
    "convert_model",
    "dequantize",
    "edit_metadata",
    "extract_tensor",
    "load_ranges",
    "matvec",
    "matvec_q8",
    "merge_model",
    "quantize",
    "quantize_affine",
    "quantize_model",
    "read_ranges",
    "run_command",
    "save",
    "split_model",
    "tensor_names",
    "to_encodings",
    "transcode",
    "type_table",
]

# Tensors of other libraries are known by their `__dlpack__`, which `ArrayLike` does not cover.
_Floats: TypeAlias = ArrayLike | Any
_Path: TypeAlias = str | os.PathLike[str]

def type_table() -> list[tuple[str, int | None, int, int, str, bool]]: ...
def build_info() -> dict[str, Any]: ...
def quantize(
    x: _Floats,
    dtype: str,
    importance: _Floats | None = None,
    threads: int | None = None,
    *,
    non_finite: Literal["error", "zero"] = "error",
) -> QuantizedTensor: ...
def dequantize(
    data: NDArray[np.uint8] | Buffer,
    dtype: str,
    shape: Sequence[int] | None = None,
    threads: int | None = None,
    *,
    out_dtype: DTypeLike = "float32",
) -> NDArray[Any]: ...
def matvec(q: QuantizedTensor, x: _Floats, threads: int | None = None) -> NDArray[np.float32]: ...
def matvec_q8(q: QuantizedTensor, x: _Floats, threads: int | None = None) -> NDArray[np.float32]: ...
@final
class QuantizedTensor:
    def __new__(
        cls, data: NDArray[np.uint8] | Buffer, dtype: str, shape: Sequence[int] | None = None
    ) -> QuantizedTensor: ...
    @property
    def data(self) -> NDArray[np.uint8]: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...
    def dequantize(self, out_dtype: DTypeLike = "float32", threads: int | None = None) -> NDArray[Any]: ...
    def matvec(self, x: _Floats, threads: int | None = None) -> NDArray[np.float32]: ...
    def matvec_q8(self, x: _Floats, threads: int | None = None) -> NDArray[np.float32]: ...
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

_Layout = Literal[
    "mlx",
    "mxfp4",
    "mxfp8",
    "nvfp4",
    "gpt-oss",
    "matmulnbits",
    "qdq",
    "openvino",
    "nf4",
    "fp4",
    "fp8-e4m3",
    "fp8-e5m2",
    "openvino-nf4",
    "openvino-fp4",
    "openvino-fp8",
    "openvino-mxfp4",
    "openvino-mxfp8",
]

def quantize_affine(
    x: _Floats,
    bits: int = 4,
    group_size: int | None = 32,
    axis: int | None = -1,
    symmetric: bool = False,
    scale_dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    layout: _Layout = "mlx",
    *,
    clip: float | Literal["entropy", "mse"] | None = None,
    global_scale: float | None = None,
    threads: int | None = None,
    non_finite: Literal["error", "zero"] = "error",
) -> AffineTensor: ...
def transcode(
    q: QuantizedTensor | AffineTensor,
    to: Literal[
        "q4_0",
        "q4_1",
        "q5_0",
        "q5_1",
        "q8_0",
        "mxfp4",
        "nvfp4",
        "mlx",
        "gpt-oss",
        "matmulnbits",
        "qdq",
        "openvino",
    ]
    | str,
    *,
    bits: int | None = None,
    group_size: int | None = None,
    axis: int | None = None,
    symmetric: bool | None = None,
    scale_dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    threads: int | None = None,
) -> QuantizedTensor | AffineTensor: ...
@final
class AffineTensor:
    @staticmethod
    def from_planes(
        shape: Sequence[int],
        codes: ArrayLike,
        scales: ArrayLike,
        zeros: ArrayLike | None = None,
        *,
        bits: int = 4,
        group_size: int | None = 32,
        axis: int | None = -1,
        layout: _Layout = "mlx",
        global_scale: float | None = None,
    ) -> AffineTensor: ...
    @property
    def codes(self) -> NDArray[Any]: ...
    @property
    def scales(self) -> NDArray[Any]: ...
    @property
    def zero_points(self) -> NDArray[Any] | None: ...
    @property
    def biases(self) -> NDArray[Any] | None: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def global_scale(self) -> float | None: ...
    @property
    def bits(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def dequantize(self, out_dtype: DTypeLike = "float32", threads: int | None = None) -> NDArray[Any]: ...
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]: ...

@final
class ImportanceStore:
    def __new__(cls) -> ImportanceStore: ...
    @staticmethod
    def load(path: _Path) -> ImportanceStore: ...
    def save(self, path: _Path, format: str | None = None) -> None: ...
    def names(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def __contains__(self, name: str, /) -> bool: ...
    def weights(self, name: str) -> NDArray[np.float32]: ...
    def statistics(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint64]]: ...
    def set_weights(self, name: str, weights: _Floats) -> None: ...
    def remove(self, name: str) -> None: ...
    def accumulate(
        self,
        name: str,
        activations: _Floats,
        experts: int | None = None,
        taken: Sequence[int] | None = None,
    ) -> None: ...
    def merge(self, other: ImportanceStore) -> None: ...
    @property
    def chunks(self) -> int: ...
    @property
    def chunk_size(self) -> int: ...
    @chunk_size.setter
    def chunk_size(self, size: int) -> None: ...
    @property
    def datasets(self) -> list[bytes]: ...
    @datasets.setter
    def datasets(self, names: Sequence[bytes]) -> None: ...

def tensor_names(folder: _Path, names: Sequence[str]) -> list[list[str]]: ...
@final
class ModelFile:
    def __new__(cls, path: _Path) -> ModelFile: ...
    @property
    def format(self) -> str: ...
    def close(self) -> None: ...
    def tensor_names(self) -> list[str]: ...
    def tensor(self, name: str) -> Tensor: ...
    def metadata_keys(self) -> list[str]: ...
    def metadata_value(self, key: str) -> Any: ...
    def metadata_type(self, key: str) -> str: ...

@final
class Tensor:
    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...
    def read(self) -> NDArray[Any]: ...
    def dequantize(self, out_dtype: DTypeLike = "float32", threads: int | None = None) -> NDArray[Any]: ...
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]: ...

@final
class GGUFWriter:
    def __new__(cls, path: _Path, metadata: Mapping[str, Any] | None = None) -> GGUFWriter: ...
    def add_metadata(self, key: str, value: Any, type: str | None = None) -> None: ...
    def add_tensor(
        self,
        name: str,
        tensor: ArrayLike | QuantizedTensor | Tensor | Any,
        dtype: str | None = None,
        importance: _Floats | None = None,
        threads: int | None = None,
    ) -> None: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...
    def __enter__(self) -> GGUFWriter: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

def save(
    path: _Path,
    tensors: Mapping[str, ArrayLike | QuantizedTensor | Tensor | Any],
    metadata: Mapping[str, Any] | None = None,
) -> None: ...
@final
class CalibrationStore:
    def __new__(cls, src: _Path, recipe: str, wishes: dict[str, Any]) -> CalibrationStore: ...
    def names(self) -> list[str]: ...
    def retain(self, names: list[str]) -> None: ...
    def probe(self) -> tuple[bytes, Path]: ...
    def groups(self) -> list[list[int]]: ...
    def observe(self, index: int, values: _Floats) -> None: ...
    def finish(self, method: str | None) -> str: ...

def read_ranges(text: str) -> str: ...
def load_ranges(path: _Path) -> str: ...
def to_encodings(text: str, bits: int) -> str: ...
def quantize_model(src: _Path, out: _Path, recipe: str, wishes: dict[str, Any]) -> str: ...
def convert_model(
    src: _Path, out: _Path, outtype: str, name: str | None, base: _Path | None, wishes: dict[str, Any]
) -> str: ...
def split_model(
    src: _Path,
    prefix: _Path,
    max_size: int | None,
    max_tensors: int | None,
    no_tensor_first_split: bool,
    wishes: dict[str, Any],
) -> str: ...
def merge_model(src: _Path, out: _Path, wishes: dict[str, Any]) -> str: ...
def edit_metadata(src: _Path, out: _Path, edits: dict[str, Any], wishes: dict[str, Any]) -> str: ...
def extract_tensor(src: _Path, name: str, out: _Path, raw: bool = False) -> None: ...
def compare(
    a: _Path, b: _Path, filter: str | None, threads: int | None, memory_limit: int | None
) -> str: ...
def run_command(arguments: Sequence[str]) -> int: ...

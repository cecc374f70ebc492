from collections.abc import Buffer, Sequence
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ._dtype import DType

# Tensors of other libraries are known by their `__dlpack__`, which `ArrayLike` does not cover.
_Floats: TypeAlias = ArrayLike | Any

def type_table() -> list[tuple[str, int | None, int, int, str]]: ...
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
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

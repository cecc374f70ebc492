"""Tensor types as strings that know their block layout."""

from ._errors import MisuseError
from ._quantlib import type_table


class DType(str):
    """A tensor type: a string such as ``"q4_k"``, with the facts about the type as attributes.

    >>> ql.DType("Q4_K").bits_per_weight
    4.5
    >>> ql.DType("q4_k") == "q4_k"
    True
    """

    ggml_id: "int | None"
    """ggml's number for the type, or None if it has none."""
    block_len: int
    """Elements in one block; 1 for plain element types."""
    block_bytes: int
    """Bytes in one block."""
    precision: str
    """The class of precision: "ultra-low", "low", "medium" or "full"."""
    has_codec: bool
    """Whether :func:`quantize` and :func:`dequantize` know the type; others can only be copied."""

    def __new__(cls, name: str) -> "DType":
        known = _TYPES.get(name.lower())
        if known is None:
            raise MisuseError(f"unknown tensor type '{name}'; the types are {', '.join(_TYPES)}")
        return known

    @property
    def name(self) -> str:
        """The name as a plain string."""
        return str(self)

    @property
    def bits_per_weight(self) -> float:
        """Bits that one element takes on average, scales included."""
        return 8 * self.block_bytes / self.block_len

    @property
    def is_quantized(self) -> bool:
        """Whether elements share scales in blocks."""
        return self.block_len > 1


def types() -> "list[DType]":
    """Every tensor type, in the order of ggml's numbers; those that ggml lacks come last.

    >>> ql.types()[:3]
    ['f32', 'f16', 'q4_0']
    """
    return list(_TYPES.values())


def _load() -> "dict[str, DType]":
    table = {}
    for name, ggml_id, block_len, block_bytes, precision, has_codec in type_table():
        dtype = table[name] = str.__new__(DType, name)
        dtype.ggml_id = ggml_id
        dtype.block_len = block_len
        dtype.block_bytes = block_bytes
        dtype.precision = precision
        dtype.has_codec = has_codec
    return table


_TYPES = _load()

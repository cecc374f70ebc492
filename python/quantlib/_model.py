"""Opened models as mappings."""

import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from ._quantlib import ModelFile, Tensor


class Metadata(Mapping[str, Any]):
    """What a file says about itself, in file order: bool, int, float, str and lists of them.

    Values are converted when they are asked for. Strings that are not UTF-8 hold lone surrogates in
    place of the wrong bytes (as ``surrogateescape`` makes them).
    """

    def __init__(self, file: ModelFile) -> None:
        self._file = file
        self._keys = file.metadata_keys()
        self._values: "dict[str, Any]" = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            self._values[key] = self._file.metadata_value(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def type_of(self, key: str) -> str:
        """The stored type: "u32", "string", "[i32]" for an array, and so on."""
        return self._file.metadata_type(key)

    def __repr__(self) -> str:
        return f"Metadata({', '.join(self._keys)})"


class Model(Mapping[str, Tensor]):
    """An open model: a mapping from names to tensors, in file order.

    It holds the file open until it is closed, which a ``with`` statement does. Tensors can be read
    only until then.
    """

    path: "str | os.PathLike[str]"
    """What was opened."""
    format: str
    """The container: "gguf", "safetensors" or "huggingface"."""
    metadata: Metadata
    """What the file says about itself."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self._file = ModelFile(path)
        self.path = path
        self.format = self._file.format
        self.metadata = Metadata(self._file)
        self._names = dict.fromkeys(self._file.tensor_names())

    def __getitem__(self, name: str) -> Tensor:
        return self._file.tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def close(self) -> None:
        """Close the file; its tensors cannot be read any more."""
        self._file.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.format} model {os.fspath(self.path)!r}: {len(self)} tensors>"


def open(path: "str | os.PathLike[str]") -> Model:
    """Open a model file or folder. Only headers are read; tensors are read when asked for.

    >>> with ql.open("model.gguf") as model:  # doctest: +SKIP
    ...     print(model.metadata["general.architecture"])
    ...     weights = model["output.weight"].dequantize()
    """
    return Model(path)

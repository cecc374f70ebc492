"""Importance matrices: how much each input column of each tensor matters."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._quantlib import ImportanceStore, tensor_names

_Path = str | os.PathLike[str]


class ImportanceMatrix(MutableMapping[str, NDArray[np.float32]]):
    """How much each input column of each tensor matters, by the tensor's name in GGUF.

    A mapping from names to weights: arrays of shape (cols,), or (experts, cols) for tensors of
    several experts. :func:`quantize_model` takes one as its `imatrix`. It accumulates squared
    activations as llama-imatrix does, and reads and writes the files that llama-imatrix and
    llama-quantize know. :mod:`quantlib.torch` fills one while a Hugging Face model runs.

    Examples
    --------
    >>> import numpy as np, quantlib as ql
    >>> matrix = ql.ImportanceMatrix()
    >>> matrix.accumulate("blk.0.attn_q.weight", np.array([[1, 2], [3, 4]], np.float32))
    >>> matrix["blk.0.attn_q.weight"]
    array([ 5., 10.], dtype=float32)
    """

    def __init__(self) -> None:
        self._store = ImportanceStore()

    @classmethod
    def load(cls, path: _Path, *more: _Path) -> "ImportanceMatrix":
        """Read a file, in GGUF or the older .dat form; several are merged."""
        matrix = cls()
        matrix._store = ImportanceStore.load(path)
        for other in more:
            matrix.merge(cls.load(other))
        return matrix

    def save(self, path: _Path, format: Literal["gguf", "dat"] | None = None) -> None:
        """Write what llama-imatrix writes of the same sums and counts.

        The form follows the path's ending, .dat or anything else for GGUF, unless `format` says it.
        """
        self._store.save(path, format)

    def accumulate(
        self,
        name: str,
        activations: Any,
        experts: int | None = None,
        expert_ids: Any = None,
    ) -> None:
        """Add activations that went into a tensor: the sum of their squares, and their number.

        Parameters
        ----------
        name : str
            The tensor's name in GGUF, such as "blk.0.attn_q.weight".
        activations : array_like
            Of shape (..., cols), float32, float16 or bfloat16, NumPy or torch.
        experts : int, optional
            The number of experts of the tensor, if it has several.
        expert_ids : array_like of int, optional
            For every row the number of the expert that took it.
        """
        taken = None if expert_ids is None else np.asarray(expert_ids).reshape(-1).tolist()
        self._store.accumulate(name, activations, experts, taken)

    def merge(self, other: "ImportanceMatrix") -> None:
        """Add what another matrix of the same model found."""
        self._store.merge(other._store)

    def statistics(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        """The sums of squares, and the counts: one, or one for each expert."""
        return self._store.statistics(name)

    @property
    def chunks(self) -> int:
        """The number of whole chunks of text, of :attr:`chunk_size` tokens, that were accumulated."""
        return self._store.chunks

    @property
    def chunk_size(self) -> int:
        """Tokens in a chunk of text; 512 unless set, or a file said otherwise."""
        return self._store.chunk_size

    @chunk_size.setter
    def chunk_size(self, size: int) -> None:
        self._store.chunk_size = size

    @property
    def datasets(self) -> list[str]:
        """The names of the texts that the activations come from; assign a list to change them."""
        return [os.fsdecode(name) for name in self._store.datasets]

    @datasets.setter
    def datasets(self, names: Iterable[str]) -> None:
        self._store.datasets = [os.fsencode(name) for name in names]

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._store.weights(name)

    def __setitem__(self, name: str, weights: Any) -> None:
        self._store.set_weights(name, weights)

    def __delitem__(self, name: str) -> None:
        self._store.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.names())

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._store

    def __repr__(self) -> str:
        return f"<ImportanceMatrix of {len(self)} tensors, {self.chunks} chunks>"


def gguf_tensor_names(model: _Path | Mapping[str, Any], name: str) -> list[str]:
    """The names in GGUF that a tensor of a Hugging Face model goes to.

    None for a tensor that has no place there, several for one that is split. All experts of a layer
    go to tensors of the same names.

    Parameters
    ----------
    model : path or mapping
        The model's folder, or what its config.json holds.
    name : str
        The tensor's name in Hugging Face's files.

    Examples
    --------
    >>> config = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 8}
    >>> ql.gguf_tensor_names(config, "model.layers.3.self_attn.q_proj.weight")
    ['blk.3.attn_q.weight']
    """
    return all_names(model, [name])[0]


def all_names(model: _Path | Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    """The names in GGUF of many tensors."""
    if not isinstance(model, Mapping):
        return tensor_names(model, names)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(dict(model), file)
        return tensor_names(folder, names)

"""How far two models are apart."""

import copy
import json
import os
from html import escape
from typing import Any

from . import _quantlib

_Path = str | os.PathLike[str]


class Comparison:
    """What :func:`compare` found. Prints as a line, shows as a table in notebooks."""

    a: str
    """The model that was named first, against which the other is measured."""
    b: str
    """The model that was named second."""
    tensors: list[dict[str, Any]]
    """For each tensor of both: name, shape, types a and b, bits_a, bits_b, identical, and errors: rmse,
    max_error, cosine, sqnr_db, non_finite; None for types that are not decoded."""
    total: dict[str, Any]
    """The same of all compared tensors together, as if they were one."""
    only_a: list[dict[str, Any]]
    """Tensors that only A has: name, dtype, shape."""
    only_b: list[dict[str, Any]]
    """Tensors that only B has."""
    reshaped: list[dict[str, Any]]
    """Tensors that have other shapes in B: name, shapes a and b."""
    metadata: list[dict[str, Any]]
    """Keys with other values: key, and a and b in short; None where the key is missing."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        for name in Comparison.__annotations__:
            setattr(self, name, data[name])

    @property
    def is_identical(self) -> bool:
        """Whether everything is the same: tensors, types, bytes, shapes and keys."""
        differences = self.only_a or self.only_b or self.reshaped or self.metadata
        return not differences and all(tensor["identical"] for tensor in self.tensors)

    def worst(self, count: int = 10) -> list[dict[str, Any]]:
        """The tensors with the lowest signal to noise."""
        noisy = [t for t in self.tensors if t["errors"] and t["errors"]["sqnr_db"] is not None]
        return sorted(noisy, key=lambda t: t["errors"]["sqnr_db"])[:count]

    def to_dict(self) -> dict[str, Any]:
        """Everything that was found, as the command's ``--json`` prints it."""
        return copy.deepcopy(self._data)

    def __repr__(self) -> str:
        return f"<Comparison {self._summary()}>"

    def _summary(self) -> str:
        errors = self.total["errors"]
        noise = "no error" if errors["sqnr_db"] is None else f"{errors['sqnr_db']:.2f} dB"
        return (
            f"{self.a} and {self.b}: {len(self.tensors)} tensors, {self.total['identical']} identical, "
            f"{noise}, rmse {errors['rmse']:.3g}; {len(self.only_a)} only in A, "
            f"{len(self.only_b)} only in B, {len(self.reshaped)} reshaped, "
            f"{len(self.metadata)} other keys"
        )

    def _repr_html_(self) -> str:
        columns = ["sqnr_db", "rmse", "max_error", "cosine"]
        head = "".join(f"<th>{c}</th>" for c in ["name", "shape", "a", "b", *columns])
        rows = "".join(f"<tr>{_cells(tensor, columns)}</tr>" for tensor in self.tensors)
        return (
            f"<p>{escape(self._summary())}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _cells(tensor: dict[str, Any], columns: list[str]) -> str:
    errors = tensor["errors"] or {}
    numbers = (errors.get(column) for column in columns)
    texts = [str(tensor[c]) for c in ("name", "shape", "a", "b")]
    texts += ["" if number is None else f"{number:.6g}" for number in numbers]
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def compare(
    a: _Path,
    b: _Path,
    *,
    filter: str | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
) -> Comparison:
    """Compare two models tensor by tensor, in bounded memory.

    Parameters
    ----------
    a, b : path
        GGUF or safetensors files, or folders with safetensors; B is measured against A. A Hugging Face
        folder beside a GGUF file is compared as what it would be converted to.
    filter : str, optional
        Compare only tensors in whose name this regular expression (ECMAScript) is found.
    threads : int, optional
        All processors by default; the result does not depend on it.
    memory_limit : int, optional
        Bytes that tensor data may take in memory; 128 MiB by default.

    Examples
    --------
    >>> ql.compare("model-f16.gguf", "model-q4_k_m.gguf").worst(3)  # doctest: +SKIP
    """
    return Comparison(json.loads(_quantlib.compare(a, b, filter, threads, memory_limit)))

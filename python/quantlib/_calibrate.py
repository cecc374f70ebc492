"""Ranges of activations: onnxruntime runs the model, the core observes."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import _quantlib
from ._errors import IoError, MisuseError

_Path = str | os.PathLike[str]
_Sample = Mapping[str, Any]


class Calibration(Mapping[str, dict[str, Any]]):
    """The ranges of a model's activations, by the names of tensors.

    Read from AIMET's encodings, it has their scales and offsets too, of activations and of weights, which
    are taken as they are: ``encodings`` has them by name, each with ``bits``, ``symmetric``, ``scales``,
    ``offsets`` and perhaps ``axis``.

    Each entry has ``low`` and ``high``, the range; what was found by :func:`calibrate` tells more:
    ``least`` and ``greatest`` (the extremes), ``values`` (their number), ``ignored`` (how many of them
    are infinite or absurdly large, as masks are), ``signal_to_noise`` (in decibels).

    >>> ranges = ql.Calibration({"x": {"low": -1.0, "high": 2.0}})
    >>> ranges["x"]["high"]
    2.0
    """

    def __init__(
        self,
        tensors: Mapping[str, Mapping[str, Any]],
        method: str | None = None,
        encodings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.method = method
        self.encodings = {name: dict(entry) for name, entry in (encodings or {}).items()}
        self._tensors = {name: dict(entry) for name, entry in tensors.items()}
        _quantlib.read_ranges(self.to_json())

    @classmethod
    def load(cls, path: _Path) -> "Calibration":
        """Read a JSON file that :meth:`save` wrote; or encodings of AIMET and Qualcomm's tools."""
        return cls._of(_quantlib.load_ranges(path))

    @classmethod
    def _of(cls, text: str) -> "Calibration":
        read = json.loads(text)
        return cls(read["tensors"], read.get("method"), read.get("encodings"))

    def save(self, path: _Path) -> None:
        """Write a JSON file."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    def to_json(self) -> str:
        """The ranges as JSON."""
        known: dict[str, Any] = {"method": self.method, "tensors": self._tensors}
        if self.encodings:
            known["encodings"] = self.encodings
        return json.dumps(known, indent=1)

    def to_encodings(self, bits: int = 8) -> str:
        """The ranges as AIMET's encodings (JSON of version 1.0.0), for activations of so many bits."""
        return _quantlib.to_encodings(self.to_json(), bits)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"<quantlib.Calibration of {len(self)} tensors, {self.method or 'given'}>"


def calibrate(
    src: _Path,
    samples: "Iterable[_Sample] | _Path",
    recipe: str = "static-int8",
    method: str | None = None,
    *,
    exclude: Iterable[str] = (),
    format: Literal["qdq", "qoperator"] | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Calibration:
    """Find the ranges of an ONNX model's activations by running it with onnxruntime.

    Memory does not grow with the number of samples.

    Parameters
    ----------
    src : path
        The ``.onnx`` file.
    samples : iterable of dict, or path
        Inputs of the model by name, sample by sample; or an ``.npz`` file, or a folder of ``.npy``
        files, with an array for each input whose first axis is the batch.
    recipe : str
        The recipe that needs the ranges.
    method : str, optional
        "mse" (the least squared error, the default), "minmax", "moving-average", "percentile" (99.999
        per cent; or "percentile:99.9"), "entropy".
    exclude : iterable of str
        Regular expressions (ECMAScript); nodes in whose name one is found are left alone.
    format : {"qdq", "qoperator"}, optional
        The form of "static-int8" that the ranges are for: the second needs those of results too.
    providers : sequence of str
        onnxruntime's execution providers.

    Examples
    --------
    >>> ranges = ql.calibrate("model.onnx", [{"x": x} for x in batches])  # doctest: +SKIP
    >>> ql.quantize_model("model.onnx", "out.onnx", "static-int8", calibration=ranges)  # doctest: +SKIP
    """
    wishes: dict[str, Any] = dict.fromkeys(("block_size", "layout", "accuracy_level", "calibration", "external_data"))
    wishes |= dict.fromkeys(("save_encodings", "encodings_version"))
    wishes["format"] = format
    wishes |= dict.fromkeys(("symmetric", "per_tensor", "reduce_range", "keep_io", "pure"), False)
    wishes |= {"exclude": list(exclude), "exclude_operators": [], "operators": [], "nodes": []}
    return find_ranges(src, samples, recipe, method, wishes, providers)


def find_ranges(
    src: _Path,
    samples: "Iterable[_Sample] | _Path",
    recipe: str,
    method: str | None,
    wishes: dict[str, Any],
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Calibration:
    """What :func:`calibrate` does, with everything that a recipe may be told."""
    store = _quantlib.CalibrationStore(src, recipe, wishes)
    _run(store, _samples(samples), list(providers))
    return Calibration._of(store.finish(method))


def _run(store: _quantlib.CalibrationStore, samples: Iterable[_Sample], providers: list[str]) -> None:
    try:
        import onnxruntime as ort  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "calibration runs the model with onnxruntime; pip install 'quantlib-py[onnx]'"
        ) from error
    model, folder = store.probe()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Weights stay in the file's pages, and what a run needs is given back.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = ort.InferenceSession(model, options, providers=providers)
    del model
    outlets = [*session.get_inputs(), *session.get_outputs()]
    types = {outlet.name: outlet.type for outlet in outlets}
    names = store.names()
    floats = [name for name in names if types.get(name) in ("tensor(float)", "tensor(float16)")]
    if floats != names:
        store.retain(floats)
    given = {outlet.name for outlet in session.get_inputs()}
    for sample in samples:
        inputs = {name: np.asarray(value) for name, value in sample.items()}
        for group in store.groups():
            for index in group:
                if floats[index] in given:
                    store.observe(index, inputs[floats[index]])
            made = [index for index in group if floats[index] not in given]
            if made:
                values = session.run([floats[index] for index in made], inputs)
                for index, value in zip(made, values, strict=True):
                    store.observe(index, value)


def _samples(samples: "Iterable[_Sample] | _Path") -> Iterable[_Sample]:
    """Samples of a file or folder; others are as they are."""
    if not isinstance(samples, (str, os.PathLike)):
        if isinstance(samples, Mapping):
            raise MisuseError("one dict was given as samples; pass a list of them, one for each sample")
        return samples
    path = Path(samples)
    if path.is_dir():
        arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted(path.glob("*.npy"))}
    else:
        try:
            with np.load(path) as file:
                arrays = dict(file)
        except OSError as error:
            raise IoError(f"{path}: cannot be read: {error.strerror or error}") from error
    counts = {name: len(array) for name, array in arrays.items()}
    if not counts:
        raise MisuseError(f"{path}: has no arrays; there must be one for each input of the model")
    if len(set(counts.values())) != 1:
        raise MisuseError(f"{path}: the first axes are batches of different sizes: {counts}")
    number = min(counts.values())
    return ({name: array[i : i + 1] for name, array in arrays.items()} for i in range(number))

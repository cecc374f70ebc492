"""Whole models: quantized or converted from file to file."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TextIO

from . import _quantlib
from ._calibrate import Calibration, find_ranges
from ._importance import ImportanceMatrix
from ._report import Report

_Path = str | os.PathLike[str]
_Listener = Callable[[int, int, str], object]
_Progress = bool | _Listener | None
_Lora = _Path | tuple[_Path, float]


def quantize_model(
    src: _Path,
    out: _Path,
    recipe: str,
    imatrix: _Path | ImportanceMatrix | None = None,
    threads: int | None = None,
    progress: _Progress = None,
    *,
    pure: bool = False,
    tensor_types: Mapping[str, str] | None = None,
    tensor_type_file: _Path | None = None,
    output_tensor_type: str | None = None,
    token_embedding_type: str | None = None,
    leave_output_tensor: bool = False,
    override_kv: Mapping[str, bool | int | float | str] | None = None,
    prune_layers: Iterable[int] = (),
    allow_requantize: bool = False,
    keep_split: bool = False,
    include_weights: Iterable[str] = (),
    exclude_weights: Iterable[str] = (),
    lora: _Lora | Sequence[_Lora] = (),
    pre: str | None = None,
    non_finite: Literal["error", "zero"] = "error",
    memory_limit: int | None = None,
    dry_run: bool = False,
    block_size: int | None = None,
    symmetric: bool = False,
    layout: Literal["matmulnbits", "qdq"] | None = None,
    accuracy_level: int | None = None,
    exclude: Iterable[str] = (),
    exclude_operators: Iterable[str] = (),
    operators: Iterable[str] = (),
    nodes: Mapping[str, str] | None = None,
    per_tensor: bool = False,
    reduce_range: bool = False,
    keep_io: bool = False,
    calibration: Calibration | Iterable[Mapping[str, Any]] | _Path | None = None,
    calibration_method: str | None = None,
    save_encodings: _Path | None = None,
    encodings_version: Literal["0.6.1", "1.0.0", "2.0.0"] | None = None,
    format: Literal["qdq", "qoperator"] | None = None,
    external_data: Literal["auto", "always", "never"] | None = None,
    group_size: int | None = None,
    layer_types: Mapping[str, str] | None = None,
    as_is: bool = False,
    force: bool = False,
) -> Report:
    """Quantize a model: the file that llama-quantize writes, byte for byte; or an ONNX or MLX model.

    Parameters
    ----------
    src : path
        A GGUF file, or a Hugging Face folder, which is converted on the way without loss.
    out : path
        The GGUF file to write. It appears when it is complete; an existing one is replaced then.
    recipe : str
        A name of llama-quantize in either case, such as "q4_k_m"; "q4_k" means the same here. For
        ONNX models "int4" or "int8": weights of matrix products in blocks, as onnxruntime's
        ``matmul_nbits_quantizer`` makes them; "dynamic-int8": products of integers, as its
        ``quantize_dynamic`` makes them; or "fp16": floats of 16 bits wherever operators take them.
        For a folder for MLX "mlx-4bit" and so on: the tensors that ``mlx_lm.convert`` writes.
    imatrix : path or ImportanceMatrix, optional
        How much each column matters: a file that llama-imatrix or :meth:`ImportanceMatrix.save`
        wrote, in GGUF or the older .dat form, which is read tensor by tensor; or a matrix in memory.
    threads : int, optional
        Number of encoders; all processors by default.
    progress : bool or callable, optional
        True for a bar on stderr; or it is called with (bytes done, bytes in all, tensor's name) on
        this thread. An exception that it raises cancels the job and is raised here.
    pure : bool
        One type for every tensor instead of the recipe's mixture. ONNX: no product keeps more bits than
        the others because it is sensitive; weights are exactly what onnxruntime's own tools make of them.
    tensor_types : mapping, optional
        Regular expressions (ECMAScript) to types; the first that is found in a name decides.
    tensor_type_file : path, optional
        A file with more of these, RE=TYPE with white space between.
    output_tensor_type, token_embedding_type : str, optional
        Types for the output tensor and the embeddings.
    leave_output_tensor : bool
        Leave the output tensor as it is stored.
    override_kv : mapping, optional
        Metadata to set, which the choice of types sees too.
    prune_layers : iterable of int
        Layers to leave out.
    allow_requantize : bool
        Encode tensors again that are quantized already, and so lose more.
    keep_split : bool
        Write one file for each input file, ``OUT-00001-of-0000N.gguf`` and so on.
    include_weights, exclude_weights : iterable of str
        Parts of tensor names for which importance is used only, or not used; not both.
    lora : path, (path, scale) or a list of them
        PEFT adapter folders to merge into a Hugging Face folder's weights first.
    pre : str, optional
        `tokenizer.ggml.pre` of a folder whose tokenizer is not recognized.
    non_finite : {"error", "zero"}
        What to do with NaN and infinite weights.
    memory_limit : int, optional
        Bytes that tensor data may take in memory; 128 MiB by default.
    dry_run : bool
        Report what would be written, and write nothing.
    block_size : int, optional
        ONNX: weights of a column that share a scale: 16, 32 (the default), 64, 128 or 256.
    symmetric : bool
        ONNX: the same range on both sides of zero: no zero points, and for "dynamic-int8" signed
        codes.
    layout : {"matmulnbits", "qdq"}, optional
        ONNX: the operators that take the weights: onnxruntime's MatMulNBits, or DequantizeLinear in
        blocks, from operator set 21 on.
    accuracy_level : int, optional
        ONNX: MatMulNBits' attribute; with 4, onnxruntime calculates with 8-bit activations.
    exclude : iterable of str
        ONNX: regular expressions (ECMAScript); nodes in whose name one is found are left alone.
    exclude_operators : iterable of str
        ONNX: operators that are left alone.
    operators : iterable of str
        ONNX: the operators whose weights are quantized, of "MatMul", "Gemm", "Conv" and "Gather"; those
        of the recipe by default.
    nodes : mapping, optional
        ONNX: regular expressions to other recipes, or "keep", for nodes in whose name one is found;
        the first that fits counts, before everything else.
    per_tensor : bool
        "dynamic-int8": one scale for a whole weight instead of one for each column.
    reduce_range : bool
        "dynamic-int8": weights of 7 bits, for CPUs whose products of 8-bit integers saturate.
    keep_io : bool
        "fp16": inputs and outputs of the model stay f32.
    calibration : Calibration, iterable of dict, or path, optional
        ONNX, for recipes with "static" and "a8" or "a16" in their names: the ranges of activations, or
        samples to find them with (see :func:`calibrate`), or a path of either: ``.json`` of ranges or
        ``.encodings`` of AIMET, ``.npz`` or a folder of ``.npy`` files of samples.
    calibration_method : str, optional
        ONNX: how ranges are found: "mse" (the default), "minmax", "moving-average", "percentile",
        "entropy".
    save_encodings : path, optional
        "a8w8", "a16w8", "a16w4": a JSON file for the scales and offsets of all values and weights, as
        AIMET and Qualcomm's tools read them; it appears with the model.
    encodings_version : {"0.6.1", "1.0.0", "2.0.0"}, optional
        The version of that file, "1.0.0" by default.
    format : {"qdq", "qoperator"}, optional
        "static-int8": QuantizeLinear and DequantizeLinear around operators (the default), or operators of
        integers such as QLinearMatMul and QLinearConv.
    external_data : {"auto", "always", "never"}, optional
        ONNX: whether data go to a file beside the model, ``OUT.data``.
    group_size : int, optional
        MLX: columns that share a scale: 32, 64 (the default) or 128 for integers.
    layer_types : mapping, optional
        MLX: regular expressions (ECMAScript) to types such as "mlx-8bit", or "none"; the first that is
        found in a layer's path decides.
    as_is : bool
        MLX: leave the names of tensors as they are, whatever the architecture.
    force : bool
        MLX: replace an output folder that is not empty.

    Examples
    --------
    >>> ql.quantize_model("my-model", "my-model-q4_k_m.gguf", "q4_k_m", progress=True)  # doctest: +SKIP
    """
    wishes = _wishes(threads, progress, memory_limit, dry_run, non_finite, pre, lora)
    wishes |= {
        "pure": pure,
        "tensor_types": list((tensor_types or {}).items()),
        "output_tensor_type": output_tensor_type,
        "token_embedding_type": token_embedding_type,
        "leave_output_tensor": leave_output_tensor,
        "override_kv": list((override_kv or {}).items()),
        "prune_layers": list(prune_layers),
        "allow_requantize": allow_requantize,
        "keep_split": keep_split,
        "tensor_type_file": tensor_type_file,
        "imatrix": imatrix._store if isinstance(imatrix, ImportanceMatrix) else imatrix,
        "include_weights": list(include_weights),
        "exclude_weights": list(exclude_weights),
        "block_size": block_size,
        "symmetric": symmetric,
        "layout": layout,
        "accuracy_level": accuracy_level,
        "exclude": list(exclude),
        "exclude_operators": list(exclude_operators),
        "operators": list(operators),
        "nodes": list((nodes or {}).items()),
        "per_tensor": per_tensor,
        "reduce_range": reduce_range,
        "keep_io": keep_io,
        "calibration": None,
        "save_encodings": save_encodings,
        "encodings_version": encodings_version,
        "format": format,
        "external_data": external_data,
        "group_size": group_size,
        "layer_types": list((layer_types or {}).items()),
        "as_is": as_is,
        "force": force,
    }
    if calibration is not None:
        wishes["calibration"] = _ranges(src, recipe, calibration, calibration_method, wishes)
    return Report(json.loads(_quantlib.quantize_model(src, out, recipe, wishes)))


def convert_model(
    src: _Path,
    out: _Path,
    outtype: str = "auto",
    threads: int | None = None,
    progress: _Progress = None,
    *,
    name: str | None = None,
    base: _Path | None = None,
    lora: _Lora | Sequence[_Lora] = (),
    pre: str | None = None,
    non_finite: Literal["error", "zero"] = "error",
    memory_limit: int | None = None,
    dry_run: bool = False,
    external_data: Literal["auto", "always", "never"] | None = None,
    to: Literal["gguf", "mlx", "hf"] | None = None,
    as_is: bool = False,
    force: bool = False,
    exact: bool = False,
) -> Report:
    """Convert a Hugging Face folder to GGUF: the file that convert_hf_to_gguf.py writes.

    The folder of a PEFT adapter becomes the GGUF adapter that convert_lora_to_gguf.py writes. An ONNX
    model is copied, byte for byte unless its data are to move.

    Parameters
    ----------
    src : path
        The folder of the model or of the adapter.
    out : path
        The GGUF file to write. It appears when it is complete; an existing one is replaced then.
    outtype : str
        The type of the matrices, as convert_hf_to_gguf.py names it: "f32", "f16", "bf16", "q8_0",
        "auto"; or "lossless", which takes the smallest of the first three that keeps every bit.
    name : str, optional
        The model's name, in place of the one that the folder suggests.
    base : path, optional
        For an adapter: the folder of its base model, if adapter_config.json does not name one.
    lora, threads, progress, pre, non_finite, memory_limit, dry_run
        As for :func:`quantize_model`.
    external_data : {"auto", "always", "never"}, optional
        For an ONNX model, which is copied: whether data go to a file beside it, ``OUT.data``.
    to : {"gguf", "mlx", "hf"}, optional
        "mlx" writes a folder for MLX with plain floats: of a Hugging Face folder, of an MLX folder with
        quantized layers, which are decoded, or of a GGUF file. "hf" writes a Hugging Face folder: of an
        MLX folder or of a GGUF file. gpt-oss's experts in 4-bit floats stay as they are everywhere.
    as_is, force
        For folders, as for :func:`quantize_model`.
    exact : bool
        Keep the codes and scales of blocks and of quantized layers, and all plain floats; what the output
        cannot hold is refused.

    Examples
    --------
    >>> ql.convert_model("my-model", "my-model-f16.gguf", "f16")  # doctest: +SKIP
    """
    wishes = _wishes(threads, progress, memory_limit, dry_run, non_finite, pre, lora)
    wishes |= {"external_data": external_data, "to": to}
    wishes |= {"as_is": as_is, "force": force, "exact": exact}
    return Report(json.loads(_quantlib.convert_model(src, out, outtype, name, base, wishes)))


def _ranges(
    src: _Path,
    recipe: str,
    calibration: Calibration | Iterable[Mapping[str, Any]] | _Path,
    method: str | None,
    wishes: dict[str, Any],
) -> str:
    """The ranges as JSON."""
    if isinstance(calibration, (str, os.PathLike)) and os.fspath(calibration).endswith((".json", ".encodings")):
        calibration = Calibration.load(calibration)
    if not isinstance(calibration, Calibration):
        calibration = find_ranges(src, calibration, recipe, method, wishes)
    return calibration.to_json()


def _wishes(
    threads: int | None,
    progress: _Progress,
    memory_limit: int | None,
    dry_run: bool,
    non_finite: str,
    pre: str | None,
    lora: _Lora | Sequence[_Lora],
) -> dict[str, Any]:
    listener = _Bar(sys.stderr) if progress is True else progress or None
    return {
        "threads": threads,
        "memory_limit": memory_limit,
        "dry_run": dry_run,
        "non_finite": non_finite,
        "pre": pre,
        "lora": _adapters(lora),
        "progress": listener,
    }


def _adapters(lora: _Lora | Sequence[_Lora]) -> list[tuple[_Path, float]]:
    if isinstance(lora, (str, os.PathLike)):
        return [(lora, 1.0)]
    if isinstance(lora, tuple) and len(lora) == 2 and isinstance(lora[1], (int, float)):
        return [(lora[0], float(lora[1]))]
    return [adapter for entry in lora for adapter in _adapters(entry)]


class _Bar:
    """One line that is drawn again and again."""

    WIDTH = 30
    INTERVAL = 0.1

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def __call__(self, done: int, total: int, name: str) -> None:
        now = time.monotonic()
        if now < self._next and done < total:
            return
        self._next = now + self.INTERVAL
        share = done / total if total else 1.0
        bar = "#" * round(share * self.WIDTH)
        end = "\n" if done >= total else ""
        self._stream.write(f"\r[{bar:<{self.WIDTH}}] {share:4.0%} {name:<40.40}{end}")
        self._stream.flush()

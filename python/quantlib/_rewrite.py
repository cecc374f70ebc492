"""Models with the same values: in several files, in one, with other metadata; and single tensors."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from . import _quantlib
from ._job import _Progress, _wishes
from ._model import open
from ._report import Report

_Path = str | os.PathLike[str]


def split(
    src: _Path,
    prefix: _Path,
    *,
    max_size: int | None = None,
    max_tensors: int | None = None,
    no_tensor_first_split: bool = False,
    threads: int | None = None,
    progress: _Progress = None,
    memory_limit: int | None = None,
    dry_run: bool = False,
) -> Report:
    """Divide a GGUF file among several: the files that llama-gguf-split writes, byte for byte.

    Parameters
    ----------
    src : path
        A GGUF file; any part of a split one stands for the whole model.
    prefix : path
        What the names begin with: ``PREFIX-00001-of-0000N.gguf`` and so on.
    max_size : int, optional
        The most bytes of tensors in a file.
    max_tensors : int, optional
        The most tensors in a file; 128 if neither is given.
    no_tensor_first_split : bool
        Put only metadata into the first file.
    threads, progress, memory_limit, dry_run
        As for :func:`quantize_model`.

    Returns
    -------
    Report
        Its ``files`` are the parts.

    Examples
    --------
    >>> ql.split("model.gguf", "model", max_size=2_000_000_000)  # doctest: +SKIP
    """
    wishes = _plain(threads, progress, memory_limit, dry_run)
    report = _quantlib.split_model(src, prefix, max_size, max_tensors, no_tensor_first_split, wishes)
    return Report(json.loads(report))


def merge(
    src: _Path,
    out: _Path,
    *,
    threads: int | None = None,
    progress: _Progress = None,
    memory_limit: int | None = None,
    dry_run: bool = False,
) -> Report:
    """Join the parts of a split GGUF model: the file that llama-gguf-split --merge writes.

    ``src`` is one of the parts; the others lie beside it. The rest is as for :func:`split`.

    >>> ql.merge("model-00001-of-00003.gguf", "model.gguf")  # doctest: +SKIP
    """
    wishes = _plain(threads, progress, memory_limit, dry_run)
    return Report(json.loads(_quantlib.merge_model(src, out, wishes)))


def edit_metadata(
    src: _Path,
    out: _Path,
    *,
    set: Mapping[str, Any] | None = None,
    types: Mapping[str, str] | None = None,
    remove: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
    chat_template: str | Mapping[str, str] | None = None,
    special_tokens: Mapping[str, int | str] | None = None,
    threads: int | None = None,
    progress: _Progress = None,
    memory_limit: int | None = None,
    dry_run: bool = False,
) -> Report:
    """Copy a GGUF file with other metadata: the file that gguf_new_metadata.py writes.

    Parameters
    ----------
    src, out : path
        A GGUF file, and the one to write.
    set : mapping, optional
        Keys to set. One that is there keeps its place and its type, a new one goes last.
    types : mapping, optional
        Types of keys in ``set``, such as "u32", "string" or "[f32]", where they matter.
    remove : iterable of str
        Keys to remove.
    rename : mapping, optional
        Keys to new names.
    chat_template : str or mapping, optional
        The chat template, or templates by name; all old ones are removed.
    special_tokens : mapping, optional
        Names such as "eos" to tokens, by number or by text.
    threads, progress, memory_limit, dry_run
        As for :func:`quantize_model`.

    Examples
    --------
    >>> ql.edit_metadata("model.gguf", "named.gguf", set={"general.name": "Tiny"})  # doctest: +SKIP
    """
    set = set or {}
    with open(src) as model:
        known = {key: model.metadata.type_of(key) for key in set if key in model.metadata}
    known |= types or {}
    templates = {None: chat_template} if isinstance(chat_template, str) else chat_template
    edits = {
        "remove": list(remove),
        "rename": list((rename or {}).items()),
        "chat_template": None if templates is None else list(templates.items()),
        "special_tokens": list((special_tokens or {}).items()),
        "set": [(key, value, known.get(key)) for key, value in set.items()],
    }
    wishes = _plain(threads, progress, memory_limit, dry_run)
    return Report(json.loads(_quantlib.edit_metadata(src, out, edits, wishes)))


def _plain(
    threads: int | None, progress: _Progress, memory_limit: int | None, dry_run: bool
) -> dict[str, Any]:
    return _wishes(threads, progress, memory_limit, dry_run, "error", None, ())

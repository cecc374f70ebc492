"""Importance matrices from PyTorch: they are collected while a Hugging Face model runs.

A model that transformers loaded runs on typical text, and what goes into each of its matrices is
accumulated under the matrix' name in GGUF. llama-quantize takes the file too:

>>> from transformers import AutoModelForCausalLM, AutoTokenizer  # doctest: +SKIP
>>> from quantlib.torch import chunks, collect_importance  # doctest: +SKIP
>>> model = AutoModelForCausalLM.from_pretrained("my-model", dtype="float32")  # doctest: +SKIP
>>> text = open("typical.txt").read()  # doctest: +SKIP
>>> batches = chunks(AutoTokenizer.from_pretrained("my-model"), text)  # doctest: +SKIP
>>> collect_importance(model, batches).save("imatrix.gguf")  # doctest: +SKIP
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from ._errors import MisuseError
from ._importance import ImportanceMatrix, tensor_names

__all__ = ["chunks", "collect_importance", "collecting"]

# Layers whose input is what their matrix is multiplied by; transformers' Conv1D is GPT-2's.
_LAYERS = ("Linear", "Conv1D")


def chunks(tokenizer: Any, text: str, size: int = 512) -> Iterator[Any]:
    """Cut a text into batches of one chunk, as llama-imatrix does.

    Every chunk has `size` tokens; what is left at the end is dropped. If the tokenizer begins texts
    with a token of its own, every chunk begins with that in place of its first.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    text : str
    size : int
        Tokens in a chunk.
    """
    torch: Any = importlib.import_module("torch")
    tokens = tokenizer(text).input_ids
    begin = tokenizer.bos_token_id
    if not tokens or tokens[0] != begin:
        begin = None
    if len(tokens) < size:
        raise MisuseError(f"the text has {len(tokens)} tokens, less than one chunk of {size}; give more")
    for start in range(0, len(tokens) - size + 1, size):
        chunk = tokens[start : start + size]
        if begin is not None:
            chunk[0] = begin
        yield torch.tensor([chunk])


def collect_importance(
    model: Any,
    batches: Iterable[Any],
    *,
    matrix: ImportanceMatrix | None = None,
    config: Mapping[str, Any] | None = None,
    output: bool = False,
    dataset: str | None = None,
) -> ImportanceMatrix:
    """Run a model on batches, and collect what goes into its matrices.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Load it with dtype="float32": llama.cpp calculates activations so.
    batches : iterable
        What the model is called with: arguments by name, as tokenizers make them, or token ids.
        Tokens that an `attention_mask` hides do not count.
    matrix : ImportanceMatrix, optional
        One to add to.
    config : mapping, optional
        What the model's config.json holds, if that is not `model.config`.
    output : bool
        Collect for the output matrix too.
    dataset : str, optional
        What the text is called, for the file.
    """
    torch: Any = importlib.import_module("torch")
    with collecting(model, matrix=matrix, config=config, output=output) as collected, torch.inference_mode():
        for batch in batches:
            if isinstance(batch, Mapping):
                model(**{name: _on(model, value) for name, value in batch.items()})
            else:
                model(_on(model, batch))
    if dataset is not None:
        collected.datasets = [*collected.datasets, dataset]
    return collected


@contextmanager
def collecting(
    model: Any,
    *,
    matrix: ImportanceMatrix | None = None,
    config: Mapping[str, Any] | None = None,
    output: bool = False,
) -> Iterator[ImportanceMatrix]:
    """Collect what goes into a model's matrices while it runs within the `with` statement.

    The arguments are those of :func:`collect_importance`.
    """
    collected = ImportanceMatrix() if matrix is None else matrix
    layers = _layers(model, config, output)
    shown = _Shown()
    with ExitStack() as hooks:
        hook = model.register_forward_pre_hook(shown.remember, with_kwargs=True)
        hooks.callback(hook.remove)
        for layer, name in layers:
            hook = layer.register_forward_pre_hook(_accumulate(collected, name, shown))
            hooks.callback(hook.remove)
        yield collected


def _layers(model: Any, config: Mapping[str, Any] | None, output: bool) -> list[tuple[Any, str]]:
    """The layers to listen to, with the names of their matrices in GGUF."""
    if config is None:
        config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    found = [(f"{name}.weight", layer) for name, layer in model.named_modules() if _is_layer(layer)]
    names = tensor_names(config, [name for name, _ in found])
    tied = bool(config.get("tie_word_embeddings"))
    wanted = lambda name: name.startswith("blk.") or (output and name == "output.weight" and not tied)
    layers = [
        (layer, name) for (_, layer), name in zip(found, names, strict=True) if name is not None and wanted(name)
    ]
    if not layers:
        raise MisuseError("no layer of the model has a matrix in GGUF; pass the whole model, as transformers loads it")
    return layers


def _is_layer(layer: Any) -> bool:
    return any(base.__name__ in _LAYERS for base in type(layer).__mro__)


class _Shown:
    """Which tokens of the batch that is running are no padding."""

    def __init__(self) -> None:
        self._mask: Any = None

    def remember(self, _model: Any, _args: Any, kwargs: Mapping[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self._mask = mask.bool() if getattr(mask, "ndim", 0) == 2 else None

    def rows(self, x: Any) -> Any:
        mask = self._mask
        if mask is None or x.shape[:2] != mask.shape:
            return x
        return x[mask.to(x.device)]


def _accumulate(matrix: ImportanceMatrix, name: str, shown: _Shown) -> Any:
    def hook(_layer: Any, args: tuple[Any, ...]) -> None:
        rows = shown.rows(args[0].detach())
        rows = rows.reshape(-1, rows.shape[-1]).to("cpu").float().contiguous()
        matrix.accumulate(name, rows)

    return hook


def _on(model: Any, value: Any) -> Any:
    return value.to(model.device) if hasattr(value, "to") else value

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
from functools import partial
from typing import Any

from ._errors import MisuseError, UnsupportedError
from ._importance import ImportanceMatrix, all_names

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
    if config is None:
        config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    hooked = [*_layers(model, config, output), *_experts(model, config)]
    if not hooked:
        raise MisuseError("no layer of the model has a matrix in GGUF; pass the whole model, as transformers loads it")
    shown = _Shown()
    with ExitStack() as hooks:
        hooks.callback(model.register_forward_pre_hook(shown.remember, with_kwargs=True).remove)
        for module, listener in hooked:
            listen = partial(listener, collected, shown)
            hooks.callback(module.register_forward_pre_hook(listen, with_kwargs=True).remove)
        yield collected


class _Shown:
    """Which tokens of the batch that is running are no padding."""

    def __init__(self) -> None:
        self._mask: Any = None

    def remember(self, _model: Any, _args: Any, kwargs: Mapping[str, Any]) -> None:
        mask: Any = kwargs.get("attention_mask")
        self._mask = mask.bool() if getattr(mask, "ndim", 0) == 2 else None

    def rows(self, x: Any) -> Any:
        """The rows of shown tokens, in which `x` may have any dimensions."""
        rows = x.detach().reshape(-1, x.shape[-1])
        mask = self._mask
        if mask is None or mask.numel() != len(rows):
            return rows
        return rows[mask.reshape(-1).to(rows.device)]


def _layers(model: Any, config: Mapping[str, Any], output: bool) -> Iterator[tuple[Any, Any]]:
    """The layers of one matrix, with listeners that know its names in GGUF."""
    layers = {f"{name}.weight": layer for name, layer in model.named_modules() if _is_layer(layer)}
    tied = bool(config.get("tie_word_embeddings"))
    for layer, names in zip(layers.values(), all_names(config, list(layers)), strict=True):
        wanted = [name for name in names if name.startswith("blk.") or (output and name == "output.weight" and not tied)]
        if wanted:
            yield layer, partial(_on_layer, wanted)


def _is_layer(layer: Any) -> bool:
    return any(base.__name__ in _LAYERS for base in type(layer).__mro__)


def _on_layer(
    names: list[str], matrix: ImportanceMatrix, shown: _Shown, _layer: Any, args: Any, kwargs: Mapping[str, Any]
) -> None:
    rows = _floats(shown.rows(args[0] if args else next(iter(kwargs.values()))))
    for name in names:
        matrix.accumulate(name, rows)


def _experts(model: Any, config: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The modules that hold the matrices of all experts of a layer, with listeners."""
    for name, experts in model.named_modules():
        if getattr(getattr(experts, "gate_up_proj", None), "ndim", 0) != 3:
            continue
        plain = not getattr(experts, "is_transposed", False) and not getattr(experts, "has_bias", False)
        if not plain or not getattr(experts, "is_concatenated", True) or not hasattr(experts, "act_fn"):
            raise UnsupportedError(f"experts like those of {name} cannot be listened to yet")
        mixtral = name.replace(".mlp.", ".block_sparse_moe.")
        inner = _first(
            config,
            [f"{name}.gate_up_proj"],
            [f"{name}.0.gate_proj.weight", f"{name}.0.up_proj.weight"],
            [f"{mixtral}.0.w1.weight", f"{mixtral}.0.w3.weight"],
        )
        outer = _first(config, [f"{name}.down_proj"], [f"{name}.0.down_proj.weight"], [f"{mixtral}.0.w2.weight"])
        if inner and outer:
            yield experts, partial(_on_experts, inner, outer)


def _first(config: Mapping[str, Any], *spellings: list[str]) -> list[str]:
    """The names in GGUF of the first of several spellings that has any."""
    for spelling in spellings:
        if names := [name for names in all_names(config, spelling) for name in names]:
            return names
    return []


def _on_experts(
    inner: list[str],
    outer: list[str],
    matrix: ImportanceMatrix,
    shown: _Shown,
    experts: Any,
    args: Any,
    kwargs: Mapping[str, Any],
) -> None:
    torch: Any = importlib.import_module("torch")
    states, taken = [*args, *kwargs.values()][:2]
    rows, taken = shown.rows(states), shown.rows(taken)
    count = experts.gate_up_proj.shape[0]
    # Every token's first expert, then every token's second, as llama-imatrix does.
    rows, taken = rows.repeat(taken.shape[1], 1), taken.T.reshape(-1)
    rows, taken = rows[taken < count], taken[taken < count]
    # What goes into the second matrix is calculated here once more: it never leaves the module.
    middle = rows.new_empty(len(rows), experts.down_proj.shape[2])
    for expert in taken.unique():
        own = taken == expert
        gate, up = torch.nn.functional.linear(rows[own], experts.gate_up_proj[expert]).chunk(2, dim=-1)
        middle[own] = experts.act_fn(gate) * up
    for names, values in ((inner, rows), (outer, middle)):
        for name in names:
            matrix.accumulate(name, _floats(values), count, taken.cpu())


def _floats(rows: Any) -> Any:
    return rows.detach().to("cpu").float().contiguous()


def _on(model: Any, value: Any) -> Any:
    return value.to(model.device) if hasattr(value, "to") else value

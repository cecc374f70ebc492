"""Importance matrices: calculated, saved, used, and collected from PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest

import quantlib as ql

FOLDER = Path(__file__).parent.parent / "data" / "tiny-llama-2m"
UP = "blk.0.ffn_up.weight"


@pytest.fixture
def matrix(rng):
    """Weights for the matrices of tiny-llama-2m's blocks."""
    matrix = ql.ImportanceMatrix()
    with ql.open(FOLDER) as model:
        shapes = {name: tensor.shape for name, tensor in model.items()}
    for name, shape in shapes.items():
        for gguf in ql.gguf_tensor_names(FOLDER, name):
            if gguf.startswith("blk.") and len(shape) == 2:
                matrix.accumulate(gguf, rng.standard_normal((600, shape[1]), dtype=np.float32))
    return matrix


def test_squares_are_summed_in_f32(rng):
    rows = rng.standard_normal((3, 7, 64), dtype=np.float32)
    matrix = ql.ImportanceMatrix()
    matrix.accumulate("a", rows[0])
    matrix.accumulate("a", rows[1:])
    expected = np.zeros(64, np.float32)
    for row in rows.reshape(-1, 64):
        expected += row * row
    sums, counts = matrix.statistics("a")
    assert np.array_equal(sums, expected) and counts.tolist() == [21]
    assert np.array_equal(matrix["a"], expected / np.float32(21))


def test_experts_count_for_themselves(rng):
    rows = rng.standard_normal((5, 4)).astype(np.float16)
    matrix = ql.ImportanceMatrix()
    matrix.accumulate("e", rows, experts=3, expert_ids=np.array([0, 2, 2, 0, 2]))
    sums, counts = matrix.statistics("e")
    assert sums.shape == (3, 4) and counts.tolist() == [2, 0, 3]
    assert matrix["e"].shape == (3, 4) and matrix["e"][1].tolist() == [1, 1, 1, 1]
    with pytest.raises(ql.MisuseError):
        matrix.accumulate("e", rows, experts=3)
    with pytest.raises(ql.MisuseError):
        matrix.accumulate("e", rows, experts=3, expert_ids=[0, 1, 2, 3, 0])


def test_it_is_a_mapping():
    matrix = ql.ImportanceMatrix()
    matrix["b"] = np.array([1, 2], np.float64)
    matrix["a"] = [3.0]
    assert list(matrix) == ["a", "b"] and len(matrix) == 2 and "a" in matrix and "c" not in matrix
    assert matrix["b"].dtype == np.float32 and matrix["b"].tolist() == [1, 2]
    assert repr(matrix) == "<ImportanceMatrix of 2 tensors, 0 chunks>"
    del matrix["a"]
    for call in (lambda: matrix["a"], lambda: matrix.statistics("a"), lambda: matrix.pop("a")):
        with pytest.raises(KeyError):
            call()
    with pytest.raises(ql.MisuseError):
        matrix["a"] = [np.nan]


def test_merging_adds():
    one, other = ql.ImportanceMatrix(), ql.ImportanceMatrix()
    one.accumulate("a", np.ones((1, 2), np.float32))
    other.accumulate("a", np.full((3, 2), 2, np.float32))
    other.datasets = ["a text", "b"]
    one.merge(other)
    one.merge(one)
    sums, counts = one.statistics("a")
    assert sums.tolist() == [26, 26] and counts.tolist() == [8]
    assert one.datasets == ["a text", "b"] * 2
    other["a"] = [1.0]
    with pytest.raises(ql.MisuseError, match="'a'"):
        one.merge(other)


@pytest.mark.parametrize("name", ["m.gguf", "m.dat"])
def test_files_hold_it(tmp_path, matrix, name):
    path = tmp_path / name
    matrix.chunk_size, matrix.datasets = 100, ["text"]
    matrix.save(path)
    assert path.read_bytes()[:4] == (b"GGUF" if name == "m.gguf" else np.int32(len(matrix)).tobytes())
    loaded = ql.ImportanceMatrix.load(path)
    assert list(loaded) == list(matrix) and loaded.datasets == ["text"] and loaded.chunks > 0
    for key in matrix:
        assert np.allclose(loaded[key], matrix[key], rtol=1e-6)
    assert np.array_equal(ql.ImportanceMatrix.load(path, path).statistics(UP)[0], 2 * loaded.statistics(UP)[0])
    with pytest.raises(ql.MisuseError):
        ql.ImportanceMatrix().save(tmp_path / "empty.gguf")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_file_and_the_matrix_give_the_same(tmp_path, matrix):
    path, one, two = tmp_path / "m.gguf", tmp_path / "one.gguf", tmp_path / "two.gguf"
    matrix.save(path)
    ql.quantize_model(FOLDER, one, "iq2_xs", imatrix=path)
    ql.quantize_model(FOLDER, two, "iq2_xs", imatrix=matrix)
    with ql.open(one) as file, ql.open(two) as memory:
        assert file.metadata["quantize.imatrix.file"] == str(path)
        assert "quantize.imatrix.file" not in memory.metadata
        assert memory.metadata["quantize.imatrix.entries_count"] == len(matrix)
        assert memory.metadata["quantize.imatrix.chunks_count"] == 1
        assert all(np.array_equal(file[name].read(), memory[name].read()) for name in file)
        stored = ql.open(FOLDER)["model.layers.0.mlp.up_proj.weight"]
        expected = ql.quantize(stored, file[UP].dtype, matrix[UP])
        assert np.array_equal(file[UP].read(), expected.data)


def test_weights_are_included_or_excluded(tmp_path, matrix):
    out = tmp_path / "out.gguf"
    ql.quantize_model(FOLDER, out, "q4_k_m", imatrix=matrix, include_weights=["ffn_up", "attn_q"])
    with ql.open(out) as model:
        assert 0 < model.metadata["quantize.imatrix.entries_count"] < len(matrix)
    ql.quantize_model(FOLDER, out, "q4_k_m", imatrix=matrix, exclude_weights=["."])
    with ql.open(out) as model:
        assert "quantize.imatrix.entries_count" not in model.metadata
    for wrong in ({"exclude_weights": ["blk.0"]}, {"include_weights": ["a"], "exclude_weights": ["b"]}):
        with pytest.raises(ql.MisuseError):
            ql.quantize_model(FOLDER, out, "iq2_xs", imatrix=matrix, **wrong)


def test_tensor_types_come_from_a_file_too(tmp_path):
    types, out = tmp_path / "types.txt", tmp_path / "out.gguf"
    types.write_text("ffn_up=q5_0\nffn_down=q8_0 ffn_up=q4_0\n")
    ql.quantize_model(FOLDER, out, "q4_0", tensor_types={"ffn_down": "f16"}, tensor_type_file=types)
    with ql.open(out) as model:
        assert model[UP].dtype == "q5_0" and model["blk.0.ffn_down.weight"].dtype == "f16"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\1\0\0\0\xff\xff\xff\x7f" + bytes(64), b"some text, no matrix"])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ql.MalformedError, match="m.gguf"):
        ql.quantize_model(FOLDER, tmp_path / "out.gguf", "q4_0", imatrix=path)
    with pytest.raises(ql.MalformedError):
        ql.ImportanceMatrix.load(path)


def test_names_are_those_of_the_conversion():
    config = json.loads((FOLDER / "config.json").read_text())
    for model in (FOLDER, config):
        names = ql.gguf_tensor_names(model, "model.layers.1.self_attn.o_proj.weight")
        assert names == ["blk.1.attn_output.weight"]
        assert ql.gguf_tensor_names(model, "lm_head.weight") == ["output.weight"]
        assert ql.gguf_tensor_names(model, "model.layers.99.self_attn.o_proj.weight") == []
    mixture = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "num_hidden_layers": 2,
        "num_experts": 4,
    }
    for part in ("experts.gate_up_proj", "experts.3.gate_proj.weight"):
        names = ql.gguf_tensor_names(mixture, f"model.layers.1.mlp.{part}")
        assert names[0] == "blk.1.ffn_gate_exps.weight"
    with pytest.raises(ql.UnsupportedError, match="closest"):
        ql.gguf_tensor_names({"architectures": ["LlamoForCausalLM"]}, "x.weight")


def test_torch_is_not_needed_to_import_the_helper():
    import quantlib.torch

    assert sorted(quantlib.torch.__all__) == quantlib.torch.__all__


def tokens(count, seed=1):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    return torch.from_numpy(np.random.default_rng(seed).integers(3, 200, (2, count)))


def test_collecting_from_a_model(tmp_path):
    ids = tokens(40)
    import torch
    from transformers import AutoModelForCausalLM

    from quantlib.torch import collect_importance

    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    seen = []
    layer = model.model.layers[0].mlp.up_proj
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].reshape(-1, args[0].shape[-1])))
    matrix = collect_importance(model, [ids], dataset="numbers")
    hook.remove()
    assert len(matrix) == 7 * model.config.num_hidden_layers and matrix.datasets == ["numbers"]
    assert np.array_equal(matrix[UP], collected(seen[0]))
    assert np.array_equal(matrix[UP], matrix["blk.0.ffn_gate.weight"])
    assert not layer._forward_pre_hooks
    ql.quantize_model(FOLDER, tmp_path / "out.gguf", "iq2_xs", imatrix=matrix)
    if not model.config.tie_word_embeddings:
        assert "output.weight" in collect_importance(model, [ids], output=True)


def collected(rows):
    matrix = ql.ImportanceMatrix()
    matrix.accumulate("x", rows)
    return matrix["x"]


def test_padding_does_not_count():
    ids = tokens(40)
    import torch
    from transformers import AutoModelForCausalLM

    from quantlib.torch import collect_importance

    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    mask = torch.ones_like(ids)
    mask[1, 25:] = 0
    padded = collect_importance(model, [{"input_ids": ids, "attention_mask": mask}])
    whole = collect_importance(model, [ids[:1], ids[1:, :25]])
    for name in whole:
        assert padded.statistics(name)[1].tolist() == [65]
        assert np.allclose(padded[name], whole[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["Qwen3Moe", "Mixtral"])
def test_collecting_from_experts(kind):
    ids = tokens(30)
    import transformers

    from quantlib.torch import collect_importance

    sizes = {"hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 200}
    experts = {"num_experts": 4} if kind == "Qwen3Moe" else {"num_local_experts": 4}
    config = getattr(transformers, f"{kind}Config")(**sizes, **heads, **experts, num_experts_per_tok=2)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    matrix = collect_importance(model, [ids])
    for part, cols in (("gate", 32), ("up", 32), ("down", 48)):
        sums, counts = matrix.statistics(f"blk.1.ffn_{part}_exps.weight")
        assert sums.shape == (4, cols) and counts.sum() == 2 * ids.numel()
    module = model.model.layers[1].mlp.experts
    seen = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(args))
    collect_importance(model, [ids])
    hook.remove()
    states, taken = seen[0][:2]
    own = (taken == 2).any(-1)
    expected = (states[own].double() ** 2).mean(0).detach()
    assert np.allclose(matrix["blk.1.ffn_up_exps.weight"][2], expected, rtol=1e-4)


def test_chunks_begin_as_texts_do():
    tokens(1)
    from transformers import AutoTokenizer

    from quantlib.torch import chunks

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    text = "def add(a, b): return a + b\n" * 50
    cut = list(chunks(tokenizer, text, 64))
    ids = tokenizer(text).input_ids
    assert len(cut) == len(ids) // 64 and all(chunk.shape == (1, 64) for chunk in cut)
    assert all(chunk[0, 0] == ids[0] for chunk in cut)
    assert cut[1][0, 1:].tolist() == ids[65:128]
    with pytest.raises(ql.MisuseError):
        list(chunks(tokenizer, "short", 64))

"""Splitting, merging, other metadata, single tensors."""

import json
import subprocess
import sys

import gguf
import numpy as np
import pytest

import quantlib as ql


@pytest.fixture
def model(tmp_path):
    """A model with keys and tensors of several types."""
    path = tmp_path / "model.gguf"
    rng = np.random.default_rng(1)
    tensors = {f"blk.{i}.w": rng.standard_normal((4, 256), dtype=np.float32) for i in range(4)}
    tensors["blk.4.q"] = ql.quantize(rng.standard_normal((2, 512), dtype=np.float32), "q4_k")
    tensors["blk.5.half"] = tensors["blk.0.w"].astype(np.float16)
    metadata = {
        "general.name": "before",
        "general.architecture": "llama",
        "general.url": "https://example.org",
        "llama.rope.freq_base": 1e4,
        "tokenizer.chat_template": "{{ old }}",
        "tokenizer.chat_template.tool": "{{ tool }}",
        "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b", "a"],
        "tokenizer.ggml.scores": np.array([0, 0, -1, -2, -3], np.float32),
        "tokenizer.ggml.bos_token_id": 0,
    }
    ql.save(path, tensors, metadata)
    return path


def new_metadata(model, out, *options):
    """gguf-py's own script."""
    command = [sys.executable, "-m", "gguf.scripts.gguf_new_metadata", "--force", model, out, *options]
    subprocess.run(command, check=True, capture_output=True)
    return out.read_bytes()


CASES = {
    "nothing": ([], {}),
    "name": (["--general-name", "other"], {"set": {"general.name": "other"}}),
    "description": (["--general-description", "Ä"], {"set": {"general.description": "Ä"}}),
    "remove": (
        ["--remove-metadata", "general.url", "--remove-metadata", "no.such"],
        {"remove": ["general.url", "no.such"]},
    ),
    "template": (["--chat-template", "{{ new }}"], {"chat_template": "{{ new }}"}),
    "templates": (
        ["--chat-template", json.dumps([{"name": "default", "template": "D"}, {"name": "a b", "template": "T"}])],
        {"chat_template": {"default": "D", "a b": "T"}},
    ),
    "pre": (["--pre-tokenizer", "llama-bpe"], {"set": {"tokenizer.ggml.pre": "llama-bpe"}}),
    "tokens": (
        ["--special-token", "eos", "a", "--special-token-by-id", "bos", "3"],
        {"special_tokens": {"eos": "a", "bos": 3}},
    ),
    "all": (
        ["--general-name", "n", "--general-description", "d", "--chat-template", "t", "--pre-tokenizer",
         "p", "--remove-metadata", "general.name", "--special-token", "padding", "b"],
        {"set": {"general.name": "n", "general.description": "d", "tokenizer.ggml.pre": "p"},
         "chat_template": "t", "remove": ["general.name"], "special_tokens": {"padding": "b"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_edited_files_are_those_of_gguf_new_metadata(model, tmp_path, name):
    options, wish = CASES[name]
    theirs = new_metadata(model, tmp_path / "theirs.gguf", *options)
    out = tmp_path / "ours.gguf"
    # The script sets name, description and pre-tokenizer before special tokens.
    ql.edit_metadata(model, out, **wish)
    if name != "all":
        assert out.read_bytes() == theirs
    command = out.with_name("command.gguf")
    if options:
        assert ql._quantlib.run_command(["quantlib", "edit", str(model), "-o", str(command), *options]) == 0
        assert command.read_bytes() == theirs


@pytest.mark.parametrize("option", ["--chat-template-file", "--chat-template-config"])
def test_templates_from_files(model, tmp_path, option):
    file = tmp_path / "template"
    file.write_text(json.dumps({"chat_template": "{{ from a file }}"}))
    theirs = new_metadata(model, tmp_path / "theirs.gguf", option, file)
    out = tmp_path / "ours.gguf"
    arguments = ["quantlib", "edit", str(model), "-o", str(out), option, str(file)]
    assert ql._quantlib.run_command(arguments) == 0
    assert out.read_bytes() == theirs


def test_values_keep_their_types(model, tmp_path):
    out = tmp_path / "out.gguf"
    ql.edit_metadata(
        model,
        out,
        set={"llama.rope.freq_base": 5, "new.count": 5, "new.list": [1, 2]},
        types={"new.count": "u8"},
        rename={"general.url": "general.source.url"},
    )
    with ql.open(out) as edited, ql.open(model) as before:
        assert edited.metadata["llama.rope.freq_base"] == 5.0
        kinds = [edited.metadata.type_of(key) for key in ("llama.rope.freq_base", "new.count", "new.list")]
        assert kinds == ["f32", "u8", "[i32]"]
        assert list(edited.metadata)[2] == "general.source.url"
        assert list(edited) == list(before)
        assert all(np.array_equal(edited[name].read(), before[name].read()) for name in before)


def test_what_cannot_be_edited_is_refused(model, tmp_path):
    out = tmp_path / "out.gguf"
    for wish in [
        {"remove": ["general.architecture"]},
        {"rename": {"no.such": "x"}},
        {"special_tokens": {"eos": 99}},
        {"special_tokens": {"eos": "no such"}},
        {"special_tokens": {"end": 1}},
    ]:
        with pytest.raises(ql.MisuseError):
            ql.edit_metadata(model, out, **wish)
    with pytest.raises(ql.MisuseError, match="is the input"):
        ql.edit_metadata(model, model, set={"general.name": "x"})
    ql.split(model, tmp_path / "part", max_tensors=3)
    with pytest.raises(ql.UnsupportedError, match="merge them first"):
        ql.edit_metadata(tmp_path / "part-00001-of-00002.gguf", out, set={"general.name": "x"})
    assert not out.exists()


def test_split_and_merge(model, tmp_path):
    planned = ql.split(model, tmp_path / "part", max_tensors=4, dry_run=True)
    assert planned.output is None and [file["tensors"] for file in planned.files] == [4, 2]
    report = ql.split(model, tmp_path / "part", max_tensors=4)
    parts = [file["path"] for file in report.files]
    assert parts[0] == report.output == str(tmp_path / "part-00001-of-00002.gguf")
    out = tmp_path / "merged.gguf"
    ql.merge(parts[0], out)
    with ql.open(out) as merged, ql.open(parts[1]) as split, ql.open(model) as before:
        assert list(merged) == list(split) == list(before)
        assert all(np.array_equal(merged[name].read(), before[name].read()) for name in before)
    kept = ql.quantize_model(parts[0], tmp_path / "kept", "f16", keep_split=True)
    assert [file["tensors"] for file in kept.files] == [4, 2]
    with pytest.raises(ql.MisuseError):
        ql.split(model, tmp_path / "part", max_tensors=4, max_size=1)
    with pytest.raises(ql.MisuseError, match="nothing to merge"):
        ql.merge(model, out)


def test_parts_are_what_gguf_py_reads(model, tmp_path):
    report = ql.split(model, tmp_path / "part", max_size=9000, no_tensor_first_split=True)
    names = []
    for number, file in enumerate(report.files):
        reader = gguf.GGUFReader(file["path"])
        assert reader.fields["split.no"].contents() == number
        assert reader.fields["split.count"].contents() == len(report.files)
        names += [tensor.name for tensor in reader.tensors]
    with ql.open(model) as before:
        assert names == list(before)


def test_extracted_tensors(model, tmp_path):
    out = tmp_path / "out.npy"
    with ql.open(model) as opened:
        for name, tensor in opened.items():
            ql.extract_tensor(model, name, out)
            found = np.load(out)
            assert found.dtype == np.float32 and np.array_equal(found, tensor.dequantize())
        ql.extract_tensor(model, "blk.4.q", out, raw=True)
        assert out.read_bytes() == opened["blk.4.q"].read().tobytes()
    ql.save(tmp_path / "ids.gguf", {"ids": np.arange(6, dtype=np.int64).reshape(2, 3)})
    ql.extract_tensor(tmp_path / "ids.gguf", "ids", out)
    assert np.array_equal(np.load(out), np.arange(6).reshape(2, 3))
    with pytest.raises(ql.MisuseError, match="no tensor of this name"):
        ql.extract_tensor(model, "no.such", out)

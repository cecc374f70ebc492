"""Whole models, and the command."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import quantlib as ql

DATA = Path(__file__).parent.parent / "data"
FOLDER = DATA / "tiny-llama-2m"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def f16(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny-f16.gguf"
    ql.convert_model(FOLDER, path, "f16")
    return path


@pytest.fixture(scope="module")
def q4_k_m(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny-q4_k_m.gguf"
    return path, ql.quantize_model(FOLDER, path, "q4_k_m")


@pytest.mark.parametrize("outtype", ["f32", "f16", "bf16", "q8_0", "auto"])
def test_conversions_equal_those_of_llama_cpp(tmp_path, outtype):
    golden = json.loads((DATA / "golden" / "convert" / "llama.json").read_text())["sha256"]
    out = tmp_path / "out.gguf"
    ql.convert_model(FOLDER, out, outtype)
    assert sha256(out) == golden["tiny-llama-2m"][outtype]


def test_the_file_is_a_model(f16, q4_k_m):
    with ql.open(f16) as wide, ql.open(q4_k_m[0]) as narrow:
        assert set(wide) == set(narrow)
        assert narrow.metadata["general.architecture"] == "llama"
        assert len(narrow.metadata["tokenizer.ggml.tokens"]) == wide["token_embd.weight"].shape[0]
        for name, tensor in narrow.items():
            if tensor.dtype.is_quantized:
                error = np.linalg.norm(tensor.dequantize() - wide[name].dequantize())
                assert error < 0.2 * np.linalg.norm(wide[name].dequantize()), name


def test_each_tensor_equals_quantize(q4_k_m):
    """The job and the function in memory agree, tensor by tensor."""
    with ql.open(FOLDER) as source, ql.open(q4_k_m[0]) as narrow:
        # Rows of this projection stay where they are; those of q and k are permuted.
        stored = source["model.layers.0.mlp.down_proj.weight"]
        encoded = narrow["blk.0.ffn_down.weight"]
        assert np.array_equal(encoded.read(), ql.quantize(stored, encoded.dtype).data)


def test_a_gguf_gives_the_same_as_its_folder(tmp_path, q4_k_m):
    between, out = tmp_path / "lossless.gguf", tmp_path / "out.gguf"
    ql.convert_model(FOLDER, between, "lossless")
    ql.quantize_model(between, out, "Q4_K")
    assert sha256(out) == sha256(q4_k_m[0])


def test_report(q4_k_m):
    path, report = q4_k_m
    assert isinstance(report, ql.Report)
    assert report.output == str(path) and report.file_bytes == path.stat().st_size
    assert report.recipe == "q4_k_m" and 4 < report.bits_per_weight < 16
    assert report.seconds > 0 and report.bytes_out < report.bytes_in
    data = report.to_dict()
    assert data["schema"] == 1 and data["file_bytes"] == report.file_bytes
    assert json.loads(json.dumps(data)) == data
    assert {"name", "shape", "from", "to", "bytes_in", "bytes_out"} <= set(report.tensors[0])
    assert "q4_k_m" in repr(report) and "bits per weight" in repr(report)
    html = report._repr_html_()
    assert html.count("<tr>") == len(report.tensors) + 1 and "token_embd.weight" in html


def test_html_is_escaped(q4_k_m):
    data = q4_k_m[1].to_dict()
    data["tensors"][0]["name"] = data["notes"] = "<script>"
    assert "<script>" not in ql.Report(data)._repr_html_()


def test_dry_run_writes_nothing(tmp_path, q4_k_m):
    out = tmp_path / "out.gguf"
    report = ql.quantize_model(FOLDER, out, "q4_k_m", dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert report.file_bytes == q4_k_m[1].file_bytes and report.seconds is None
    assert "dry run" in repr(report)


def test_options_reach_the_job(tmp_path, f16):
    out = tmp_path / "out.gguf"
    ql.quantize_model(
        f16,
        out,
        "q8_0",
        threads=1,
        tensor_types={r"ffn_down": "q5_0"},
        token_embedding_type="q4_0",
        override_kv={"general.name": "other", "test.int": 3, "test.bool": True, "test.float": 0.5},
        memory_limit=16 << 20,
    )
    with ql.open(out) as model:
        assert model["blk.0.ffn_down.weight"].dtype == "q5_0"
        assert model["token_embd.weight"].dtype == "q4_0"
        assert model["blk.0.attn_v.weight"].dtype == "q8_0"
        assert model.metadata["general.name"] == "other" and model.metadata["test.bool"] is True
        assert model.metadata["test.float"] == 0.5 and model.metadata["test.int"] == 3
    report = ql.quantize_model(f16, out, "q8_0", pure=True, prune_layers=[0], dry_run=True)
    assert len(report.tensors) < len(ql.open(f16))


def test_progress_is_told_and_ends_with_everything(tmp_path, f16):
    told = []
    report = ql.quantize_model(
        f16, tmp_path / "out.gguf", "q4_0", progress=lambda *event: told.append(event)
    )
    names = {tensor["name"] for tensor in report.tensors}
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {report.bytes_out}
    assert {name for _, _, name in told} <= names
    assert told[-1][0] == report.bytes_out


def test_what_a_listener_raises_cancels_and_is_raised(tmp_path, f16):
    def listener(done, total, name):
        raise LookupError(name)

    out = tmp_path / "out.gguf"
    with pytest.raises(LookupError):
        ql.quantize_model(f16, out, "q4_0", progress=listener)
    assert list(tmp_path.iterdir()) == []


def test_the_bar_goes_to_stderr(tmp_path, f16, capsys):
    ql.quantize_model(f16, tmp_path / "out.gguf", "q8_0", progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "100%" in captured.err and captured.err.endswith("\n")
    ql.quantize_model(f16, tmp_path / "out.gguf", "q8_0", progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "call, kind",
    [
        (lambda src, out: ql.quantize_model(src, out, "q9"), ql.MisuseError),
        (lambda src, out: ql.quantize_model(src, src, "q8_0"), ql.MisuseError),
        (lambda src, out: ql.quantize_model(src.parent / "no.gguf", out, "q8_0"), ql.IoError),
        (lambda src, out: ql.quantize_model(src, out, "q8_0", threads=-1), ql.MisuseError),
        (lambda src, out: ql.quantize_model(src, out, "q8_0", memory_limit=-1), ql.MisuseError),
        (lambda src, out: ql.quantize_model(src, out, "q8_0", memory_limit=1000), ql.LimitError),
        (lambda src, out: ql.quantize_model(src, out, "q8_0", tensor_types={"(": "q8_0"}), ql.MisuseError),
        (lambda src, out: ql.quantize_model(src, out, "q8_0", imatrix="a.dat"), ql.IoError),
        (lambda src, out: ql.quantize_model(src, out, "q8_0", progress=3), TypeError),
        (lambda src, out: ql.convert_model(src, out), ql.UnsupportedError),
        (lambda src, out: ql.convert_model(FOLDER, out, "q4_k_m"), ql.MisuseError),
    ],
)
def test_errors_leave_nothing(tmp_path, f16, call, kind):
    before = sha256(f16)
    with pytest.raises(kind):
        call(f16, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == [] and sha256(f16) == before


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_cancels_a_job_and_leaves_nothing(tmp_path, rng):
    source, folder = tmp_path / "big.gguf", tmp_path / "out"
    folder.mkdir()
    rows = rng.standard_normal((1 << 10, 1 << 12)).astype(np.float16)
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 128,
        "llama.embedding_length": 1 << 12,
        "llama.feed_forward_length": 1 << 12,
        "llama.attention.head_count": 32,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    ql.save(source, {"output.weight": np.tile(rows, (16, 1))}, metadata)
    program = """
        import sys, quantlib as ql
        def listen(done, total, name):
            if not listen.said:
                print("go", flush=True)
            listen.said = True
        listen.said = False
        try:
            ql.quantize_model(*sys.argv[1:], "q5_k_s", threads=1, progress=listen)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(program), source, folder / "out.gguf"]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "go\n"
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert time.monotonic() - sent < 1
        assert child.wait(10) == 0
    finally:
        child.kill()
    assert list(folder.iterdir()) == []


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "quantlib", *arguments], capture_output=True, text=True)


def test_the_command_is_installed():
    script = Path(sys.executable).with_name("quantlib")
    result = subprocess.run([script, "types", "--json"], capture_output=True, text=True)
    assert result.returncode == 0
    assert json.loads(result.stdout)["schema"] == 1
    assert command("types", "--json").stdout == result.stdout


def test_the_command_does_what_python_does(tmp_path, q4_k_m):
    out = tmp_path / "out.gguf"
    result = command("quantize", FOLDER, "-o", out, "-t", "q4_k_m", "--json")
    assert result.returncode == 0, result.stderr
    assert sha256(out) == sha256(q4_k_m[0])
    assert set(json.loads(result.stdout)) == set(q4_k_m[1].to_dict())


def test_exit_codes(tmp_path):
    assert command("--no-such-option").returncode == 2
    assert command("inspect", tmp_path / "no.gguf").returncode == 1
    assert command("--version").returncode == 0


def write_adapter(folder, module, rows, cols, rank=4):
    """A PEFT folder with one update of f32 factors, which are returned."""
    folder.mkdir()
    rng = np.random.default_rng(rank)
    a = rng.standard_normal((rank, cols), dtype=np.float32)
    b = rng.standard_normal((rows, rank), dtype=np.float32)
    name = f"base_model.model.{module}"
    header = {
        f"{name}.lora_A.weight": {"dtype": "F32", "shape": a.shape, "data_offsets": [0, a.nbytes]},
        f"{name}.lora_B.weight": {"dtype": "F32", "shape": b.shape, "data_offsets": [a.nbytes, a.nbytes + b.nbytes]},
    }
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + a.tobytes() + b.tobytes()
    (folder / "adapter_model.safetensors").write_bytes(data)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "base_model_name_or_path": str(FOLDER)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return a, b


def test_adapters_are_merged(tmp_path, f16):
    a, b = write_adapter(tmp_path / "lora", "model.layers.1.mlp.down_proj", 256, 512)
    name = "blk.1.ffn_down.weight"
    with ql.open(f16) as model:
        before = {name: tensor.dequantize() for name, tensor in model.items()}
    for lora, scale in [(tmp_path / "lora", 2.0), ((str(tmp_path / "lora"), 0.5), 1.0), ([tmp_path / "lora"] * 2, 4.0)]:
        ql.convert_model(FOLDER, tmp_path / "merged.gguf", "f16", lora=lora)
        with ql.open(tmp_path / "merged.gguf") as model:
            for other in before.keys() - {name}:
                assert np.array_equal(model[other].dequantize(), before[other])
            merged = model[name].dequantize()
        exact = before[name] + scale * (b.astype(np.float64) @ a)
        assert np.allclose(merged, exact, rtol=2**-10, atol=1e-5)
    ql.quantize_model(FOLDER, tmp_path / "q.gguf", "q8_0", lora=tmp_path / "lora")
    with ql.open(tmp_path / "q.gguf") as model:
        assert np.abs(model[name].dequantize() - before[name]).max() > 1
    with pytest.raises(ql.MisuseError, match="finite"):
        ql.convert_model(FOLDER, tmp_path / "x.gguf", lora=(tmp_path / "lora", float("inf")))
    with pytest.raises(ql.UnsupportedError, match="folder"):
        ql.quantize_model(f16, tmp_path / "x.gguf", "q8_0", lora=[tmp_path / "lora"])


def test_adapters_become_files_of_their_own(tmp_path):
    a, b = write_adapter(tmp_path / "my-lora", "model.layers.0.self_attn.v_proj", 128, 256)
    report = ql.convert_model(tmp_path / "my-lora", tmp_path / "lora.gguf", "f32")
    assert report.to_dict()["input_format"] == "peft"
    with ql.open(tmp_path / "lora.gguf") as adapter:
        assert adapter.metadata["general.type"] == "adapter"
        assert adapter.metadata["adapter.lora.alpha"] == 8.0
        assert np.array_equal(adapter["blk.0.attn_v.weight.lora_a"].read(), a)
        assert np.array_equal(adapter["blk.0.attn_v.weight.lora_b"].read(), b)
    ql.convert_model(tmp_path / "my-lora", tmp_path / "same.gguf", "f32", base=str(FOLDER))
    assert (tmp_path / "same.gguf").read_bytes() == (tmp_path / "lora.gguf").read_bytes()
    with pytest.raises(ql.Error, match="no-such"):
        ql.convert_model(tmp_path / "my-lora", tmp_path / "x.gguf", base="no-such")

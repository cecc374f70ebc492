"""Opening and saving files, with gguf-py and safetensors' own layout as the other side."""

import gc
import json
import struct

import gguf
import ml_dtypes
import numpy as np
import pytest

import quantlib as ql


@pytest.fixture
def made_by_gguf(tmp_path, weights):
    """A file with every kind of metadata and some kinds of tensors, written by gguf-py."""
    path = tmp_path / "peer.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in {
        "uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4000000000,
        "int32": -2000000000, "uint64": 2**64 - 1, "int64": -(2**63), "float32": 0.5,
        "float64": 0.1, "bool": True, "string": "näme",
    }.items():  # fmt: skip
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_array("test.strings", ["a", "", "ü"] * 1000)
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, 1.5])
    writer.add_tensor("f32", weights)
    writer.add_tensor("f16", weights.astype(np.float16))
    writer.add_tensor("i32", np.arange(6, dtype=np.int32).reshape(2, 3))
    q8_0 = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q8_0", q8_0, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_open_reads_what_gguf_py_wrote(made_by_gguf, weights):
    with ql.open(made_by_gguf) as model:
        assert model.format == "gguf"
        assert list(model) == ["f32", "f16", "i32", "q8_0"] and len(model) == 4
        assert "f32" in model and "no" not in model
        f32, q8_0 = model["f32"], model["q8_0"]
        assert (f32.name, f32.dtype, f32.shape, f32.nbytes) == ("f32", "f32", (6, 512), 12288)
        assert (q8_0.dtype, q8_0.shape, q8_0.nbytes) == ("q8_0", (6, 512), 6 * 16 * 34)
        assert np.array_equal(f32.read(), weights)
        assert np.array_equal(model["f16"].read(), weights.astype(np.float16))
        assert np.array_equal(np.asarray(model["i32"]), np.arange(6).reshape(2, 3))
        assert np.array_equal(q8_0.read(), ql.quantize(weights, "q8_0").data)
        expected = ql.quantize(weights, "q8_0").dequantize()
        assert np.array_equal(q8_0.dequantize(), expected)
        assert np.array_equal(np.asarray(q8_0), expected)
        assert model["f32"].dequantize("float16").dtype == np.float16
        assert {name: t.dtype for name, t in model.items()}["i32"] == "i32"
        with pytest.raises(KeyError):
            model["no"]


def test_metadata_are_python_values(made_by_gguf):
    with ql.open(made_by_gguf) as model:
        metadata = model.metadata
        assert metadata["general.architecture"] == "llama"
        assert metadata["test.uint64"] == 2**64 - 1 and metadata["test.int64"] == -(2**63)
        assert metadata["test.float32"] == 0.5 and metadata["test.float64"] == 0.1
        assert metadata["test.bool"] is True and metadata["test.string"] == "näme"
        assert metadata["test.strings"] == ["a", "", "ü"] * 1000
        assert metadata["test.ints"] == [1, -2, 3] and metadata["test.floats"] == [0.5, 1.5]
        assert metadata.get("no") is None and "test.bool" in metadata
        assert [metadata.type_of(f"test.{k}") for k in ("uint8", "string", "ints", "strings")] == [
            "u8", "string", "[i32]", "[string]",
        ]  # fmt: skip
        assert dict(metadata)["test.int8"] == -100
        with pytest.raises(KeyError):
            metadata["no"]


def test_a_closed_model_says_so(made_by_gguf):
    with ql.open(made_by_gguf) as model:
        tensor = model["f32"]
    with pytest.raises(ql.MisuseError, match="closed"):
        tensor.read()
    with pytest.raises(ql.MisuseError, match="closed"):
        model["f32"]
    model.close()


def test_tensors_outlive_the_name_of_the_model(made_by_gguf, weights):
    tensor = ql.open(made_by_gguf)["f32"]
    gc.collect()
    assert np.array_equal(tensor.read(), weights)


def test_quantize_takes_a_lazy_tensor(made_by_gguf, weights):
    with ql.open(made_by_gguf) as model:
        assert np.array_equal(ql.quantize(model["f32"], "q4_k").data, ql.quantize(weights, "q4_k").data)


def test_errors_name_the_file(tmp_path):
    missing = tmp_path / "no.gguf"
    with pytest.raises(ql.IoError) as caught:
        ql.open(missing)
    assert isinstance(caught.value, OSError)
    assert (caught.value.file, caught.value.errno) == (str(missing), 2)
    assert str(missing) in str(caught.value)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0))
    with pytest.raises((ql.MalformedError, ql.LimitError)) as caught:
        ql.open(str(broken))
    assert caught.value.file == str(broken)


METADATA = {
    "general.architecture": "llama",
    "a.bool": True,
    "a.u32": 7,
    "a.i32": -7,
    "a.u64": 2**63,
    "a.i64": -(2**40),
    "a.f32": 0.1,
    "a.u8": np.uint8(7),
    "a.f64": np.float64(0.1),
    "a.i32s": [1, 2, -3],
    "a.u32s": (1, 2**31),
    "a.f32s": [1, 2.5],
    "a.bools": [True, False],
    "a.strings": ["x", "", "ü"],
    "a.i16s": np.array([1, 2], np.int16),
    "a.nested": [[1, 2], [3]],
    "a.bytes": b"\xff\x00",
    "a.nothing": np.array([], np.uint8),
    "a.texts": np.array(["x", "yz"]),
}
TYPES = {"a.u8": "u8", "a.f64": "f64", "a.i16s": "[i16]", "a.nested": "[[i32]]", "a.bytes": "string",
         "a.nothing": "[u8]", "a.texts": "[string]", "general.architecture": "string"}  # fmt: skip
for key in METADATA:
    if key not in TYPES:
        name = key.removeprefix("a.").removesuffix("s")
        TYPES[key] = f"[{name}]" if key.endswith("s") else name


def test_gguf_metadata_get_the_documented_types(tmp_path):
    path = tmp_path / "new.gguf"
    ql.save(path, {}, METADATA)
    with ql.open(path) as model:
        assert list(model.metadata) == list(METADATA)
        assert {key: model.metadata.type_of(key) for key in METADATA} == TYPES
        assert model.metadata["a.f32"] == np.float32(0.1) and model.metadata["a.f64"] == 0.1
        assert model.metadata["a.i64"] == -(2**40) and model.metadata["a.u32s"] == [1, 2**31]
        assert model.metadata["a.nested"] == [[1, 2], [3]]
        assert model.metadata["a.bytes"] == "\udcff\x00"
        again = tmp_path / "again.gguf"
        ql.save(again, model, model.metadata)
        assert again.read_bytes() == path.read_bytes()
        third = tmp_path / "third.gguf"
        ql.save(third, {}, {"surrogates": model.metadata["a.bytes"]})
        assert ql.open(third).metadata["surrogates"] == "\udcff\x00"


@pytest.mark.parametrize(
    "name, value, stored",
    [("u8", 7, 7), ("i64", 7, 7), ("f64", 1, 1.0), ("f32", 2, 2.0), ("bool", False, False),
     ("[u16]", [1, 2], [1, 2]), ("[f64]", (), []), ("[string]", [], []), ("[[u8]]", [[1], []], [[1], []]),
     ("string", "x", "x"), ("uint16", 3, 3)],
)  # fmt: skip
def test_metadata_types_can_be_named(tmp_path, name, value, stored):
    path = tmp_path / "new.gguf"
    with ql.GGUFWriter(path) as writer:
        writer.add_metadata("key", value, type=name)
    with ql.open(path) as model:
        assert model.metadata.type_of("key") == name.replace("uint", "u")
        assert model.metadata["key"] == stored


@pytest.mark.parametrize(
    "value, kind",
    [
        (None, TypeError),
        ({}, TypeError),
        ([], ql.MisuseError),
        ([1, "a"], ql.MisuseError),
        ([[1], ["a"]], ql.MisuseError),
        ([True, 1], ql.MisuseError),
        ([1, None], TypeError),
        (2**64, OverflowError),
        (np.complex64(1), ql.MisuseError),
        ([2**64 - 1, -1], ql.MisuseError),
    ],
)
def test_metadata_that_gguf_cannot_hold(tmp_path, value, kind):
    path = tmp_path / "new.gguf"
    with pytest.raises(kind):
        ql.save(path, {}, {"key": value})
    assert not path.exists()


def tensors(weights):
    return {
        "f32": weights,
        "strided": weights[:, ::2],
        "big endian": weights.astype(">f4"),
        "one row": weights[:1],
        "f16": weights.astype(np.float16),
        "bf16": weights.astype(ml_dtypes.bfloat16),
        "f64": weights.astype(np.float64),
        "i8": np.arange(-3, 3, dtype=np.int8),
        "i64": np.arange(6).reshape(1, 2, 3),
        "scalar": np.array(3, np.int32),
    }


def test_save_gguf_is_read_by_gguf_py(tmp_path, weights):
    path = tmp_path / "new.gguf"
    plain = {k: v for k, v in tensors(weights).items() if k != "scalar"}
    q = ql.quantize(weights, "q4_k")
    ql.save(path, {**plain, "q4_k": q}, {"general.architecture": "llama"})
    reader = gguf.GGUFReader(path)
    found = {t.name: t for t in reader.tensors}
    assert list(found) == [*plain, "q4_k"]
    for name, array in plain.items():
        assert tuple(reversed(found[name].shape.tolist())) == array.shape, name
        native = array.astype(array.dtype.newbyteorder("="))
        assert found[name].data.tobytes() == native.tobytes(), name
    assert found["q4_k"].tensor_type.name == "Q4_K"
    assert np.array_equal(found["q4_k"].data, q.data)
    assert reader.get_field("general.architecture").contents() == "llama"


@pytest.mark.parametrize("ending", ["gguf", "safetensors"])
def test_save_and_open_agree(tmp_path, weights, ending):
    path = tmp_path / f"new.{ending}"
    arrays = tensors(weights)
    ql.save(path, arrays)
    with ql.open(path) as model:
        assert set(model) == set(arrays)
        for name, array in arrays.items():
            read = model[name].read()
            assert read.dtype == array.dtype.newbyteorder("=") and np.array_equal(read, array)
            assert model[name].shape == array.shape or (ending, name) == ("gguf", "scalar")
        # A file may be written anew from its own tensors.
        ql.save(path, model, model.metadata)
    with ql.open(path) as model:
        assert np.array_equal(model["bf16"].read(), arrays["bf16"])


def test_save_safetensors_has_the_documented_layout(tmp_path):
    path = tmp_path / "new.safetensors"
    arrays = {"b": np.array([True, False]), "a": np.arange(3, dtype=np.uint16)}
    ql.save(path, arrays, {"format": "np"})
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "np"}
    assert {k: v["dtype"] for k, v in header.items()} == {"a": "U16", "b": "BOOL"}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        assert raw[8 + length + start : 8 + length + end] == arrays[name].tobytes()
        assert tuple(entry["shape"]) == arrays[name].shape


@pytest.mark.parametrize(
    "name, save, kind",
    [
        ("a.onnx", lambda p, w: ql.save(p, {"a": w}), ql.MisuseError),
        ("a.safetensors", lambda p, w: ql.save(p, {"a": ql.quantize(w, "q4_k")}), ql.MisuseError),
        ("a.safetensors", lambda p, w: ql.save(p, {"a": w}, {"k": 1}), ql.MisuseError),
        ("a.gguf", lambda p, w: ql.save(p, {"a": w.astype(np.uint8)}), ql.MisuseError),
        ("a.gguf", lambda p, w: ql.save(p, {"a" * 64: w}), ql.MisuseError),
        ("a.gguf", lambda p, w: ql.save(p, {"a": w.astype(complex)}), TypeError),
        ("a.gguf", lambda p, w: ql.save(p, {"a": "text"}), TypeError),
        ("no/a.gguf", lambda p, w: ql.save(p, {"a": w}), ql.IoError),
    ],
)
def test_what_cannot_be_saved_leaves_no_file(tmp_path, weights, name, save, kind):
    with pytest.raises(kind):
        save(tmp_path / name, weights)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_writer_adds_tensors_of_every_kind(tmp_path, made_by_gguf, weights):
    path = tmp_path / "new.gguf"
    importance = np.linspace(0.1, 2, 512)
    with ql.open(made_by_gguf) as model, ql.GGUFWriter(path, model.metadata) as writer:
        writer.add_tensor("copied", model["q8_0"])
        writer.add_tensor("array", weights)
        writer.add_metadata("general.name", "new")
        writer.add_tensor("encoded", weights, dtype="q4_k", importance=importance)
        writer.add_tensor("converted", model["q8_0"], dtype="f16")
        writer.add_tensor("quantized", ql.quantize(weights, "q6_k"))
        assert not path.exists()
    with ql.open(path) as model:
        assert model.metadata["test.uint64"] == 2**64 - 1 and model.metadata["general.name"] == "new"
        assert np.array_equal(model["encoded"].read(), ql.quantize(weights, "q4_k", importance).data)
        q8_0 = ql.quantize(weights, "q8_0")
        assert np.array_equal(model["copied"].read(), q8_0.data)
        assert np.array_equal(model["converted"].read(), q8_0.dequantize("float16"))
        assert model["quantized"].dtype == "q6_k"


def test_an_exception_discards_the_file(tmp_path, weights):
    path = tmp_path / "new.gguf"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), ql.GGUFWriter(path) as writer:
        writer.add_tensor("a", weights)
        raise RuntimeError
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]
    with pytest.raises(ql.MisuseError, match="closed"):
        writer.add_tensor("b", weights)


def test_a_refused_tensor_does_not_spoil_the_file(tmp_path, weights):
    path = tmp_path / "new.gguf"
    with ql.GGUFWriter(path) as writer:
        writer.add_tensor("a", weights)
        with pytest.raises(ql.MisuseError) as caught:
            writer.add_tensor("a", weights)
        assert caught.value.tensor == "a"
        writer.add_tensor("b", weights)
    with ql.open(path) as model:
        assert list(model) == ["a", "b"]

"""Regenerates tests/data/golden/containers: small files as other programs write them.

    python tests/peers/golden_containers.py path/to/libggml-base.so

Needs gguf, safetensors, torch and ml_dtypes. quantlib/tests/peer_files.rs reads the files and
writes them again.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[1] / "data" / "golden" / "containers"

QUANTIZED = [("q8_0", Type.Q8_0), ("q4_k", Type.Q4_K), ("q6_k", Type.Q6_K), ("mxfp4", Type.MXFP4)]


def data(name, count):
    """The bytes that the tests expect in a tensor."""
    seed = (7 + sum(name.encode())) % 256
    return np.array([(seed + i * 31) % 256 for i in range(count)], dtype=np.uint8)


def add_keys(writer, nested):
    writer.add_uint8("u8", 255)
    writer.add_int8("i8", -128)
    writer.add_uint16("u16", 65535)
    writer.add_int16("i16", -32768)
    writer.add_uint32("u32", 7)
    writer.add_int32("i32", -9)
    writer.add_float32("f32", 1.5)
    writer.add_uint64("u64", 2**63)
    writer.add_int64("i64", -(2**60))
    writer.add_float64("f64", 3.25)
    writer.add_bool("bool", True)
    writer.add_string("string", "grüße")
    writer.add_array("integers", [1, 2, -3])
    writer.add_array("floats", [1.5, -2.5])
    writer.add_array("booleans", [True, False])
    writer.add_array("strings", ["x", "", "yy"])
    writer.add_array("bytes", b"abc")
    if nested:
        writer.add_array("nested", [[1, 2], [3]])


PLAIN = [("f32", np.float32, (1, 1, 5)), ("f16", np.float16, (3, 4)), ("scalar", np.float32, ())]

# gguf_convert_endian.py does not know these.
OTHERS = [("f64", np.float64, (2, 1)), ("i8", np.int8, (7,)), ("i16", np.int16, (3,)), ("i32", np.int32, (3,)),
          ("i64", np.int64, (3,))]  # fmt: skip


def add_tensors(writer, plain):
    for name, dtype, shape in plain:
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        writer.add_tensor(name, data(name, count).view(dtype).reshape(shape))
    for name, dtype in QUANTIZED:
        block, size = gguf.GGML_QUANT_SIZES[dtype]
        row = 512 // block * size
        writer.add_tensor(name, data(name, 2 * row).reshape(2, row), raw_dtype=dtype)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_plain():
    writer = GGUFWriter(OUT / "py.gguf", "llama")
    add_keys(writer, nested=True)
    add_tensors(writer, PLAIN + OTHERS)
    finish(writer)


def write_big_endian():
    path = OUT / "py-big-endian-64.gguf"
    path.write_bytes((OUT / "py-aligned-64.gguf").read_bytes())
    command = [sys.executable, "-m", "gguf.scripts.gguf_convert_endian", path, "big"]
    subprocess.run(command, input=b"YES\n", check=True, capture_output=True)


def write_aligned():
    writer = GGUFWriter(OUT / "py-aligned-64.gguf", "llama")
    writer.add_custom_alignment(64)
    add_keys(writer, nested=False)
    add_tensors(writer, PLAIN)
    finish(writer)


def write_vocabulary():
    writer = GGUFWriter(OUT / "py-vocabulary.gguf", "llama")
    add_keys(writer, nested=False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_split():
    writer = GGUFWriter(OUT / "split.gguf", "llama", split_max_tensors=2)
    for i in range(5):
        writer.add_tensor(f"t{i}", data(f"t{i}", 60).view(np.float32).reshape(3, 5))
    finish(writer)


def write_ggml_head(library, source, target):
    """What ggml makes of the header of a file."""

    class Params(ctypes.Structure):
        _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]

    ggml = ctypes.CDLL(library)
    ggml.gguf_init_from_file.restype = ctypes.c_void_p
    ggml.gguf_init_from_file.argtypes = [ctypes.c_char_p, Params]
    ggml.gguf_write_to_file.restype = ctypes.c_bool
    ggml.gguf_write_to_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_bool]
    model = ggml.gguf_init_from_file(bytes(OUT / source), Params(True, None))
    only_meta = True
    if not model or not ggml.gguf_write_to_file(model, bytes(OUT / target), only_meta):
        raise RuntimeError(f"ggml cannot write {target}")


def write_safetensors():
    names = ["bool", "uint8", "int8", "float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu", "int16", "uint16", "float16",
             "bfloat16", "int32", "uint32", "float32", "float64", "int64", "uint64"]  # fmt: skip
    tensors = {}
    for name in names:
        dtype = getattr(torch, name)
        # Booleans must be 0 or 1.
        content = torch.from_numpy(data(name, 6 * dtype.itemsize))
        tensors[name] = (content % 2).bool() if name == "bool" else content.view(dtype)
        tensors[name] = tensors[name].reshape(3, 2)
    tensors['quoted "ü"\n'] = torch.zeros(0, 3)
    save_file(tensors, OUT / "torch.safetensors", metadata={"format": "pt"})


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write_plain()
    write_aligned()
    write_big_endian()
    write_vocabulary()
    write_split()
    write_ggml_head(sys.argv[1], "py-aligned-64.gguf", "ggml-aligned-64.head")
    write_ggml_head(sys.argv[1], "py-vocabulary.gguf", "ggml-vocabulary.head")
    write_safetensors()


if __name__ == "__main__":
    main()

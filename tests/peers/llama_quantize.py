"""llama-quantize, from the prebuilt libllama that scripts/get-ggml fetches.

The library has the quantizer (llama_model_quantize); llama-quantize's option parsing is done here,
from its source. As a command:

    python tests/peers/llama_quantize.py [OPTIONS] IN OUT TYPE [THREADS]

with llama-quantize's options, and --quiet; or `llama_quantize.py --batch`, which reads such arguments
as a JSON array from each line of its input, and answers each with "ok" or "refused". As a module: `quantize(["--pure", "in", "out", "q4_k"])`
returns what the library logged, or raises QuantizeError with it.
"""

import ctypes
import json
import os
import sys
from ctypes import CFUNCTYPE, POINTER, Structure, Union, addressof, byref, c_bool, c_char, c_char_p
from ctypes import c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p, cast
from ctypes import create_string_buffer, sizeof, string_at
from pathlib import Path

LIBRARIES = Path(__file__).resolve().parents[2] / ".peers" / "ggml"

# llama_ftype in llama.h, by the names of llama-quantize; COPY is F32 with another flag.
FILE_TYPES = {
    "Q1_0": 40, "Q2_0": 41, "Q4_0": 2, "Q4_1": 3, "MXFP4_MOE": 38, "Q5_0": 8, "Q5_1": 9,
    "IQ2_XXS": 19, "IQ2_XS": 20, "IQ2_S": 28, "IQ2_M": 29, "IQ1_S": 24, "IQ1_M": 31, "TQ1_0": 36,
    "TQ2_0": 37, "Q2_K": 10, "Q2_K_S": 21, "IQ3_XXS": 23, "IQ3_S": 26, "IQ3_M": 27, "Q3_K": 12,
    "IQ3_XS": 22, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "IQ4_NL": 25, "IQ4_XS": 30, "Q4_K": 15,
    "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K": 17, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q8_0": 7,
    "F16": 1, "BF16": 32, "F32": 0, "COPY": 0,
}  # fmt: skip

TYPE_COUNT = 43  # GGML_TYPE_COUNT


class ImatrixData(Structure):
    _fields_ = [("name", c_char_p), ("data", POINTER(c_float)), ("size", c_size_t)]


class OverrideValue(Union):
    _fields_ = [
        ("val_i64", c_int64),
        ("val_f64", c_double),
        ("val_bool", c_bool),
        ("val_str", c_char * 128),
    ]


class KvOverride(Structure):
    _fields_ = [("tag", c_int), ("key", c_char * 128), ("value", OverrideValue)]


class TensorOverride(Structure):
    _fields_ = [("pattern", c_char_p), ("type", c_int)]


class Params(Structure):
    """llama_model_quantize_params."""

    _fields_ = [
        ("nthread", c_int32),
        ("ftype", c_int),
        ("output_tensor_type", c_int),
        ("token_embedding_type", c_int),
        ("allow_requantize", c_bool),
        ("quantize_output_tensor", c_bool),
        ("only_copy", c_bool),
        ("pure", c_bool),
        ("keep_split", c_bool),
        ("dry_run", c_bool),
        ("imatrix", POINTER(ImatrixData)),
        ("kv_overrides", POINTER(KvOverride)),
        ("tt_overrides", POINTER(TensorOverride)),
        ("prune_layers", POINTER(c_int32)),
        ("max_buf_size", c_size_t),
    ]


class QuantizeError(Exception):
    """The quantizer refused; the text is what it logged."""


class UsageError(Exception):
    """llama-quantize would have printed its usage."""


LOG_CALLBACK = CFUNCTYPE(None, c_int, c_char_p, c_void_p)


class Library:
    """The loaded library, with its log collected."""

    def __init__(self, folder=LIBRARIES):
        folder = Path(folder)
        load = lambda name: ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
        self.base = load("libggml-base.so")
        self.ggml = load("libggml.v0.5.0.so")
        self.llama = load("libllama.v0.5.0.so")
        self.common = load("libllama-common.so")
        self.base.ggml_type_name.restype = c_char_p
        self.llama.llama_model_quantize_default_params.restype = Params
        self.llama.llama_model_quantize.argtypes = [c_char_p, c_char_p, POINTER(Params)]
        self.llama.llama_model_quantize.restype = c_uint32
        self.log = []
        self._callback = LOG_CALLBACK(lambda _level, text, _user: self.log.append(text))
        self.llama.llama_log_set(self._callback, None)
        self.ggml.ggml_backend_load_all_from_path(str(folder).encode())

    def type_id(self, name):
        """parse_ggml_type"""
        for number in range(TYPE_COUNT):
            known = self.base.ggml_type_name(number)
            if known and known.decode().lower() == name.lower():
                return number
        raise UsageError(f"invalid ggml_type '{name}'")

    def quantize(self, source, target, params):
        self.log.clear()
        status = self.llama.llama_model_quantize(os.fsencode(source), os.fsencode(target), byref(params))
        text = b"".join(self.log).decode(errors="replace")
        if status != 0:
            raise QuantizeError(text)
        return text


_library = None


def library():
    global _library
    if _library is None:
        _library = Library()
    return _library


def parse_file_type(name):
    """try_parse_ftype: (number, name)"""
    for known, number in FILE_TYPES.items():
        if known == name.upper():
            return number, known
    try:
        wanted = int(name)
    except ValueError:
        return None
    return next(((n, known) for known, n in FILE_TYPES.items() if n == wanted), None)


def parse_kv_override(text):
    """string_parse_kv_override"""
    key, sep, rest = text.partition("=")
    kind, colon, value = rest.partition(":")
    if not sep or not colon or len(key.encode()) >= 128:
        raise UsageError(f"malformed KV override '{text}'")
    override = KvOverride(key=key.encode())
    if kind == "int":
        override.tag, override.value.val_i64 = 0, int(value)
    elif kind == "float":
        override.tag, override.value.val_f64 = 1, float(value)
    elif kind == "bool" and value in ("true", "false"):
        override.tag, override.value.val_bool = 2, value == "true"
    elif kind == "str" and len(value.encode()) <= 127:
        override.tag, override.value.val_str = 3, value.encode()
    else:
        raise UsageError(f"invalid KV override '{text}'")
    return override


def string_override(key, text):
    override = KvOverride(tag=3, key=key.encode())
    override.value.val_str = text[:127]
    return override


def int_override(key, number):
    override = KvOverride(tag=0, key=key.encode())
    override.value.val_i64 = number
    return override


class CppString(Structure):
    """std::string of libstdc++."""

    _fields_ = [("data", c_void_p), ("size", c_size_t), ("short", c_char * 16)]


class CppVector(Structure):
    _fields_ = [("begin", c_void_p), ("end", c_void_p), ("capacity", c_void_p)]

    def array(self, kind):
        """A copy of the elements."""
        count = ((self.end or 0) - (self.begin or 0)) // sizeof(kind)
        return (kind * count).from_buffer_copy((kind * count).from_address(self.begin)) if count else (kind * 0)()


class TreeNode(Structure):
    """What std::map's nodes begin with."""

    _fields_ = [("colour", c_int), ("parent", c_void_p), ("left", c_void_p), ("right", c_void_p)]


class Entry(Structure):
    """A node of std::map<std::string, common_imatrix_entry>."""

    _fields_ = [("node", TreeNode), ("name", CppString), ("sums", CppVector), ("counts", CppVector)]


class Imatrix(Structure):
    """common_imatrix, with the map taken apart."""

    _fields_ = [
        ("compare", c_size_t),
        ("root", TreeNode),
        ("count", c_size_t),
        ("datasets", CppVector),
        ("chunk_count", c_int32),
        ("chunk_size", c_int32),
        ("is_legacy", c_bool),
        ("has_metadata", c_bool),
    ]


LOAD_IMATRIX = "_Z19common_imatrix_loadRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER14common_imatrix"


def cpp_bytes(string):
    return string_at(string.data, string.size)


def load_imatrix(library, path):
    """load_imatrix: (weights by name, datasets, number of chunks). The file is read by llama.cpp's own
    common_imatrix_load; what follows it is done here, from its source."""
    text = os.fsencode(path)
    buffer = create_string_buffer(text)
    name = CppString(data=addressof(buffer), size=len(text))
    loaded = Imatrix()
    loaded.root.left = loaded.root.right = addressof(loaded.root)
    load = getattr(library.common, LOAD_IMATRIX)
    load.restype = c_bool
    if not load(byref(name), byref(loaded)):
        raise QuantizeError(f"failed to quantize: failed to load imatrix from '{path}'")
    if not loaded.is_legacy and not loaded.has_metadata:
        raise QuantizeError(f"failed to quantize: missing imatrix metadata in file {path}")
    weights, pending = {}, [loaded.root.parent]
    while pending:
        address = pending.pop()
        if address:
            entry = Entry.from_address(address)
            pending += [entry.node.left, entry.node.right]
            weights[cpp_bytes(entry.name).decode()] = normalized(entry, loaded.is_legacy)
    assert len(weights) == loaded.count
    datasets = [cpp_bytes(name) for name in loaded.datasets.array(CppString)]
    return weights, datasets, loaded.chunk_count


def normalized(entry, is_legacy):
    """Mean squares. Dividing in f64 and rounding to f32 gives what C's division in f32 gives."""
    sums, counts = entry.sums.array(c_float), entry.counts.array(c_int64)
    cols = len(sums) // len(counts)
    for expert, count in enumerate(counts):
        divisor = c_float(count).value
        for i in range(expert * cols, (expert + 1) * cols):
            if count > 0:
                sums[i] = sums[i] / divisor
            elif not is_legacy:
                sums[i] = 1.0
    return sums


class Job:
    """Options as llama-quantize parses them."""

    def __init__(self, library):
        self.library = library
        self.params = library.llama.llama_model_quantize_default_params()
        self.overrides = []
        self.tensor_types = []
        self.prune = set()
        self.imatrix_file = None
        self.imatrix = {}
        self.datasets = []
        self.chunks = -1
        self.included = []
        self.excluded = []
        self.quiet = False

    def option(self, name, take):
        params = self.params
        if name == "--quiet":
            self.quiet = True
        elif name == "--leave-output-tensor":
            params.quantize_output_tensor = False
        elif name in ("--dry-run", "--allow-requantize", "--pure", "--keep-split"):
            setattr(params, name[2:].replace("-", "_"), True)
        elif name in ("--output-tensor-type", "--token-embedding-type"):
            setattr(params, name[2:].replace("-", "_"), self.library.type_id(take()))
        elif name == "--tensor-type":
            self.tensor_type(take())
        elif name == "--tensor-type-file":
            for text in Path(take()).read_text().split():
                self.tensor_type(text)
        elif name == "--prune-layers":
            self.prune |= {int(layer) for layer in take().split(",")}
        elif name == "--override-kv":
            self.overrides.append(parse_kv_override(take()))
        elif name == "--imatrix":
            self.imatrix_file = take()
        elif name == "--include-weights":
            self.included.append(take())
        elif name == "--exclude-weights":
            self.excluded.append(take())
        elif name == "--max-buffer-size":
            params.max_buf_size = int(take()) << 20
        else:
            raise UsageError(f"unknown option {name}")

    def tensor_type(self, text):
        name, sep, dtype = text.partition("=")
        if not sep or not name or not dtype:
            raise UsageError(f"malformed tensor type '{text}'")
        self.tensor_types.append((name.lower().encode(), self.library.type_id(dtype)))

    def prepare_imatrix(self):
        if self.included and self.excluded:
            raise UsageError("--include-weights and --exclude-weights together")
        if self.imatrix_file and not self.imatrix:
            self.imatrix, self.datasets, self.chunks = load_imatrix(self.library, self.imatrix_file)
        found = lambda name, parts: any(part in name for part in parts)
        if self.excluded:
            self.imatrix = {k: v for k, v in self.imatrix.items() if not found(k, self.excluded)}
        if self.included:
            self.imatrix = {k: v for k, v in self.imatrix.items() if found(k, self.included)}
        if not self.imatrix:
            return
        keys = "quantize.imatrix."
        self.overrides.append(string_override(keys + "file", os.fsencode(self.imatrix_file)))
        if self.datasets:
            self.overrides.append(string_override(keys + "dataset", self.datasets[0]))
        self.overrides.append(int_override(keys + "entries_count", len(self.imatrix)))
        if self.chunks > 0:
            self.overrides.append(int_override(keys + "chunks_count", self.chunks))

    def run(self, source, target, file_type):
        parsed = parse_file_type(file_type)
        if parsed is None:
            raise UsageError(f"invalid ftype '{file_type}'")
        self.params.ftype, name = parsed
        self.params.only_copy = name == "COPY"
        self.prepare_imatrix()
        # Arrays end with a null entry; the locals keep them alive during the call.
        if self.imatrix:
            entries = [(k.encode(), cast(v, POINTER(c_float)), len(v)) for k, v in self.imatrix.items()]
            imatrix = (ImatrixData * (len(entries) + 1))(*entries)
            self.params.imatrix = imatrix
        if self.overrides:
            overrides = (KvOverride * (len(self.overrides) + 1))(*self.overrides)
            self.params.kv_overrides = overrides
        if self.tensor_types:
            types = (TensorOverride * (len(self.tensor_types) + 1))(*self.tensor_types)
            types[-1].type = TYPE_COUNT
            self.params.tt_overrides = types
        if self.prune:
            layers = (c_int32 * (len(self.prune) + 1))(*sorted(self.prune), -1)
            self.params.prune_layers = layers
        return self.library.quantize(source, target, self.params)


def parse(arguments):
    """The job and its positional arguments."""
    job = Job(library())
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name = rest.pop(0)

        def take():
            if not rest:
                raise UsageError(f"{name} needs a value")
            return rest.pop(0)

        job.option(name, take)
    return job, rest


def quantize(arguments):
    """Runs llama-quantize with these command line arguments: options, IN, OUT, TYPE, THREADS."""
    job, rest = parse(arguments)
    if len(rest) not in (3, 4):
        raise UsageError("expected IN OUT TYPE [THREADS]")
    if len(rest) == 4:
        job.params.nthread = int(rest[3])
    return job.run(*rest[:3])


def batch():
    for line in sys.stdin:
        try:
            quantize(json.loads(line))
            print("ok", flush=True)
        except QuantizeError as error:
            print(f"refused: {str(error).rpartition('failed to quantize: ')[2].strip()}", flush=True)
    return 0


def main():
    if sys.argv[1:] == ["--batch"]:
        return batch()
    try:
        text = quantize(sys.argv[1:])
    except UsageError as error:
        print(f"llama_quantize: {error}\n{__doc__}", file=sys.stderr)
        return 2
    except QuantizeError as error:
        print(error, file=sys.stderr)
        return 1
    if "--quiet" not in sys.argv:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

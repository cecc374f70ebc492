"""Random weights in safetensors files, with the standard library alone."""

import json
import random
import struct

# Type name in safetensors: bytes of an element, bits that random bytes keep, bits that are set.
# What comes out of the floats has both signs and lies between 2^-7 and 2^-3.
TYPES = {
    "F32": (4, 0x81FFFFFF, 0x3C000000),
    "F16": (2, 0x8FFF, 0x2000),
    "BF16": (2, 0x81FF, 0x3C00),
    "I64": (8, 0xFF, 0),
    # Below 2, without NaN.
    "F8_E4M3": (1, 0xBF, 0),
    "U8": (1, 0xFF, 0),
    # Biased exponents of the scales of 4-bit floats: 2^-11 to 2^-8.
    "U8:exponent": (1, 0x07, 0x74),
}
# f32 from 2^-23 to 2^-8: the normal numbers, subnormals and zeros of f16.
WIDE = (4, 0x87FFFFFF, 0x34000000)


def tensor_bytes(seed, dtype, shape, wide=False):
    size, keep, put = WIDE if wide and dtype == "F32" else TYPES[dtype]
    count = 1
    for dim in shape:
        count *= dim
    repeat = lambda bits: int.from_bytes(bits.to_bytes(size, "little") * count, "little")
    values = int.from_bytes(random.Random(seed).randbytes(count * size), "little")
    return ((values & repeat(keep)) | repeat(put)).to_bytes(count * size, "little")


def write_safetensors(path, tensors, wide=False):
    """tensors: name -> (dtype, shape)."""
    header, data = {"__metadata__": {"format": "pt"}}, []
    offset = 0
    for name, (dtype, shape) in tensors.items():
        data.append(tensor_bytes(f"{path.parent.name}/{name}", dtype, shape, wide))
        header[name] = {"dtype": dtype.split(":")[0], "shape": shape, "data_offsets": [offset, offset + len(data[-1])]}
        offset += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def write_weights(folder, tensors, shards=1, wide=False):
    if shards == 1:
        return write_safetensors(folder / "model.safetensors", tensors, wide)
    names, weight_map = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        mine = names[i::shards]
        write_safetensors(folder / file, {name: tensors[name] for name in mine}, wide)
        weight_map.update(dict.fromkeys(mine, file))
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Small random models of many architectures, as GGUF files.

A model is keys and tensors (name, type, row-major shape), all plain data, so that other programs can
make the same files: values come from a counter-based generator in exact arithmetic (see `values`).
"""

import json
import re
import struct

import numpy as np

# Value types of GGUF, and tensor types by their ggml numbers and bytes for a block of elements.
KINDS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "string": 8}
CODES = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?"}
TYPES = {"f32": (0, 1, 4), "f16": (1, 1, 2), "q8_0": (8, 32, 34), "i32": (26, 1, 4), "bf16": (30, 1, 2),
         "q4_k": (12, 256, 144), "mxfp4": (39, 32, 17)}  # fmt: skip

ALIGNMENT = 32


def u32(value):
    return {"u32": value}


def f32(value):
    return {"f32": value}


def text(value):
    return {"string": value}


def array(kind, values):
    return {"array": {kind: values}}


def describe(arch, layers, embd, ff, heads, kv_heads=None, **more):
    """The keys that llama.cpp wants of every architecture, and `more` under the architecture."""
    keys = {
        "general.architecture": text(arch),
        f"{arch}.block_count": u32(layers),
        f"{arch}.context_length": u32(128),
        f"{arch}.embedding_length": u32(embd),
        f"{arch}.feed_forward_length": u32(ff),
        f"{arch}.attention.head_count": heads if isinstance(heads, dict) else u32(heads),
        f"{arch}.attention.layer_norm_rms_epsilon": f32(2.0**-16),
        f"{arch}.attention.layer_norm_epsilon": f32(2.0**-16),
        "general.file_type": u32(1),
    }
    if kv_heads is not None:
        keys[f"{arch}.attention.head_count_kv"] = kv_heads if isinstance(kv_heads, dict) else u32(kv_heads)
    keys |= {f"{arch}.{name.replace('__', '.')}": value for name, value in more.items()}
    keys["tokenizer.ggml.tokens"] = array("string", ["<s>", "a", "\u2581b"])
    return keys


def model(keys, tensors):
    """Vectors are stored in f32, matrices in f16, unless a tensor says otherwise."""
    rows = []
    for name, shape, *dtype in tensors:
        rows.append([name, dtype[0] if dtype else "f32" if len(shape) == 1 else "f16", list(shape)])
    return {"metadata": keys, "tensors": rows}


def attention(i, embd, kv):
    return [
        (f"blk.{i}.attn_norm.weight", [embd]),
        (f"blk.{i}.attn_q.weight", [embd, embd]),
        (f"blk.{i}.attn_k.weight", [kv, embd]),
        (f"blk.{i}.attn_v.weight", [kv, embd]),
        (f"blk.{i}.attn_output.weight", [embd, embd]),
    ]


def feed_forward(i, embd, ff):
    return [
        (f"blk.{i}.ffn_norm.weight", [embd]),
        (f"blk.{i}.ffn_gate.weight", [ff, embd]),
        (f"blk.{i}.ffn_up.weight", [ff, embd]),
        (f"blk.{i}.ffn_down.weight", [embd, ff]),
    ]


def experts(i, embd, ff, count, shared=False):
    stacked = [
        (f"blk.{i}.ffn_gate_inp.weight", [count, embd]),
        (f"blk.{i}.ffn_gate_exps.weight", [count, ff, embd]),
        (f"blk.{i}.ffn_up_exps.weight", [count, ff, embd]),
        (f"blk.{i}.ffn_down_exps.weight", [count, embd, ff]),
    ]
    common = [
        (f"blk.{i}.ffn_gate_shexp.weight", [ff, embd]),
        (f"blk.{i}.ffn_up_shexp.weight", [ff, embd]),
        (f"blk.{i}.ffn_down_shexp.weight", [embd, ff]),
    ]
    return stacked + (common if shared else [])


def frame(embd, vocab=32, tied=False):
    outer = [("token_embd.weight", [vocab, embd]), ("output_norm.weight", [embd])]
    return outer if tied else outer + [("output.weight", [vocab, embd])]


def dense(arch, layers, embd=256, ff=512, heads=8, kv_heads=8, tied=False, extra=(), **more):
    kv = embd // heads * kv_heads
    blocks = [t for i in range(layers) for t in attention(i, embd, kv) + feed_forward(i, embd, ff)]
    # Converters write the layers in numeric order, llama-quantize's order is another.
    return model(
        describe(arch, layers, embd, ff, heads, kv_heads, **more),
        frame(embd, tied=tied) + blocks + list(extra),
    )


def mixture(arch, layers, count, embd=256, ff=256, heads=8, kv_heads=2, shared=False, used=2, **more):
    kv = embd // heads * kv_heads
    blocks = [
        t
        for i in range(layers)
        for t in attention(i, embd, kv)
        + [(f"blk.{i}.ffn_norm.weight", [embd])]
        + experts(i, embd, ff, count, shared)
    ]
    keys = describe(
        arch, layers, embd, ff, heads, kv_heads, expert_count=u32(count), expert_used_count=u32(used), **more
    )
    return model(keys, frame(embd) + blocks)


def split_mixture(layers, count):
    """Mixtral as it was before experts were stacked."""
    built = mixture("llama", layers, count)
    tensors = []
    for name, dtype, shape in built["tensors"]:
        if "_exps." in name:
            tensors += [[name.replace("_exps.", f".{e}."), dtype, shape[1:]] for e in range(count)]
        else:
            tensors.append([name, dtype, shape])
    return built | {"tensors": tensors}


def fused(arch, layers, embd=256, ff=1024, heads=4, kv_heads=4, tied=False, outer=(), norm="bias", **more):
    """Query, key and value in one matrix, no gate."""
    width = embd + 2 * (embd // heads * kv_heads)
    blocks = []
    for i in range(layers):
        blocks += [
            (f"blk.{i}.attn_norm.weight", [embd]),
            (f"blk.{i}.attn_norm.{norm}", [embd]),
            (f"blk.{i}.attn_qkv.weight", [width, embd]),
            (f"blk.{i}.attn_qkv.bias", [width]),
            (f"blk.{i}.attn_output.weight", [embd, embd]),
            (f"blk.{i}.ffn_up.weight", [ff, embd]),
            (f"blk.{i}.ffn_down.weight", [embd, ff]),
        ]
    return model(
        describe(arch, layers, embd, ff, heads, kv_heads, **more),
        frame(embd, tied=tied) + list(outer) + blocks,
    )


def bert(layers=6, embd=384, ff=1536):
    extra = [("position_embd.weight", [16, embd], "f32"), ("token_types.weight", [2, embd], "f32"),
             ("token_embd_norm.weight", [embd]), ("token_embd_norm.bias", [embd])]  # fmt: skip
    built = fused("bert", layers, embd, ff, heads=12, kv_heads=12, tied=True, outer=extra)
    tensors = []
    for name, dtype, shape in built["tensors"]:
        if "attn_qkv" in name:
            third = [shape[0] // 3, *shape[1:]]
            tensors += [[name.replace("attn_qkv", part), dtype, third] for part in ("attn_q", "attn_k", "attn_v")]
        elif name != "output_norm.weight":
            tensors.append([name, dtype, shape])
    return built | {"tensors": tensors}


def deepseek(arch, layers=6, embd=256, ff=256, count=16, extra=(), **more):
    blocks = []
    for i in range(layers):
        blocks += [
            (f"blk.{i}.attn_norm.weight", [embd]),
            (f"blk.{i}.attn_q_a.weight", [256, embd]),
            (f"blk.{i}.attn_q_b.weight", [256, 256]),
            (f"blk.{i}.attn_kv_a_mqa.weight", [256, embd]),
            (f"blk.{i}.attn_kv_b.weight", [512, 256]),
            (f"blk.{i}.attn_k_b.weight", [4, 256, 64]),
            (f"blk.{i}.attn_v_b.weight", [4, 64, 256]),
            (f"blk.{i}.attn_output.weight", [embd, embd]),
            (f"blk.{i}.exp_probs_b.bias", [count]),
        ]
        blocks += feed_forward(i, embd, ff) if i == 0 else experts(i, embd, ff, count, shared=True)
    keys = describe(
        arch, layers, embd, ff, 4, 1,
        expert_count=u32(count), expert_used_count=u32(4), expert_shared_count=u32(1),
        leading_dense_block_count=u32(1), expert_feed_forward_length=u32(ff),
        attention__q_lora_rank=u32(256), attention__kv_lora_rank=u32(256),
        attention__key_length=u32(320), attention__value_length=u32(256),
        attention__key_length_mla=u32(96), attention__value_length_mla=u32(64),
        rope__dimension_count=u32(32), **more,
    )  # fmt: skip
    return model(keys, frame(embd) + blocks + list(extra))


def mamba(layers=8, embd=256):
    blocks = []
    for i in range(layers):
        blocks += [
            (f"blk.{i}.attn_norm.weight", [embd]),
            (f"blk.{i}.ssm_in.weight", [2 * embd, embd]),
            (f"blk.{i}.ssm_conv1d.weight", [embd, 4], "f32"),
            (f"blk.{i}.ssm_x.weight", [48, embd]),
            (f"blk.{i}.ssm_a", [embd, 16], "f32"),
            (f"blk.{i}.ssm_out.weight", [embd, embd]),
        ]
    keys = describe(
        "mamba", layers, embd, 0, 0,
        ssm__conv_kernel=u32(4), ssm__inner_size=u32(embd), ssm__state_size=u32(16), ssm__time_step_rank=u32(16),
    )  # fmt: skip
    return model(keys, frame(embd, tied=True) + blocks)


def t5(layers=12, embd=256, ff=512):
    blocks = []
    for side in ("dec", "enc"):
        for i in range(layers):
            part = f"{side}.blk.{i}"
            blocks += [(f"{part}.attn_{n}.weight", [embd, embd]) for n in "qkvo"]
            blocks += [(f"{part}.ffn_up.weight", [ff, embd]), (f"{part}.ffn_down.weight", [embd, ff])]
        blocks.append((f"{side}.blk.0.attn_rel_b.weight", [16, 8]))
    keys = describe("t5", layers, embd, ff, 8, attention__relative_buckets_count=u32(32))
    return model(keys, frame(embd) + blocks)


def heads_by_layer(arch, layers, heads, kv_heads, **more):
    built = dense(arch, layers, **more)
    built["metadata"][f"{arch}.attention.head_count"] = array("i32", heads)
    built["metadata"][f"{arch}.attention.head_count_kv"] = array("i32", kv_heads)
    return built


def selection_models():
    """Models for choosing types; only names, shapes and keys matter."""
    odd = dense("llama", 4, embd=320, ff=480, heads=8, kv_heads=8)
    odder = dense("llama", 4, embd=200, ff=100, heads=8, kv_heads=8)
    quantized = dense("llama", 4)
    for tensor in quantized["tensors"]:
        if tensor[1] == "f16":
            tensor[1] = "q8_0" if "ffn" in tensor[0] else "q4_k"
    unnamed = dense("llama", 4)
    del unnamed["metadata"]["general.file_type"]
    unnamed["tensors"][0][1] = "mxfp4"
    shapes = dense("llama", 4, extra=[
        ("alpha", [2, 256]), ("blk.1.single.weight", [1, 256]), ("blk.1.thick.weight", [2, 2, 2, 256]),
        ("blk.1.table.weight", [4, 256], "bf16"), ("blk.1.column.weight", [256, 1]), ("blk.x.weight", [4, 256]),
        ("a.blk.2.attn_v.weight", [4, 256]), ("blk.1.position_embd.weight", [4, 256]),
    ])  # fmt: skip
    gemma = dense("gemma3n", 8, tied=True, attention__sliding_window=u32(64), extra=[
        ("per_layer_token_embd.weight", [32, 2048]), ("per_layer_model_proj.weight", [2048, 256]),
        ("altup_proj.weight", [3, 256, 256]), ("blk.0.laurel_l.weight", [64, 256]),
        ("blk.0.inp_gate.weight", [256, 256]), ("blk.0.altup_predict_coef.weight", [16, 4]),
    ])  # fmt: skip
    # Names that are kept, between the same as they would have to be to become something else.
    parts = [
        "post_ffw_norm.weight", "ffn_gate_inp.weight", "ffn_gate_inp_s.weight", "ffn_gate_tid2eid.weight",
        "altup_proj.weight", "laurel_r.weight", "per_layer_model_proj.weight", "position_embd.weight",
        "token_types.weight", "ssm_conv1d.weight", "ssm_conv1d_q.weight", "shortconv.conv.weight",
        "shortconv.in_proj.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "indexer.proj.weight",
        "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
        "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight",
        "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight", "time_mix_g2.weight",
        "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
        "time_mix_key.weight", "attn_rel_b.weight", "rel_pos_h.weight", "patch_embd.weight",
        "patch_merger.weight", "attn_k_b.weight", "attn_kv_a_mqa.weight", "hc_attn_fn.weight",
    ]  # fmt: skip
    names = [f"blk.0.{part}" for part in parts] + [
        "position_embd.weight", "token_types.weight", "sam.pos_embd.weight", "sam.neck.0.weight", "sam.net_2.weight",
        "v.patch_embd.weight", "a.rvq.codebook.0.weight", "mm.a.code_embd.weight", "mm.a.code.weight", "sam.x.weight",
    ]  # fmt: skip
    return {
        "llama-gqa1": dense("llama", 8),
        "llama-gqa4-tied": dense("llama", 32, heads=8, kv_heads=2, tied=True),
        "llama-gqa8": dense("llama", 20, heads=8, kv_heads=1),
        "llama-65b": dense("llama", 80),
        "llama-70b": dense("llama", 80, heads=8, kv_heads=1),
        "llama-gqa2-80-layers": dense("llama", 80, heads=8, kv_heads=4, tied=True),
        "llama-320-columns": odd,
        "llama-200-columns": odder,
        "llama-shapes": shapes,
        "llama-names": dense("llama", 2, extra=[(name, [4, 256]) for name in names]),
        "llama-quantized": quantized,
        "llama-no-file-type": unnamed,
        "llama-embed-80-layers": dense("llama-embed", 80, heads=8, kv_heads=4),
        "llama-2-experts": mixture("llama", 9, 2),
        "llama-4-experts": mixture("llama", 9, 4, kv_heads=8),
        "mixtral": mixture("llama", 32, 8, kv_heads=8),
        "mixtral-split": split_mixture(8, 8),
        "qwen2": dense("qwen2", 24, heads=8, kv_heads=4, tied=True),
        "qwen2-80-layers": dense("qwen2", 80, heads=8, kv_heads=8),
        "qwen2moe": mixture("qwen2moe", 12, 16, shared=True),
        "qwen3moe": mixture("qwen3moe", 16, 32, used=4),
        "deci": heads_by_layer("deci", 8, [8, 0, 8, 8, 4, 8, 8, 8], [1, 0, 8, 8, 4, 8, 8, 8]),
        "deci-80-layers": dense("deci", 80, heads=8, kv_heads=8),
        "olmo-80-layers": dense("olmo", 80),
        "jais2-68-layers": dense("jais2", 68),
        "hunyuan-dense-1-expert": dense("hunyuan-dense", 8, expert_count=u32(1), expert_used_count=u32(1)),
        "nanbeige": dense("nanbeige", 8, num_loops=u32(2)),
        "bert": bert(),
        "falcon": fused("falcon", 32, heads=8, kv_heads=1),
        "falcon-tied": fused("falcon", 24, heads=8, kv_heads=8, tied=True),
        "gpt2": fused("gpt2", 12, tied=True, outer=[("position_embd.weight", [16, 256], "f32")]),
        "bloom": fused("bloom", 30),
        "deepseek2": deepseek("deepseek2"),
        "glm4moe-nextn": mixture("glm4moe", 6, 8, shared=True, nextn_predict_layers=u32(1), expert_feed_forward_length=u32(256), expert_shared_count=u32(1)),
        "bailingmoe3": deepseek(
            "bailingmoe3", ssm__conv_kernel=u32(4), kda__head_dim=u32(64), kda__gate_lower_bound=f32(-5.0),
            expert_gating_func=u32(2),
        ),
        "gemma3n": gemma,
        "mamba": mamba(),
        "t5": t5(),
    }  # fmt: skip


def short(built, rows=10):
    """Fewer rows: the quantizer looks at every row alike, and at no shape but its own."""
    for tensor in built["tensors"]:
        shape = tensor[2]
        if len(shape) > 1:
            shape[-2] = min(shape[-2], rows + len(tensor[0]) % 3)
    return built


def mixed_types():
    built = dense("llama", 2, ff=256, heads=8, kv_heads=2, extra=[("rope_freqs.weight", [16])])
    for number, tensor in enumerate(built["tensors"]):
        if len(tensor[2]) == 2:
            tensor[1] = ["f32", "f16", "bf16"][number % 3]
    built["metadata"] |= {
        "general.name": text("Small \u00e9"),
        "split.no": {"u16": 0}, "split.count": {"u16": 1}, "split.tensors.count": {"i32": 22},
        "general.quantization_version": u32(1),
        "test.numbers": array("f32", [0.5, -1.5]), "test.flags": array("bool", [True, False]),
        "test.empty": array("string", []), "test.small": {"i8": -3}, "test.flag": {"bool": True},
    }  # fmt: skip
    return built


def quantized():
    built = dense("llama", 2, ff=256, heads=8, kv_heads=8)
    del built["metadata"]["general.file_type"]
    for tensor in built["tensors"]:
        if tensor[1] == "f16":
            tensor[1] = "q8_0"
    return built


def file_models():
    """Models for whole files: as small as types and shapes allow."""
    built = {
        "llama-mixed": mixed_types(),
        "llama-q8_0": quantized(),
        "llama-odd-columns": dense("llama", 2, embd=96, ff=100, heads=4, kv_heads=4, tied=True),
        "llama-11-layers": dense("llama", 11, ff=256, heads=8, kv_heads=8),
        "mixtral": mixture("llama", 2, 8),
        "qwen2": dense("qwen2", 3, heads=8, kv_heads=2, ff=256, tied=True, extra=[
            ("blk.0.attn_q.bias", [256]), ("blk.1.single.weight", [1, 256], "f32"),
        ]),
        "bert": bert(2, 96, 384),
        "falcon": fused("falcon", 2, ff=256, heads=4, kv_heads=1),
        "gpt2": fused("gpt2", 2, ff=256, tied=True, outer=[("position_embd.weight", [16, 256], "f32")]),
    }  # fmt: skip
    return {name: short(model) for name, model in built.items()}


# How many bits of each of four fields make a value that the type holds exactly, and its scale.
FIELD_BITS = {"f32": 16, "f16": 9, "bf16": 6}


def hashes(count, seed):
    """splitmix64 of positions from 1 on, with the seed in the upper half."""
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) + (np.uint64(seed) << np.uint64(32))
        x *= np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def fields(count, seed, bits):
    """The sums of four fields of so many bits of the hashes."""
    x = hashes(count, seed)
    mask = np.uint64((1 << bits) - 1)
    return sum(((x >> np.uint64(16 * k)) & mask).astype(np.int64) for k in range(4))


def values(dtype, count, seed):
    """Nearly normal values: sums of four fields of a hash of (seed, position), centred.

    All steps are exact in u64, i64 and the type itself, so any language gets the same bytes.
    """
    if dtype == "q8_0":
        scales = np.frombuffer(values("f16", count // 32, seed), np.uint8).reshape(-1, 2)
        codes = hashes(count, seed + 1000).astype(np.uint8).reshape(-1, 32)
        return np.hstack([scales, codes]).tobytes()
    bits = FIELD_BITS[dtype]
    centred = fields(count, seed, bits) - 2 * ((1 << bits) - 1)
    scaled = centred.astype(np.float32) * np.float32(2.0 ** -(bits + 3))
    if dtype == "f32":
        return scaled.tobytes()
    if dtype == "f16":
        return scaled.astype(np.float16).tobytes()
    return (scaled.view(np.uint32) >> np.uint32(16)).astype(np.uint16).tobytes()


def importance(built):
    """Positive weights for the columns of every tensor, for each expert by itself."""
    weights = {}
    for seed, (name, _, shape) in enumerate(built["tensors"]):
        count = shape[-1] * (shape[-3] if len(shape) > 2 else 1)
        weights[name] = (fields(count, seed + 2000, 16) + 1).astype(np.float32) * np.float32(2.0**-18)
    return weights


def folded(tensors):
    """Tensors as "name type rows x columns"; equal layers that follow each other as one, repeated."""
    groups = []
    for name, dtype, shape in tensors:
        layer = re.match(r"blk\.(\d+)\.", name)
        if layer is None:
            number, line = None, name
        else:
            number, line = int(layer[1]), "blk.{}." + name[layer.end() :]
        if not groups or groups[-1][0] != number:
            groups.append((number, []))
        groups[-1][1].append(f"{line} {dtype} {'x'.join(map(str, shape))}")
    parts = []
    for number, lines in groups:
        last = parts[-1] if parts else None
        if number is not None and last and last["tensors"] == lines and last["first"] + last["layers"] == number:
            last["layers"] += 1
        else:
            parts.append({"first": number or 0, "layers": 1, "tensors": lines})
    return parts


def described(models):
    """Models as golden files hold them."""
    return {name: built | {"tensors": folded(built["tensors"])} for name, built in models.items()}


def pretty(value, depth):
    """JSON that is spread over lines down to a depth, so that changes can be read."""
    if depth == 0 or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    rows = [f"{json.dumps(key)}: {pretty(inner, depth - 1)}" for key, inner in value.items()]
    return "{\n" + ",\n".join(rows) + "\n}"


def nbytes(dtype, shape):
    _, block, size = TYPES[dtype]
    return int(np.prod(shape)) // block * size


def string_bytes(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(kind, value):
    return string_bytes(value) if kind == "string" else struct.pack("<" + CODES[kind], value)


def header_bytes(built):
    out = [struct.pack("<4sIQQ", b"GGUF", 3, len(built["tensors"]), len(built["metadata"]))]
    for key, typed in built["metadata"].items():
        ((kind, value),) = typed.items()
        out.append(string_bytes(key))
        if kind == "array":
            ((inner, items),) = value.items()
            out.append(struct.pack("<IIQ", 9, KINDS[inner], len(items)))
            out += [value_bytes(inner, item) for item in items]
        else:
            out.append(struct.pack("<I", KINDS[kind]) + value_bytes(kind, value))
    offset = 0
    for name, dtype, shape in built["tensors"]:
        out.append(string_bytes(name))
        out.append(struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), TYPES[dtype][0], offset))
        offset += -(-nbytes(dtype, shape) // ALIGNMENT) * ALIGNMENT
    head = b"".join(out)
    return head + bytes(-len(head) % ALIGNMENT), offset


def write(built, path, with_data=True):
    """Writes the model; without data the file only has the right length."""
    head, size = header_bytes(built)
    with open(path, "wb") as file:
        file.write(head)
        if with_data:
            for seed, (_, dtype, shape) in enumerate(built["tensors"]):
                data = values(dtype, int(np.prod(shape)), seed)
                file.write(data + bytes(-len(data) % ALIGNMENT))
        file.truncate(len(head) + size)

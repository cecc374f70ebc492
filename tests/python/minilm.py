"""all-MiniLM-L6-v2 as an ONNX model, made of its Hugging Face folder without torch.

The graph is the one that torch's exporter writes of transformers' BertModel with eager attention: matrices
are transposed, heads are split by Reshape and Transpose, and masks are added to the scores as -3.4e38. Run
as a script, it writes the model: `python minilm.py FOLDER OUT.onnx`.
"""

import json
import re
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".peers/models/all-MiniLM-L6-v2"

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A fast, brown animal leaps across a sleeping hound!",
    "Quantization maps numbers to a small set of integers; models become four times smaller.",
    "How do I reset my password?",
    "I forgot my login details and cannot get into my account.",
    "It rained all day in Paris.",
    "Interest rates were raised by half a percent in September 1994, said the central bank of Norway.",
    "Yes.",
    "In mathematics, a matrix is a rectangular array of numbers, arranged in rows and columns, which is "
    "used to represent a linear map; two matrices are multiplied row by column.",
    "She sells sea shells by the sea shore, doesn't she?",
    "def add(a, b): return a + b",
    "Zürich, São Paulo & Kraków are cities (of course).",
]

# Short ones, which have little to average over, other languages, code, long ones.
MORE_SENTENCES = [
    *SENTENCES,
    "No.",
    "Hello!",
    "Why?",
    "42",
    "Thank you.",
    "Stop",
    "a",
    "...",
    "Der Zug nach Berlin fährt um sieben Uhr ab.",
    "Je ne sais pas où se trouve la bibliothèque.",
    "¿Dónde está el baño, por favor?",
    "Привет, как дела?",
    "今日はとてもいい天気ですね。",
    "Buongiorno",
    "SELECT name FROM users WHERE age > 30 ORDER BY name;",
    "https://example.com/path?query=1&lang=en",
    "E = mc^2",
    "The committee decided, after several hours of heated discussion in which nobody was willing to give "
    "in, that the new bridge would be built half a mile further down the river, where the ground is firmer, "
    "the water is shallower, and the old road from the village to the market already crosses the valley; "
    "work is to begin next spring, provided that the money can be found and that the winter is not too harsh.",
    "My dog ate my homework.",
    "The stock fell 3.7% on Tuesday after weak guidance.",
    "Water boils at 100 degrees Celsius at sea level.",
    "I agree.",
    "Good night",
    "Where?",
    "It is what it is.",
]


def read_safetensors(path):
    """The tensors of a safetensors file as f32 or i64 arrays."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "I64": np.int64}
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays


class Builder:
    """Collects nodes and constants; values are named after the modules that they come from."""

    def __init__(self, weights):
        self.weights, self.nodes, self.initializers, self.known = weights, [], [], set()

    def __call__(self, op, name, *inputs, **attributes):
        output = f"/{name}/{op}_output_0"
        self.nodes.append(helper.make_node(op, inputs, [output], f"/{name}/{op}", **attributes))
        return output

    def constant(self, name, value):
        if name not in self.known:
            self.known.add(name)
            self.initializers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def linear(self, module, x):
        matrix = self.constant(f"onnx::MatMul_{module}", self.weights[f"{module}.weight"].T)
        return self("Add", module, self.weight(f"{module}.bias"), self("MatMul", module, x, matrix))

    def norm(self, module, x, epsilon):
        scale, bias = self.weight(f"{module}.weight"), self.weight(f"{module}.bias")
        return self("LayerNormalization", module, x, scale, bias, axis=-1, epsilon=epsilon)


def attention(add, module, x, mask, config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    split = add.constant("heads", np.array([0, 0, heads, hidden // heads]))
    join = add.constant("joined", np.array([0, 0, hidden]))
    parts = {}
    for part, perm in [("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])]:
        path = f"{module}.self.{part}"
        parts[part] = add("Transpose", path, add("Reshape", path, add.linear(path, x), split), perm=perm)
    path = f"{module}.self"
    scores = add("MatMul", f"{path}.scores", parts["query"], parts["key"])
    scores = add("Div", path, scores, add.constant("scale", np.float32((hidden // heads) ** 0.5)))
    weights = add("Softmax", path, add("Add", path, scores, mask), axis=-1)
    context = add("MatMul", f"{path}.context", weights, parts["value"])
    context = add("Reshape", path, add("Transpose", path, context, perm=[0, 2, 1, 3]), join)
    context = add.linear(f"{module}.output.dense", context)
    return add.norm(f"{module}.output.LayerNorm", add("Add", f"{module}.output", context, x), config["layer_norm_eps"])


def gelu(add, module, x):
    """x * (1 + erf(x / sqrt(2))) / 2"""
    half, one = add.constant("half", np.float32(0.5)), add.constant("one", np.float32(1))
    erf = add("Erf", module, add("Div", module, x, add.constant("root2", np.float32(2**0.5))))
    return add("Mul", f"{module}.half", add("Mul", module, x, add("Add", module, erf, one)), half)


def embeddings(add, config):
    zero, one, two = (add.constant(f"int{i}", np.array([i])) for i in range(3))
    length = add("Slice", "shape", add("Shape", "shape", "input_ids"), one, two)
    positions = add.constant("embeddings.position_ids", np.arange(config["max_position_embeddings"])[None])
    positions = add("Slice", "embeddings.position_ids", positions, zero, length, one)
    parts = []
    for part, ids in [("word", "input_ids"), ("token_type", "token_type_ids"), ("position", positions)]:
        module = f"embeddings.{part}_embeddings"
        parts.append(add("Gather", module, add.weight(f"{module}.weight"), ids))
    words = add("Add", "embeddings", parts[0], parts[1])
    return add.norm("embeddings.LayerNorm", add("Add", "embeddings.position", words, parts[2]), config["layer_norm_eps"])


def attention_mask(add):
    """0 where tokens are, the least f32 where padding is: [batch, 1, 1, sequence]."""
    least = add.constant("least", np.float32(np.finfo(np.float32).min))
    mask = add("Unsqueeze", "mask", "attention_mask", add.constant("ints12", np.array([1, 2])))
    kept = add("Cast", "mask", mask, to=TensorProto.FLOAT)
    return add("Mul", "mask", add("Sub", "mask", "one", kept), least)


def build(folder=FOLDER, opset=17):
    """The model: input_ids, attention_mask, token_type_ids → last_hidden_state, pooler_output."""
    config = json.loads((Path(folder) / "config.json").read_text())
    add = Builder(read_safetensors(Path(folder) / "model.safetensors"))
    add.constant("one", np.float32(1))
    x, mask = embeddings(add, config), attention_mask(add)
    for layer in range(config["num_hidden_layers"]):
        module = f"encoder.layer.{layer}"
        x = attention(add, f"{module}.attention", x, mask, config)
        wide = gelu(add, f"{module}.intermediate", add.linear(f"{module}.intermediate.dense", x))
        wide = add.linear(f"{module}.output.dense", wide)
        x = add.norm(f"{module}.output.LayerNorm", add("Add", f"{module}.output", wide, x), config["layer_norm_eps"])
    first = add("Gather", "pooler", x, add.constant("zero", np.array(0)), axis=1)
    pooled = add("Gemm", "pooler.dense", first, add.weight("pooler.dense.weight"), add.weight("pooler.dense.bias"), transB=1)
    pooled = add("Tanh", "pooler", pooled)
    outputs = {x: "last_hidden_state", pooled: "pooler_output"}
    for node in add.nodes:
        node.input[:] = [outputs.get(name, name) for name in node.input]
        node.output[:] = [outputs.get(name, name) for name in node.output]
    hidden = config["hidden_size"]
    graph = helper.make_graph(
        add.nodes,
        "main_graph",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [
            helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden]),
            helper.make_tensor_value_info("pooler_output", TensorProto.FLOAT, ["batch", hidden]),
        ],
        add.initializers,
    )
    ir = {17: 8, 21: 10}[opset]
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def words(text):
    """Lower-case words without accents, and punctuation, as BERT's uncased tokenizers split."""
    plain = unicodedata.normalize("NFD", text.lower())
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    return re.findall(r"\w+|[^\w\s]", plain.replace("_", " _ "))


def pieces(word, vocabulary):
    """The longest known pieces of a word, from its beginning on."""
    found, begin = [], 0
    while begin < len(word):
        mark = "##" if begin else ""
        ends = (end for end in range(len(word), begin, -1) if mark + word[begin:end] in vocabulary)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]
        found.append(mark + word[begin:end])
        begin = end
    return found


def tokenize(sentences=SENTENCES, folder=FOLDER):
    """The model's inputs for sentences, padded to the longest."""
    lines = (Path(folder) / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {piece: number for number, piece in enumerate(lines)}
    rows = []
    for sentence in sentences:
        inner = [piece for word in words(sentence) for piece in pieces(word, vocabulary)]
        rows.append([vocabulary[piece] for piece in ["[CLS]", *inner, "[SEP]"]])
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = row, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def embed(session, inputs):
    """Sentence embeddings of length 1: the mean of the tokens' last hidden states."""
    hidden = session.run(["last_hidden_state"], inputs)[0].astype(np.float64)
    mask = inputs["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def cosines(session, original, inputs):
    """How alike two models' embeddings are, for each sentence."""
    return (embed(session, inputs) * embed(original, inputs)).sum(1)


if __name__ == "__main__":
    folder, out = sys.argv[1:]
    onnx.save(build(folder), out)

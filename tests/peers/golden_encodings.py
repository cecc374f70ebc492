"""Encodings that AIMET writes, for tests that read them; and whether AIMET reads ours.

By hand: in an environment with `pip install aimet-onnx==2.42.0`, `python tests/peers/golden_encodings.py`
writes tests/data/golden/encodings/. `python tests/peers/golden_encodings.py FILE ...` loads files that
`save_encodings` wrote of the classifier of tests/python/graphs.py into AIMET's simulation instead, and
compares what that then exports with them. Exits with 1 if anything differs.
"""

import json
import sys
import tempfile
from pathlib import Path

import onnx
from aimet_onnx.quantsim import QuantizationSimModel, load_encodings_to_sim

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "python"))
from graphs import classifier, images  # noqa: E402

VERSIONS = ["0.6.1", "1.0.0", "2.0.0"]
BITS = {"a8w8": ("int8", "int8"), "a16w8": ("int16", "int8"), "a16w4": ("int16", "int4")}


def simulation(folder, recipe):
    activations, weights = BITS[recipe]
    model = onnx.load(classifier(Path(folder) / "model.onnx"))
    return QuantizationSimModel(model, param_type=weights, activation_type=activations)


def export(sim, folder, version):
    sim.export(str(folder), "export", encoding_version=version)
    return json.loads((Path(folder) / "export.encodings").read_text())


def write(folder):
    golden = TESTS / "data/golden/encodings"
    golden.mkdir(parents=True, exist_ok=True)
    for recipe in ("a16w8", "a16w4"):
        sim = simulation(folder, recipe)
        sim.compute_encodings(images(4))
        for version in VERSIONS:
            text = json.dumps(export(sim, folder, version), indent=1) + "\n"
            (golden / f"{recipe}-{version}.encodings").write_text(text)


def entries(read):
    """Scales and zero points by the names of tensors, of any version; biases are left out."""
    found = {}
    for section in ("activation_encodings", "param_encodings", "encodings"):
        listed = read.get(section, {})
        pairs = listed.items() if isinstance(listed, dict) else ((entry["name"], entry) for entry in listed)
        for name, entry in pairs:
            each = entry if isinstance(entry, list) else [entry]
            if each[0].get("output_dtype") == "int32" or 32 in (each[0].get("bw"), each[0].get("bitwidth")):
                continue
            scales = [one.get("scale", one.get("y_scale")) for one in each]
            offsets = [one.get("offset", one.get("y_zero_point", 0)) for one in each]
            flat = lambda values: [x for value in values for x in (value if isinstance(value, list) else [value])]
            found[name] = (flat(scales), sorted(set(flat(offsets))))
    return found


def differs_in_kind(mismatch):
    known = vars(mismatch)
    return any(known[key] for key in known if key not in ("quantizer_name", "enabled_mismatch"))


def loads(folder, path):
    read = json.loads(Path(path).read_text())
    ours = entries(read)
    recipe = next(name for name in BITS if name in Path(path).name)
    sim = simulation(folder, recipe)
    mismatches = load_encodings_to_sim(sim, str(path), strict=False)
    # AIMET leaves what is fused or only moved alone, until a file says otherwise.
    mismatches = [each for each in mismatches if differs_in_kind(each)]
    again = entries(export(sim, folder, read["version"]))
    common = sorted(set(ours) & set(again))
    wrong = [name for name in common if ours[name] != again[name]]
    print(path, "mismatches:", mismatches, "compared:", common, "differ:", wrong)
    print("  ours alone:", sorted(set(ours) - set(again)), "theirs alone:", sorted(set(again) - set(ours)))
    return not mismatches and not wrong


def main():
    with tempfile.TemporaryDirectory() as folder:
        if paths := sys.argv[1:]:
            sys.exit(not all([loads(folder, path) for path in paths]))
        write(folder)


main()

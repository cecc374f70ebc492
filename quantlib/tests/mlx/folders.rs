//! MLX folders as input.

use crate::support::{convert, json, tiny_llama, wish};
use quantlib::arch::ConvertOptions;
use quantlib::format::{mlx, safetensors};
use quantlib::job::{JobOptions, convert_model};
use quantlib::model::TensorInfo;
use quantlib::{AffineSpec, DType, Encoding, ErrorKind, quantize_affine};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const LAYER: &str = "model.layers.0.mlp.down_proj.weight";

/// tiny-llama in a mode, in a folder that goes with the guard.
fn folder(mode: &str) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("mlx");
    convert(&tiny_llama(), &out, &wish(mode)).unwrap();
    (scratch, out)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let floats = bytes.chunks_exact(4);
    floats
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

#[test]
fn layers_are_decoded_as_they_are_read() {
    for (mode, spec) in [
        ("mlx-4bit", AffineSpec::mlx(4, 64, DType::F16)),
        ("mlx-3bit:32", AffineSpec::mlx(3, 32, DType::F16)),
        ("mlx-nvfp4", AffineSpec::mlx_float("nvfp4").unwrap()),
        ("mlx-mxfp8", AffineSpec::mlx_float("mxfp8").unwrap()),
    ] {
        let (_scratch, out) = folder(mode);
        let model = quantlib::open(&out).unwrap();
        assert_eq!(model.format(), "mlx");
        let index = model.index_of(LAYER).unwrap();
        let TensorInfo { dtype, shape, .. } = &model.tensors()[index];
        assert_eq!((*dtype, &shape[..]), (DType::F32, &[256, 512][..]));
        assert_eq!(model.encoding(index), Some(&Encoding::Affine(spec.clone())));

        let source = quantlib::open(tiny_llama()).unwrap().read(LAYER).unwrap();
        let source: Vec<_> = source
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]))
            .collect();
        let source = quantlib::Floats::from(&source[..]);
        let expected = quantize_affine(source, &[256, 512], &spec).unwrap();
        let expected = expected.dequantize().unwrap();
        let whole = model.read(LAYER).unwrap();
        assert_eq!(floats(&whole), expected, "{mode}");
        // Any bytes, wherever groups begin.
        for (start, len) in [
            (0, 1),
            (3, 10),
            (4 * 63, 9),
            (40_001, 200_000),
            (whole.len() - 5, 5),
        ] {
            let mut part = vec![0; len];
            model.read_at(index, start as u64, &mut part).unwrap();
            assert_eq!(part, whole[start..start + len], "{mode} {start}");
        }
        let norm = model.index_of("model.norm.weight").unwrap();
        assert_eq!(
            (model.tensors()[norm].dtype, model.encoding(norm)),
            (DType::F16, None)
        );
    }
}

#[test]
fn quantized_folders_become_plain_ones_and_gguf() {
    let (scratch, out) = folder("mlx-8bit");
    let plain = scratch.path().join("plain");
    let report = convert(&out, &plain, &wish("auto")).unwrap();
    assert_eq!(report.input_format, "mlx");
    let config = json(&plain.join("config.json"));
    assert!(config.get("quantization").is_none() && config.get("quantization_config").is_none());
    let model = quantlib::open(&plain).unwrap();
    assert_eq!(model.format(), "safetensors");
    // The type of the scales.
    assert_eq!(model.tensor(LAYER).unwrap().dtype, DType::F16);
    let decoded = floats(&quantlib::open(&out).unwrap().read(LAYER).unwrap());
    let plain_bytes = model.read(LAYER).unwrap();
    for (bytes, value) in plain_bytes.chunks_exact(2).zip(&decoded) {
        let expected = half::f16::from_f32(*value);
        assert_eq!(half::f16::from_le_bytes([bytes[0], bytes[1]]), expected);
    }
    // What is decoded first and what is decoded on the way give one file.
    let files = [("a.gguf", &plain), ("b.gguf", &out)].map(|(name, source)| {
        let file = scratch.path().join(name);
        let mut options = ConvertOptions::default();
        options.outtype = "f16".parse().unwrap();
        options.name = Some("same".to_owned());
        convert_model(source, &file, &options, JobOptions::default()).unwrap();
        let model = quantlib::open(&file).unwrap();
        model.read("blk.1.ffn_up.weight").unwrap()
    });
    assert!(files[0] == files[1]);

    let error = convert(&out, &scratch.path().join("again"), &wish("mlx-4bit")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("quantized already"), "{error}");
}

#[test]
fn configurations_that_contradict_the_tensors() {
    let (_scratch, out) = folder("mlx-4bit");
    let original = json(&out.join("config.json"));
    let open = |change: &dyn Fn(&mut Value)| {
        let mut config = original.clone();
        change(&mut config["quantization"]);
        std::fs::write(out.join("config.json"), config.to_string()).unwrap();
        quantlib::open(&out)
    };
    for (entry, words) in [
        (json!([]), "must be an object"),
        (json!({}), "integer"),
        (json!({"bits": 4, "group_size": -64}), "integer"),
        (json!({"bits": 8, "group_size": 64}), "contradict"),
        (json!({"bits": 4, "group_size": 32}), "contradict"),
        (
            json!({"bits": 4, "group_size": 16, "mode": "nvfp4"}),
            "contradict",
        ),
        (
            json!({"bits": 4, "group_size": 64, "mode": "q4"}),
            "none of",
        ),
        (
            json!({"bits": 4, "group_size": 64, "lm_head": {"bits": 5}}),
            "lm_head",
        ),
    ] {
        let error = open(&|q| *q = entry.clone()).unwrap_err();
        assert!(error.to_string().contains(words), "{entry}: {error}");
    }
    // Layers that config.json says are plain keep their three tensors.
    let model = open(&|q| q["lm_head"] = json!(false)).unwrap();
    assert_eq!(model.tensor("lm_head.weight").unwrap().dtype, DType::U32);
    let model = open(&|q| *q = Value::Null).unwrap_err();
    assert_eq!(model.kind(), ErrorKind::Malformed);
}

#[test]
fn layers_that_lack_a_tensor() {
    let (_scratch, out) = folder("mlx-4bit");
    let stored = safetensors::Reader::open(&out).unwrap();
    for (missing, words) in [
        (".weight", "down_proj.weight"),
        (".biases", "down_proj.biases"),
    ] {
        let name = format!("{}{missing}", LAYER.strip_suffix(".weight").unwrap());
        rewrite(&stored, &out.join("model.safetensors"), &name);
        let error = mlx::Reader::open(&out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// nvfp4 with a scale for the whole matrix: 2688 of it is 1.
#[test]
fn scales_for_whole_matrices_are_multiplied() {
    let (_scratch, out) = folder("mlx-nvfp4");
    let before = floats(&quantlib::open(&out).unwrap().read(LAYER).unwrap());
    let stored = safetensors::Reader::open(&out).unwrap();
    let name = LAYER.replace("weight", "global_scale");
    let file = out.join("model.safetensors");
    rewrite_with(&stored, &file, "", Some((&name, 2688.0 / 8.0)));
    let model = quantlib::open(&out).unwrap();
    assert!(model.tensor(&name).is_none());
    let after = floats(&model.read(LAYER).unwrap());
    assert!(before.iter().zip(&after).all(|(x, y)| x / 8.0 == *y));
    let error = mlx::Reader::open_blocks(&out, mlx::AsBlocks::Always).unwrap_err();
    assert!(error.to_string().contains("no blocks have"), "{error}");
}

/// Writes all tensors but one; the index has to go, which promises it.
fn rewrite(stored: &quantlib::model::Model, file: &Path, without: &str) {
    rewrite_with(stored, file, without, None);
}

/// The same with another tensor of one number.
fn rewrite_with(
    stored: &quantlib::model::Model,
    file: &Path,
    without: &str,
    number: Option<(&str, f32)>,
) {
    let kept = stored.tensors().iter().filter(|info| info.name != without);
    let mut infos: Vec<_> = kept.cloned().collect();
    infos.extend(number.map(|(name, _)| TensorInfo {
        name: name.to_owned(),
        dtype: DType::F32,
        shape: Vec::new(),
    }));
    let layout = safetensors::layout(&infos, &Default::default()).unwrap();
    let mut bytes = layout.head.clone();
    bytes.resize(layout.file_len as usize, 0);
    for (info, offset) in infos.iter().zip(&layout.offsets) {
        let data = match number.filter(|(name, _)| *name == info.name) {
            Some((_, number)) => number.to_le_bytes().to_vec(),
            None => stored.read(&info.name).unwrap(),
        };
        bytes[*offset as usize..][..data.len()].copy_from_slice(&data);
    }
    drop(std::fs::remove_file(
        file.with_file_name("model.safetensors.index.json"),
    ));
    // The open model keeps reading the old file.
    std::fs::remove_file(file).unwrap();
    std::fs::write(file, bytes).unwrap();
}

/// config.json is written anew, but its numbers are those that stood there, to the last digit.
#[test]
fn numbers_of_the_configuration_survive() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    std::fs::create_dir(&source).unwrap();
    for entry in std::fs::read_dir(tiny_llama()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, source.join(path.file_name().unwrap())).unwrap();
    }
    let mut numbers: Vec<String> = [
        "1e-05",
        "500000.0",
        "0.30000000000000004",
        "1e300",
        "5e-324",
    ]
    .map(str::to_owned)
    .into();
    numbers.extend(["2.2250738585072011e-308", "18446744073709551615"].map(str::to_owned));
    // Decimals as long as f64 has them.
    let bits = (0..500u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2 | 0x3000 << 48);
    numbers.extend(bits.map(|bits| format!("{:e}", f64::from_bits(bits))));
    let text = std::fs::read_to_string(source.join("config.json")).unwrap();
    let own = format!("{{\"own_numbers\": [{}],", numbers.join(", "));
    let text = text.replacen('{', &own, 1);
    std::fs::write(source.join("config.json"), text).unwrap();
    let out = scratch.path().join("out");
    convert(&source, &out, &wish("mlx-4bit")).unwrap();
    let written = std::fs::read_to_string(out.join("config.json")).unwrap();
    let written = written.split_once("\"own_numbers\": [").unwrap().1;
    let written: Vec<_> = written.split_once(']').unwrap().0.split(',').collect();
    assert_eq!(written.len(), numbers.len());
    for (after, before) in written.into_iter().zip(&numbers) {
        let value = |text: &str| text.trim().parse::<f64>().unwrap().to_bits();
        assert_eq!(value(after), value(before), "{before} became {after}");
    }
}

//! GGUF files to MLX folders: codes and scales stay, names and rows are Hugging Face's again.

#![cfg(feature = "hf")]

use quantlib::job::{JobOptions, Quantization, quantize_mlx, quantize_model};
use quantlib::recipe::Recipe;
use quantlib::recipe::mlx::{MlxQuantization, MlxRecipe};
use quantlib::{AffineSpec, AffineTensor, DType, ErrorKind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny-llama-2m")
}

fn gguf(dir: &TempDir, recipe: Recipe, pure: bool) -> PathBuf {
    let out = dir.path().join("model.gguf");
    let mut wish = Quantization::new(recipe);
    wish.options.pure = pure;
    quantize_model(tiny(), &out, &wish, JobOptions::default()).unwrap();
    out
}

fn exact() -> MlxQuantization {
    let mut wish = MlxQuantization::new(MlxRecipe::Plain);
    wish.exact = true;
    wish
}

/// The planes of a folder's layers, each a tensor.
fn raw(folder: &Path) -> quantlib::model::Model {
    quantlib::open(folder.join("model.safetensors")).unwrap()
}

/// A layer of an MLX folder, decoded.
fn layer(model: &quantlib::model::Model, path: &str, bits: u8) -> Vec<f32> {
    let read = |end: &str| model.read(&format!("{path}.{end}")).unwrap();
    let codes = model.tensor(&format!("{path}.weight")).unwrap();
    let scales = model.tensor(&format!("{path}.scales")).unwrap();
    let spec = AffineSpec::mlx(bits, 32, scales.dtype);
    let cols = codes.shape[1] * 32 / usize::from(bits);
    let shape = vec![codes.shape[0], cols];
    let planes = (read("weight"), read("scales"), read("biases"));
    let tensor = AffineTensor::new(&spec, shape, planes.0, planes.1, planes.2).unwrap();
    tensor.dequantize().unwrap()
}

#[test]
fn layers_are_those_of_the_original_model_in_blocks() {
    for (recipe, dtype, bits) in [
        (Recipe::Q8_0, DType::Q8_0, 8),
        (Recipe::Q4_0, DType::Q4_0, 4),
        (Recipe::Q4_1, DType::Q4_1, 4),
        (Recipe::Q5_0, DType::Q5_0, 5),
    ] {
        let dir = TempDir::new().unwrap();
        let file = gguf(&dir, recipe, true);
        let out = dir.path().join("mlx");
        quantize_mlx(&file, &out, &exact(), JobOptions::default()).unwrap();
        let (original, folder) = (quantlib::open(tiny()).unwrap(), raw(&out));
        let mut layers = 0;
        for info in original.tensors() {
            let values = original.read(&info.name).unwrap();
            let plain = folder
                .tensor(&info.name)
                .unwrap_or_else(|| panic!("{} is missing", info.name));
            if info.shape.len() < 2 {
                assert_eq!((plain.dtype, &plain.shape), (DType::F32, &info.shape));
                continue;
            }
            let mut wide = vec![0.0; info.elements()];
            let options = quantlib::CodecOptions::default();
            quantlib::dequantize_into(&values, info.dtype, &options, &mut wide).unwrap();
            let blocks = quantlib::quantize(&wide, info.shape[1], dtype, None).unwrap();
            let path = info.name.strip_suffix(".weight").unwrap();
            assert_eq!(
                layer(&folder, path, bits),
                blocks.dequantize().unwrap(),
                "{path}"
            );
            layers += 1;
        }
        assert!(layers > 10);
        let config = std::fs::read_to_string(out.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["quantization"]["bits"], bits);
        assert_eq!(config["quantization"]["group_size"], 32);
        let was = std::fs::read_to_string(tiny().join("config.json")).unwrap();
        let was: serde_json::Value = serde_json::from_str(&was).unwrap();
        for key in [
            "architectures",
            "model_type",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "num_hidden_layers",
            "num_key_value_heads",
            "rms_norm_eps",
            "tie_word_embeddings",
            "vocab_size",
            "max_position_embeddings",
        ] {
            assert_eq!(config[key], was[key], "{key}");
        }
    }
}

#[test]
fn what_mlx_cannot_hold_is_named() {
    let dir = TempDir::new().unwrap();
    let file = gguf(&dir, Recipe::Q6K, false);
    let out = dir.path().join("mlx");
    let error = quantize_mlx(&file, &out, &exact(), JobOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.tensor().is_some(), "{error}");
    assert!(error.to_string().contains("groups of 16"), "{error}");
    assert!(!out.exists());
    // Quantized again, it fits.
    let mut wish = MlxQuantization::new("mlx-4bit".parse().unwrap());
    let error = quantize_mlx(&file, &out, &wish, JobOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    wish.allow_requantize = true;
    quantize_mlx(&file, &out, &wish, JobOptions::default()).unwrap();
    let folder = raw(&out);
    assert_eq!(
        folder.tensor("model.embed_tokens.scales").unwrap().dtype,
        DType::F16
    );
}

/// The tokenizer made of the keys cuts text up as SentencePiece does with the model's own file.
#[test]
fn tokenizers_come_back() {
    let dir = TempDir::new().unwrap();
    let file = gguf(&dir, Recipe::Q8_0, true);
    let out = dir.path().join("mlx");
    quantize_mlx(&file, &out, &exact(), JobOptions::default()).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).unwrap();
    for (text, want) in [
        ("", &[1u32][..]),
        (
            "Hello, world!",
            &[1, 637, 642, 317, 647, 663, 278, 273, 411, 696],
        ),
        (
            "  two  spaces\n\ttabs",
            &[
                1, 259, 261, 662, 647, 259, 649, 655, 320, 284, 13, 12, 643, 608, 649,
            ],
        ),
        (
            "fn main() { println!(\"{}\", 42); }",
            &[
                1, 419, 545, 338, 319, 530, 504, 681, 684, 485, 641, 703, 688, 401, 384,
            ],
        ),
        (
            "déjà vu – 日本語 🙂",
            &[
                1, 294, 198, 172, 720, 198, 163, 331, 653, 641, 229, 131, 150, 641, 233, 154, 168,
                233, 159, 175, 235, 173, 161, 641, 243, 162, 156, 133,
            ],
        ),
    ] {
        let encoding = tokenizer.encode(text, true).unwrap();
        assert_eq!(encoding.get_ids(), want, "{text}");
        assert_eq!(tokenizer.decode(want, true).unwrap(), text);
    }
}

//! MLX folders to Hugging Face folders and GGUF files, and GGUF files to both: nothing is lost on any way.

use crate::support::{convert, json, make_models, pre, tiny_llama, to_gguf, wish};
use quantlib::arch::ConvertOptions;
use quantlib::format::safetensors;
use quantlib::job::{
    HfConversion, JobOptions, Quantization, convert_model, convert_to_hf, quantize_model,
};
use quantlib::model::Model;
use quantlib::recipe::Recipe;
use quantlib::recipe::mlx::{MlxQuantization, MlxRecipe};
use quantlib::{DType, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Type, shape and bytes by name.
type Tensors = BTreeMap<String, (DType, Vec<usize>, Vec<u8>)>;

fn tensors(model: &Model) -> Tensors {
    let tensors = model.tensors().iter().map(|info| {
        let data = model.read(&info.name).unwrap();
        (info.name.clone(), (info.dtype, info.shape.clone(), data))
    });
    tensors.collect()
}

/// The tensors of a folder as they are stored.
fn stored(folder: &Path) -> Tensors {
    tensors(&safetensors::Reader::open(folder).unwrap())
}

fn gguf(file: &Path) -> Tensors {
    tensors(&quantlib::open(file).unwrap())
}

fn exact() -> MlxQuantization {
    let mut wish = MlxQuantization::new(MlxRecipe::Plain);
    wish.exact = true;
    wish
}

fn to_hf(src: &Path, out: &Path, exact: bool) -> Result<()> {
    let mut wish = HfConversion::default();
    wish.exact = exact;
    convert_to_hf(src, out, &wish, JobOptions::default()).map(drop)
}

fn folders(models: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(models).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

fn differences(what: &str, ours: &Tensors, theirs: &Tensors) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name));
    let show = |tensors: &Tensors, name: &str| match tensors.get(name) {
        Some((dtype, shape, _)) => format!("{dtype} {shape:?}"),
        None => "nothing".to_owned(),
    };
    differ
        .map(|name| {
            format!(
                "{what}: {name}: {} and {}",
                show(ours, name),
                show(theirs, name)
            )
        })
        .collect()
}

/// What the files of a model have, but MLX's do not; blocks behind the last predict further tokens.
fn is_dropped(name: &str, blocks: u64) -> bool {
    let block = name.split('.').find_map(|part| part.parse::<u64>().ok());
    let behind = block.is_some_and(|block| block >= blocks);
    [
        "lm_head.weight",
        "inv_freq",
        ".attn.bias",
        ".attn.masked_bias",
    ]
    .iter()
    .any(|end| name.ends_with(end))
        || behind
}

#[test]
fn every_model_comes_back() {
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let (mut wrong, mut folders_back, mut files) = (Vec::new(), 0, 0);
    for model in folders(&models) {
        let name = model.file_name().unwrap().to_string_lossy().into_owned();
        let out = |what: &str| scratch.path().join(what);
        let (mlx, hf) = (out("mlx"), out("hf"));
        // Weights in 8-bit floats are decoded for MLX.
        if name.contains("fp8") || convert(&model, &mlx, &exact()).is_err() {
            continue;
        }
        // What MLX's names tell is the same model: its GGUF file has the same tensors.
        let (direct, behind) = (out("direct.gguf"), out("behind.gguf"));
        if to_gguf(&model, &model, &direct, true).is_ok() {
            match to_gguf(&mlx, &model, &behind, true) {
                // Tensors of a part that sees count where the type is chosen that loses nothing.
                Ok(()) if name.contains("eyes") => {}
                Ok(()) => {
                    let (ours, mut theirs) = (gguf(&behind), gguf(&direct));
                    theirs.retain(|name, _| ours.contains_key(name) || name != "output.weight");
                    wrong.extend(differences(&name, &ours, &theirs));
                }
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
            files += 1;
        }
        match to_hf(&mlx, &hf, true) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(()) => {
                let (ours, mut theirs) = (stored(&hf), stored(&model));
                let config = json(&hf.join("config.json"));
                let blocks = config["num_hidden_layers"].as_u64().unwrap_or(u64::MAX);
                theirs.retain(|name, _| ours.contains_key(name) || !is_dropped(name, blocks));
                // Experts that a file has joined come back one by one, other spellings as today's.
                if !name.contains("joined") && !respelled(&ours, &theirs) {
                    wrong.extend(differences(&format!("{name} hf"), &ours, &theirs));
                    folders_back += 1;
                }
                assert!(config.get("quantization").is_none());
            }
        }
        for folder in [&mlx, &hf] {
            drop(std::fs::remove_dir_all(folder));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files > 35 && folders_back > 25, "{files} {folders_back}");
}

/// Whether two folders have not one name in common that begins alike: `h.0` for `transformer.h.0`.
fn respelled(ours: &Tensors, theirs: &Tensors) -> bool {
    let known = |name: &&String| theirs.contains_key(*name);
    ours.keys().filter(known).count() == 0
}

#[test]
fn gpt_oss_keeps_its_codes_in_every_direction() {
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let model = models.join("gpt-oss-20b-tiny");
    let at = |name: &str| scratch.path().join(name);
    let original = stored(&model);
    convert(&model, &at("mlx"), &exact()).unwrap();
    to_gguf(&model, &model, &at("a.gguf"), true).unwrap();
    // MLX → Hugging Face → MLX.
    to_hf(&at("mlx"), &at("hf"), true).unwrap();
    assert!(differences("hf", &stored(&at("hf")), &original).is_empty());
    let config = json(&at("hf/config.json"));
    let was = json(&model.join("config.json"));
    assert_eq!(config["quantization_config"], was["quantization_config"]);
    convert(&at("hf"), &at("mlx2"), &exact()).unwrap();
    assert!(stored(&at("mlx2")) == stored(&at("mlx")));
    // MLX → GGUF.
    to_gguf(&at("mlx"), &model, &at("b.gguf"), true).unwrap();
    let file = gguf(&at("a.gguf"));
    assert_eq!(file["blk.1.ffn_gate_exps.weight"].0, DType::Mxfp4);
    assert!(differences("gguf", &gguf(&at("b.gguf")), &file).is_empty());
    // Also where nothing is said of exactness.
    to_gguf(&at("mlx"), &model, &at("c.gguf"), false).unwrap();
    assert_eq!(
        gguf(&at("c.gguf"))["blk.1.ffn_up_exps.weight"],
        file["blk.1.ffn_up_exps.weight"]
    );
    // GGUF → Hugging Face and GGUF → MLX; its vectors are f32.
    to_hf(&at("a.gguf"), &at("hf3"), true).unwrap();
    convert(&at("a.gguf"), &at("mlx3"), &exact()).unwrap();
    for (back, first) in [("hf3", original), ("mlx3", stored(&at("mlx")))] {
        let back = stored(&at(back));
        assert_eq!(
            back.keys().collect::<Vec<_>>(),
            first.keys().collect::<Vec<_>>()
        );
        for (name, (dtype, shape, data)) in first {
            let (ours, same, values) = &back[&name];
            assert_eq!(*same, shape, "{name}");
            match ours == &dtype {
                true => assert!(*values == data, "{name}"),
                false => assert_eq!(floats(*ours, values), floats(dtype, &data), "{name}"),
            }
        }
    }
}

fn floats(dtype: DType, data: &[u8]) -> Vec<f32> {
    quantlib::dequantize(data, dtype).unwrap()
}

/// tiny-llama in a recipe, and whatever comes of it through MLX.
#[test]
fn blocks_go_to_mlx_and_back() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    for (recipe, types) in [
        (Recipe::Q4_0, None),
        (Recipe::Q4_1, None),
        (Recipe::Q5_0, None),
        (Recipe::Q5_1, None),
        (Recipe::Q8_0, None),
        (Recipe::Q8_0, Some(DType::Mxfp4)),
        (Recipe::Q8_0, Some(DType::Nvfp4)),
    ] {
        let mut wish = Quantization::new(recipe);
        wish.options.pure = true;
        let options = &mut wish.options.tensor_types;
        options.extend(types.map(|dtype| quantlib::recipe::TensorType {
            pattern: ".*".to_owned(),
            dtype,
        }));
        let what = types.map_or(format!("{recipe:?}"), |dtype| dtype.to_string());
        quantize_model(tiny_llama(), at("a.gguf"), &wish, JobOptions::default()).unwrap();
        convert(&at("a.gguf"), &at("mlx"), &exact()).unwrap();
        to_gguf(&at("mlx"), &at(""), &at("b.gguf"), true).unwrap();
        let (before, after) = (gguf(&at("a.gguf")), gguf(&at("b.gguf")));
        let wrong = differences(&what, &after, &before);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let types = [at("a.gguf"), at("b.gguf")].map(|file| {
            let model = quantlib::open(file).unwrap();
            model.metadata()["general.file_type"].as_u64()
        });
        // A recipe's file is named after the recipe, whatever single tensors are.
        if what.starts_with('Q') {
            assert_eq!(types[0], types[1], "{what}");
        }
        std::fs::remove_dir_all(at("mlx")).unwrap();
    }
}

#[test]
fn what_blocks_cannot_hold_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    for (mode, words) in [
        ("mlx-mxfp8", "8-bit floats"),
        ("mlx-8bit", "u8:64 with biases"),
        ("mlx-6bit:32", "u6:32 with biases"),
    ] {
        convert(&tiny_llama(), &at("mlx"), &wish(mode)).unwrap();
        let error = to_gguf(&at("mlx"), &at(""), &at("no.gguf"), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{mode}: {error}");
        assert!(error.to_string().contains(words), "{mode}: {error}");
        assert!(error.tensor().is_some() && !at("no.gguf").exists());
        let error = to_hf(&at("mlx"), &at("hf"), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("--exact"), "{error}");
        to_hf(&at("mlx"), &at("hf"), false).unwrap();
        assert_eq!(stored(&at("hf"))["lm_head.weight"].0, decoded(mode));
        for folder in ["mlx", "hf"] {
            std::fs::remove_dir_all(at(folder)).unwrap();
        }
    }
    let error = to_hf(&tiny_llama(), &at("hf"), false).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
}

/// The type of scales, or what mlx_lm decodes floats to.
fn decoded(mode: &str) -> DType {
    match mode.contains("mxfp") {
        true => DType::BF16,
        false => DType::F16,
    }
}

/// Routers of 8 bits are decoded, for GGUF has them in f32; all other layers keep their codes.
#[test]
fn exact_files_decode_to_the_same_numbers() {
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let at = |name: &str| scratch.path().join(name);
    for (name, mode, router, experts) in [
        ("gpt-oss-20b-tiny", "mlx-mxfp4", DType::F32, DType::Mxfp4),
        ("gpt-oss-20b-tiny", "mlx-4bit:32", DType::F32, DType::Mxfp4),
        ("Qwen3-30B-A3B-tiny", "mlx-4bit:32", DType::F32, DType::Q4_1),
        (
            "Mixtral-12x7B-v0.1",
            "mlx-4bit:32",
            DType::Q4_1,
            DType::Q4_1,
        ),
    ] {
        let model = models.join(name);
        convert(&model, &at("mlx"), &wish(mode)).unwrap();
        to_gguf(&at("mlx"), &model, &at("exact.gguf"), true).unwrap();
        let mut options = ConvertOptions::default();
        options.outtype = "f32".parse().unwrap();
        options.pre = pre(&model);
        convert_model(at("mlx"), at("wide.gguf"), &options, JobOptions::default()).unwrap();
        let [exact, wide] = ["exact.gguf", "wide.gguf"].map(|name| gguf(&at(name)));
        assert_eq!(exact["blk.0.ffn_gate_inp.weight"].0, router, "{name}");
        assert_eq!(exact["blk.0.ffn_up_exps.weight"].0, experts, "{name}");
        assert_eq!(exact.len(), wide.len());
        for (tensor, (dtype, shape, data)) in wide {
            let (ours, same, values) = &exact[&tensor];
            assert_eq!(*same, shape, "{tensor}");
            let (ours, wide) = (floats(*ours, values), floats(dtype, &data));
            assert!(ours == wide, "{name} {mode} {tensor}");
        }
        std::fs::remove_dir_all(at("mlx")).unwrap();
    }
}

/// Experts in a stack, quantized by MLX's formula.
#[test]
fn quantized_experts_are_the_same_model_everywhere() {
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let at = |name: &str| scratch.path().join(name);
    for name in [
        "Qwen3-30B-A3B-tiny",
        "Qwen1.5-MoE-A2.7B-tiny",
        "Mixtral-12x7B-v0.1",
        "mlx-granite-moe",
        "gpt-oss-bf16",
    ] {
        let model = models.join(name);
        convert(&model, &at("mlx"), &wish("mlx-4bit:32")).unwrap();
        let layers = quantlib::open(at("mlx")).unwrap();
        assert!(
            layers.tensors().iter().any(|info| info.shape.len() == 3),
            "{name}"
        );
        // One file from the layers, and one from the floats that they are decoded to.
        convert(&at("mlx"), &at("plain"), &wish("auto")).unwrap();
        to_hf(&at("mlx"), &at("hf"), false).unwrap();
        to_hf(&at("plain"), &at("hf2"), true).unwrap();
        assert!(stored(&at("hf")) == stored(&at("hf2")), "{name}");
        let wide = |src: &Path, out: &Path| {
            let mut options = ConvertOptions::default();
            options.outtype = "f32".parse().unwrap();
            options.name = Some("same".to_owned());
            options.pre = pre(&model);
            convert_model(src, out, &options, JobOptions::default()).unwrap();
        };
        // Models for MLX alone have no tokenizer.
        if !name.starts_with("mlx-") {
            wide(&at("plain"), &at("a.gguf"));
            wide(&at("hf"), &at("b.gguf"));
            let wrong = differences(name, &gguf(&at("a.gguf")), &gguf(&at("b.gguf")));
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
        for folder in ["mlx", "plain", "hf", "hf2"] {
            std::fs::remove_dir_all(at(folder)).unwrap();
        }
    }
}

#[test]
fn layers_are_quantized_again_if_that_is_meant() {
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let at = |name: &str| scratch.path().join(name);
    for model in [tiny_llama(), models.join("Qwen3-30B-A3B-tiny")] {
        convert(&model, &at("mlx"), &wish("mlx-8bit:32")).unwrap();
        let mut again = wish("mlx-4bit:32");
        let error = convert(&at("mlx"), &at("again"), &again).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        again.allow_requantize = true;
        convert(&at("mlx"), &at("again"), &again).unwrap();
        // As the floats that it is decoded to.
        convert(&at("mlx"), &at("plain"), &wish("auto")).unwrap();
        convert(&at("plain"), &at("once"), &wish("mlx-4bit:32")).unwrap();
        let wrong = differences("again", &stored(&at("again")), &stored(&at("once")));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let [again, once] = ["again", "once"].map(|name| json(&at(name).join("config.json")));
        assert_eq!(again["quantization"], once["quantization"]);
        for folder in ["mlx", "again", "plain", "once"] {
            std::fs::remove_dir_all(at(folder)).unwrap();
        }
    }
}

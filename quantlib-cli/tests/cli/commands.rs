//! Commands that run to their end.

use crate::support::{fail, names, run, succeed, text, tiny_llama, zeros};
use quantlib::DType;
use serde_json::Value;

#[test]
fn wrong_usage_is_code_2() {
    for args in [
        &["quantize"][..],
        &["quantize", "in", "-o", "out"],
        &["frobnicate"],
        &["inspect"],
        &[
            "quantize",
            "in",
            "-o",
            "out",
            "-t",
            "q8_0",
            "--memory-limit",
            "much",
        ],
        &[
            "quantize",
            "in",
            "-o",
            "out",
            "-t",
            "q8_0",
            "--tensor-type",
            "attn_v",
        ],
    ] {
        let error = fail(2, args);
        assert!(
            error.contains("error: ") || error.contains("Usage"),
            "{error}"
        );
    }
    let error = fail(2, &["quantize", "in", "-o", "out", "-t", "q9_k"]);
    assert!(
        error.contains("unknown recipe 'q9_k'") && error.contains("q4_k_m"),
        "{error}"
    );
}

#[test]
fn help_and_version_are_code_0() {
    assert!(succeed(&["--help"]).contains("quantize"));
    assert!(succeed(&["quantize", "--help"]).contains("--memory-limit"));
    let version = succeed(&["--version"]);
    assert!(version.contains(quantlib::LLAMA_CPP_VERSION), "{version}");
}

#[test]
fn failures_are_code_1_and_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.gguf");
    let out = dir.path().join("out.gguf");
    let error = fail(
        1,
        &["quantize", text(&missing), "-o", text(&out), "-t", "q8_0"],
    );
    let expected = format!("error: {}: cannot open", missing.display());
    assert!(error.starts_with(&expected), "{error}");
    std::fs::write(&missing, "not a model").unwrap();
    let error = fail(1, &["inspect", text(&missing)]);
    assert!(
        error.starts_with(&format!("error: {}: ", missing.display())),
        "{error}"
    );
    let model = tiny_llama();
    let error = fail(
        1,
        &[
            "quantize",
            text(&model),
            "-o",
            text(&dir.path().join("no/out.gguf")),
            "-t",
            "q8_0",
        ],
    );
    assert!(error.contains("cannot create the output"), "{error}");
    let error = fail(
        1,
        &[
            "quantize",
            text(&model),
            "-o",
            text(&dir.path().join("out.onnx")),
            "-t",
            "q8_0",
        ],
    );
    assert!(error.contains(".gguf"), "{error}");
    let error = fail(
        1,
        &[
            "quantize",
            text(&model),
            "-o",
            text(&out),
            "-t",
            "q8_0",
            "--imatrix",
            "i.gguf",
        ],
    );
    assert!(error.starts_with("error: i.gguf: cannot open"), "{error}");
    assert_eq!(names(dir.path()), ["missing.gguf"]);
}

#[test]
fn a_failure_is_json_too() {
    let output = run(&["inspect", "missing.gguf", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["error"]["kind"], "io");
    assert_eq!(document["error"]["file"], "missing.gguf");
}

#[test]
fn the_main_job_works_from_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (tiny_llama(), dir.path().join("out.gguf"));
    let args = ["quantize", text(&model), "-o", text(&out), "-t", "q4_k_m"];
    let planned: Value =
        serde_json::from_str(&succeed(&[&args[..], &["--dry-run", "--json"]].concat())).unwrap();
    assert!(names(dir.path()).is_empty());
    assert_eq!(
        (&planned["schema"], &planned["output"]),
        (&1.into(), &Value::Null)
    );
    let done: Value = serde_json::from_str(&succeed(&[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!(done["tensors"], planned["tensors"]);
    assert_eq!(done["recipe"], "q4_k_m");
    assert_eq!(done["file_bytes"], std::fs::metadata(&out).unwrap().len());
    assert_eq!(done["input_format"], "huggingface");

    let text_report = succeed(&args);
    for word in ["q4_k_m", "bits per weight", text(&out)] {
        assert!(text_report.contains(word), "{text_report}");
    }
    let inspected: Value =
        serde_json::from_str(&succeed(&["inspect", text(&out), "--json"])).unwrap();
    assert_eq!(
        inspected["metadata"]["general.architecture"]["value"],
        "llama"
    );
    assert_eq!(
        inspected["tensors"].as_array().unwrap().len(),
        done["tensors"].as_array().unwrap().len()
    );
    let shown = succeed(&["inspect", text(&out), "--tensors"]);
    assert!(
        shown.contains("token_embd.weight") && shown.contains("llama.block_count"),
        "{shown}"
    );
    assert_eq!(names(dir.path()), ["out.gguf"]);
}

#[test]
fn one_pass_equals_two() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_llama();
    let [between, two, one] = ["f.gguf", "two.gguf", "one.gguf"].map(|name| dir.path().join(name));
    let stored: Value = serde_json::from_str(&succeed(&[
        "convert",
        text(&model),
        "-o",
        text(&between),
        "--json",
    ]))
    .unwrap();
    assert_eq!(stored["recipe"], "auto");
    succeed(&["quantize", text(&between), "-o", text(&two), "-t", "Q5_K"]);
    succeed(&["quantize", text(&model), "-o", text(&one), "-t", "q5_k_m"]);
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap());
    let error = fail(1, &["convert", text(&between), "-o", text(&two)]);
    assert!(error.contains("only Hugging Face folders"), "{error}");
}

#[test]
fn types_name_what_the_bytes_equal() {
    let document: Value = serde_json::from_str(&succeed(&["types", "--json"])).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["ggml_version"], quantlib::GGML_VERSION);
    let types = document["types"].as_array().unwrap();
    let q4_k = types.iter().find(|t| t["name"] == "q4_k").unwrap();
    assert_eq!(q4_k["bits_per_weight"], 4.5);
    assert_eq!(
        (&q4_k["ggml_id"], &q4_k["encode"]),
        (&12.into(), &true.into())
    );
    let i8 = types.iter().find(|t| t["name"] == "i8").unwrap();
    assert_eq!(i8["encode"], false);
    let recipes = document["recipes"].as_array().unwrap();
    let q4_k_m = recipes.iter().find(|r| r["name"] == "q4_k_m").unwrap();
    assert_eq!(q4_k_m["aliases"][0], "q4_k");
    let shown = succeed(&["types"]);
    assert!(
        shown.contains("q4_k_m") && shown.contains("4.5000"),
        "{shown}"
    );
}

#[test]
fn the_output_is_never_an_input() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.gguf");
    zeros(&input, &[("w.weight", DType::F32, &[4, 256])]);
    let before = std::fs::read(&input).unwrap();
    let mut outputs = vec![input.clone(), dir.path().join("./in.gguf")];
    #[cfg(unix)]
    {
        let (hard, soft) = (dir.path().join("hard"), dir.path().join("soft"));
        std::fs::hard_link(&input, &hard).unwrap();
        std::os::unix::fs::symlink(&input, &soft).unwrap();
        outputs.extend([hard, soft]);
    }
    for output in outputs {
        let error = fail(
            1,
            &[
                "quantize",
                text(&input),
                "-o",
                text(&output),
                "-t",
                "q4_0",
                "--pure",
            ],
        );
        assert!(error.contains("is the input"), "{error}");
    }
    assert_eq!(std::fs::read(&input).unwrap(), before);
    let model = tiny_llama();
    let weights = model.join("model.safetensors");
    let error = fail(
        1,
        &[
            "quantize",
            text(&model),
            "-o",
            text(&model.join("config.json")),
            "-t",
            "q4_0",
        ],
    );
    assert!(error.contains("is the input"), "{error}");
    assert!(weights.is_file());
}

#[test]
fn threads_and_memory_do_not_change_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_llama();
    let outputs: Vec<_> = [("1", "1M"), ("1", "512M"), ("3", "2M"), ("7", "64M")]
        .into_iter()
        .map(|(threads, limit)| {
            let out = dir.path().join(format!("{threads}-{limit}.gguf"));
            succeed(&[
                "quantize",
                text(&model),
                "-o",
                text(&out),
                "-t",
                "q4_k_m",
                "--threads",
                threads,
                "--memory-limit",
                limit,
            ]);
            std::fs::read(out).unwrap()
        })
        .collect();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn adapters_are_named_by_folders() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let (src, out) = (tiny_llama(), text(&out).to_owned());
    let args = |command, lora: &str| {
        [command, text(&src), "-o", &out, "-t", "f16", "--lora", lora].map(str::to_owned)
    };
    for command in ["convert", "quantize"] {
        let error = fail(1, &args(command, "no/such/adapter:0.5"));
        assert!(error.contains("no/such/adapter: "), "{error}");
        let error = fail(2, &args(command, "x:inf"));
        assert!(error.contains("finite"), "{error}");
    }
    assert!(names(dir.path()).is_empty());

    let adapter = dir.path().join("adapter");
    std::fs::create_dir(&adapter).unwrap();
    let config = r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 1}"#;
    std::fs::write(adapter.join("adapter_config.json"), config).unwrap();
    let file = adapter.join("adapter_model.safetensors");
    std::fs::write(&file, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    let args = ["convert", text(&adapter), "-o", &out, "-t", "f16"];
    assert!(fail(1, &args).contains("--base"));
    let args = [&args[..], &["--base", text(&src)]].concat();
    succeed(&args);
    assert!(succeed(&["inspect", &out]).contains("adapter.lora.alpha"));
}

use quantlib::format::hf::{Folder, VocabOptions, VocabStyle, vocab};
use quantlib::model::{Array, Value};
use sha2::Digest;
fn main() {
    for dir in std::env::args().skip(1) {
        let out = run(&dir);
        std::fs::write(format!("{dir}.ours"), out).unwrap();
    }
}
fn run(dir: &str) -> String {
    let folder = match Folder::open(dir) {
        Ok(f) => f,
        Err(e) => return format!("ERROR {e}\n"),
    };
    let style = match folder.architecture().unwrap() {
        "BertModel" => VocabStyle::Bert,
        "Qwen2ForCausalLM" | "Qwen3ForCausalLM" => VocabStyle::Qwen,
        _ => VocabStyle::Llama,
    };
    let h = folder.hparams();
    let d = match h.get("model_type").and_then(|m| m.as_str()) {
        Some("llama" | "mistral") => Some(32000),
        Some("qwen2" | "qwen3") => Some(151936),
        Some("bert") => Some(30522),
        _ => None,
    };
    let mut options = VocabOptions::default();
    options.vocab_size = h.get("vocab_size").map_or(d, |v| v.as_u64());
    options.token_types = h
        .get("type_vocab_size")
        .map_or(Some(2), |v| v.as_u64().map(|v| v as u32));
    options.pre = std::env::var("PRE").ok();
    match vocab(&folder, style, &options) {
        Err(e) => format!("ERROR {e}\n"),
        Ok(m) => m
            .iter()
            .map(|(k, v)| format!("{k} {}\n", show(v)))
            .collect(),
    }
}
fn show(v: &Value) -> String {
    let (t, n, s) = match v {
        Value::String(s) => (
            "string",
            s.to_string().chars().count(),
            serde_json::to_string(&s.to_string()).unwrap(),
        ),
        Value::U32(x) => ("uint32", 1, x.to_string()),
        Value::Bool(x) => ("bool", 1, x.to_string()),
        Value::Array(Array::String(a)) => ("[string]", a.len(), serde_json::to_string(a).unwrap()),
        Value::Array(Array::I32(a)) => ("[int32]", a.len(), serde_json::to_string(a).unwrap()),
        Value::Array(Array::F32(a)) => (
            "[float32]",
            a.len(),
            serde_json::to_string(&a.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).unwrap(),
        ),
        other => panic!("{other:?}"),
    };
    if s.chars().count() > 300 {
        let h: String = sha2::Sha256::digest(&s)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("{t} {n} sha256 {h}")
    } else {
        format!("{t} {s}")
    }
}

use super::*;
use crate::error::ErrorKind;
use crate::model::{Expr, OutputTensor};
use serde_json::json;

fn weight(path: &str, cols: usize, layer: Layer) -> Weight {
    let name = format!("{path}.weight");
    Weight {
        tensor: OutputTensor {
            shape: vec![4, cols],
            encoding: Encoding::Block(DType::BF16),
            source: Expr::input(&name),
            name,
            importance: None,
        },
        layer,
    }
}

fn draft(weights: Vec<Weight>) -> Draft {
    Draft {
        weights,
        blocks: 16,
        ..Draft::default()
    }
}

fn encodings(planned: &MlxPlan) -> Vec<String> {
    let tensors = planned.plan.tensors.iter();
    tensors.map(|tensor| tensor.encoding.to_string()).collect()
}

#[test]
fn layers_whose_rows_are_no_whole_groups_stay() {
    let weights = vec![
        weight("a", 128, Layer::Plain),
        weight("b", 96, Layer::Plain),
        weight("norm", 128, Layer::None),
        weight("gate", 128, Layer::Eight),
    ];
    let wish = MlxQuantization::new("MLX-4bit".parse().unwrap());
    let planned = plan(draft(weights), &wish).unwrap();
    assert_eq!(encodings(&planned), ["u4:64", "bf16", "bf16", "u8:64"]);
    assert!(planned.plan.notes[0].starts_with("b: left as it is"));
    let config = &planned.document.config;
    assert_eq!(
        config["quantization"],
        json!({"group_size": 64, "bits": 4, "mode": "affine", "gate": {"group_size": 64, "bits": 8}})
    );
    assert_eq!(config["quantization"], config["quantization_config"]);
}

#[test]
fn exceptions_come_before_the_recipe() {
    let weights = || {
        vec![
            weight("model.embed_tokens", 128, Layer::Plain),
            weight("lm_head", 128, Layer::Plain),
            weight("model.layers.0.gate", 128, Layer::Eight),
        ]
    };
    let mut wish = MlxQuantization::new(MlxRecipe::Affine(3));
    wish.group_size = Some(32);
    for text in ["embed=none", "lm_head|embed=mlx-8bit", "gate=mlx-mxfp4"] {
        wish.layers.push(text.parse().unwrap());
    }
    let planned = plan(draft(weights()), &wish).unwrap();
    assert_eq!(encodings(&planned), ["bf16", "u8:32", "f4_e2m1:32"]);
    let entries = &planned.document.config["quantization"];
    assert_eq!(
        entries["lm_head"],
        json!({"group_size": 32, "bits": 8, "mode": "affine"})
    );
    assert!(entries.get("model.embed_tokens").is_none());

    wish.group_size = Some(48);
    let error = plan(draft(weights()), &wish).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    for wrong in [
        "lm_head",
        "lm_head=q4_k",
        "lm_head=mlx-mixed-3-6",
        "(=mlx-8bit",
    ] {
        let error = wrong.parse::<LayerType>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{wrong}");
    }
}

#[test]
fn mixtures_choose_by_block_and_name() {
    let block = |i: usize| {
        ["mlp.down_proj", "self_attn.v_proj", "self_attn.q_proj"]
            .map(|name| weight(&format!("model.layers.{i}.{name}"), 64, Layer::Plain))
    };
    let mut weights: Vec<_> = (0..16).flat_map(block).collect();
    weights.push(weight("lm_head", 64, Layer::Plain));
    weights.push(weight("model.embed_tokens", 64, Layer::Plain));
    let wish = MlxQuantization::new("mlx-mixed-3-6".parse().unwrap());
    let planned = plan(draft(weights), &wish).unwrap();
    let encodings = encodings(&planned);
    // Two blocks at each end, and of those between the third and every third after it.
    let more: Vec<_> = (0..16).filter(|i| encodings[3 * i] == "u6:64").collect();
    assert_eq!(more, [0, 1, 4, 7, 10, 13, 14, 15]);
    assert_eq!(encodings[3 * 4..][..3], ["u6:64", "u6:64", "u3:64"]);
    assert_eq!(encodings[48..], ["u6:64", "u3:64"]);
    let error = plan(draft(vec![weight("h.0.c_proj", 64, Layer::Plain)]), &wish).unwrap_err();
    assert!(error.to_string().contains("down_proj"), "{error}");
}

#[test]
fn layers_that_were_quantized_before_keep_their_entries() {
    let mut draft = draft(vec![weight("lm_head", 64, Layer::Plain)]);
    let before = json!({"group_size": 32, "bits": 4, "mode": "mxfp4"});
    draft
        .document
        .config
        .insert("quantization".to_owned(), before);
    let planned = plan(draft, &MlxQuantization::new(MlxRecipe::Affine(8))).unwrap();
    assert_eq!(
        planned.document.config["quantization"],
        json!({"group_size": 32, "bits": 4, "mode": "mxfp4",
               "lm_head": {"group_size": 64, "bits": 8, "mode": "affine"}})
    );
}

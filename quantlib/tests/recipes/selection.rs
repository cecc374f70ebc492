//! The types that llama-quantize chooses, for every recipe and models of many architectures.
//!
//! The golden file has llama-quantize's own choices; tests/peers/golden_recipes.py regenerates it.

use crate::cases::{self, asks_for};
use crate::small_models::SmallModel;
use quantlib::model::{ImportanceSummary, OutputTensor, Plan, TensorInfo};
use quantlib::recipe::{self, Header};
use quantlib::{DType, Encoding, Error};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "llama.cpp")]
    contract: String,
    models: BTreeMap<String, SmallModel>,
    selections: BTreeMap<String, BTreeMap<String, Selection>>,
}

/// What llama-quantize did: the types in the order of [`role`], and the names if they changed.
#[derive(Deserialize)]
struct Selection {
    types: Option<String>,
    names: Option<Vec<String>>,
    refused: Option<String>,
}

fn golden() -> Golden {
    let text = include_str!("../../../tests/data/golden/recipes.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.contract, quantlib::LLAMA_CPP_VERSION);
    golden
}

/// An importance matrix that knows every tensor.
fn all_entries(tensors: &[TensorInfo]) -> ImportanceSummary {
    let mut summary = ImportanceSummary::default();
    for tensor in tensors {
        let weights = cases::weights(tensor);
        summary.entries.insert(tensor.name.clone(), weights);
    }
    summary
}

fn dtype(tensor: &OutputTensor) -> DType {
    let Encoding::Block(dtype) = tensor.encoding else {
        panic!("{tensor:?}");
    };
    dtype
}

/// The name without its layer, then the layer.
fn role(name: &str) -> (&str, i64) {
    name.strip_prefix("blk.")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(layer, rest)| Some((rest, layer.parse().ok()?)))
        .unwrap_or((name, -1))
}

/// The types by role, as runs: `"f32 q4_k*8"`.
fn types(plan: &Plan) -> String {
    let mut by_role: Vec<_> = plan.tensors.iter().collect();
    by_role.sort_by_key(|tensor| role(&tensor.name));
    let runs = by_role.chunk_by(|a, b| dtype(a) == dtype(b));
    let words: Vec<_> = runs
        .map(|run| match run.len() {
            1 => dtype(run[0]).name().to_owned(),
            count => format!("{}*{count}", dtype(run[0])),
        })
        .collect();
    words.join(" ")
}

/// Recipes refuse what a dry run lets pass: llama-quantize itself refuses it when it is not dry.
fn needs_more(error: &Error) -> bool {
    asks_for(error, &["--imatrix", "--allow-requantize"])
}

#[test]
fn types_are_llama_quantizes() {
    let golden = golden();
    let (mut compared, mut refused, mut needing) = (0, 0, 0);
    for (name, cases) in &golden.selections {
        let model = &golden.models[name];
        let tensors = model.tensors();
        let header = Header {
            tensors: &tensors,
            metadata: &model.metadata,
            files: &[],
        };
        for (case, expected) in cases {
            let (recipe, mut options) = cases::parse(case, &all_entries(&tensors));
            let mut plan = recipe::plan(&header, recipe, &options);
            if plan.as_ref().is_err_and(needs_more) {
                needing += 1;
                options.allow_requantize = true;
                plan = recipe::plan(&header, recipe, &options);
            }
            match (&expected.types, plan) {
                (Some(types_expected), Ok(plan)) => {
                    assert_eq!(&types(&plan), types_expected, "{name}: {case}");
                    if let Some(names) = &expected.names {
                        let renamed: Vec<_> = plan.tensors.iter().map(|t| &t.name).collect();
                        assert_eq!(renamed, names.iter().collect::<Vec<_>>(), "{name}: {case}");
                    }
                    compared += 1;
                }
                (None, Err(_)) => refused += 1,
                (Some(_), Err(error)) if needs_more(&error) => {}
                (_, plan) => panic!("{name}: {case}: {plan:?}, but {:?}", expected.refused),
            }
        }
    }
    println!("{compared} selections equal, {refused} refused by both, {needing} need an option");
    assert!(compared > 1500 && refused > 0);
}

//! The types that llama-quantize chooses, for every recipe and models of many architectures.
//!
//! The golden file has llama-quantize's own choices; tests/peers/golden_recipes.py regenerates it.

use quantlib::model::{Metadata, OutputTensor, Plan, TensorInfo};
use quantlib::recipe::{self, Header, ImportanceSummary, QuantizeOptions, Recipe};
use quantlib::{DType, Encoding, ErrorKind};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "llama.cpp")]
    contract: String,
    models: BTreeMap<String, Model>,
    selections: BTreeMap<String, BTreeMap<String, Selection>>,
}

#[derive(Deserialize)]
struct Model {
    metadata: Metadata,
    tensors: Vec<Layers>,
}

/// Equal layers that follow each other; `{}` in a name stands for the layer.
#[derive(Deserialize)]
struct Layers {
    first: usize,
    layers: usize,
    tensors: Vec<String>,
}

/// What llama-quantize did: the types in the order of [`role`], and the names if they changed.
#[derive(Deserialize)]
struct Selection {
    types: Option<String>,
    names: Option<Vec<String>>,
    refused: Option<String>,
}

fn golden() -> Golden {
    let text = include_str!("../../tests/data/golden/recipes.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.contract, quantlib::LLAMA_CPP_VERSION);
    golden
}

impl Model {
    fn tensors(&self) -> Vec<TensorInfo> {
        let layers = |part: &Layers| part.first..part.first + part.layers;
        let lines = self.tensors.iter().flat_map(|part| {
            layers(part).flat_map(|n| part.tensors.iter().map(move |line| (n, line)))
        });
        lines
            .map(|(layer, line)| {
                let words: Vec<_> = line.split(' ').collect();
                let [name, dtype, shape] = words[..] else {
                    panic!("{line}");
                };
                TensorInfo {
                    name: name.replace("{}", &layer.to_string()),
                    dtype: dtype.parse().unwrap(),
                    shape: shape.split('x').map(|dim| dim.parse().unwrap()).collect(),
                }
            })
            .collect()
    }
}

/// A recipe with llama-quantize's options, as one would type it.
fn parse(case: &str, tensors: &[TensorInfo]) -> (Recipe, QuantizeOptions) {
    let mut words = case.split(' ');
    let recipe = words.next().unwrap().parse().unwrap();
    let mut options = QuantizeOptions::default();
    while let Some(option) = words.next() {
        let mut value = || words.next().unwrap();
        match option {
            "--pure" => options.pure = true,
            "--leave-output-tensor" => options.leave_output_tensor = true,
            "--allow-requantize" => options.allow_requantize = true,
            "--output-tensor-type" => options.output_tensor_type = Some(value().parse().unwrap()),
            "--token-embedding-type" => {
                options.token_embedding_type = Some(value().parse().unwrap());
            }
            "--tensor-type" => options.tensor_types.push(value().parse().unwrap()),
            "--override-kv" => options.override_kv.push(value().parse().unwrap()),
            "--prune-layers" => {
                options.prune_layers = value().split(',').map(|n| n.parse().unwrap()).collect();
            }
            "--imatrix" => options.importance = Some(all_entries(tensors)),
            _ => panic!("{option}"),
        }
    }
    (recipe, options)
}

/// An importance matrix that knows every tensor.
fn all_entries(tensors: &[TensorInfo]) -> ImportanceSummary {
    let mut summary = ImportanceSummary::default();
    for tensor in tensors {
        let weights = match tensor.shape[..] {
            [.., experts, _, cols] => experts * cols,
            [.., cols] => cols,
            [] => 1,
        };
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
fn needs_more(error: &quantlib::Error) -> bool {
    let text = error.to_string();
    let wanted = ["--imatrix", "--allow-requantize"];
    error.kind() == ErrorKind::Misuse && wanted.iter().any(|option| text.contains(option))
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
        };
        for (case, expected) in cases {
            let (recipe, mut options) = parse(case, &tensors);
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

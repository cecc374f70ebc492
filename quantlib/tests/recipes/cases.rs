//! Recipes with options as text, the way llama-quantize's command line has them.

use quantlib::model::{ImportanceSummary, TensorInfo};
use quantlib::recipe::{QuantizeOptions, Recipe};
use quantlib::{Error, ErrorKind};

/// A recipe with options, and the importance matrix if there is to be one.
pub(crate) fn parse(case: &str, matrix: &ImportanceSummary) -> (Recipe, QuantizeOptions) {
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
            "--include-weights" => options.include_weights.push(value().into()),
            "--exclude-weights" => options.exclude_weights.push(value().into()),
            "--imatrix" => options.importance = Some(matrix.clone()),
            _ => panic!("{option}"),
        }
    }
    (recipe, options)
}

/// The number of importance weights that a tensor needs.
pub(crate) fn weights(tensor: &TensorInfo) -> usize {
    match tensor.shape[..] {
        [.., experts, _, cols] => experts * cols,
        [.., cols] => cols,
        [] => 1,
    }
}

/// Whether the error asks for one of llama-quantize's options.
pub(crate) fn asks_for(error: &Error, options: &[&str]) -> bool {
    let text = error.to_string();
    error.kind() == ErrorKind::Misuse && options.iter().any(|option| text.contains(option))
}

//! What a description says of a model type in MLX.

use crate::arch::family::Tensor;
use crate::format::mlx::Layer;

/// One model type of mlx_lm: where its tensors and layers differ from Hugging Face's.
#[derive(Debug)]
pub(in crate::arch) struct Mlx {
    /// `model_type` in config.json.
    pub(in crate::arch) model_types: &'static [&'static str],
    /// What the names of all tensors have in front beside the usual.
    pub(in crate::arch) prefix: &'static str,
    /// Tensors with other names or values than in Hugging Face's files; the rest stays as it is.
    pub(in crate::arch) tensors: &'static [&'static [Tensor]],
    /// When there is an output matrix.
    pub(in crate::arch) head: Head,
    /// `rope_theta` where config.json has none at the top; none if mlx_lm needs one there.
    pub(in crate::arch) rope_theta: Option<f64>,
    /// Whether mlx_lm understands `rope_parameters`.
    pub(in crate::arch) knows_rope_parameters: bool,
    /// Ends of the paths of matrices that are no layers.
    pub(in crate::arch) matrices: &'static [&'static str],
    /// Ends of the paths of layers with 8 bits.
    pub(in crate::arch) eight: &'static [&'static str],
    /// Ends of the names of tensors that keep their type.
    pub(in crate::arch) exact: &'static [&'static str],
    /// Ends of the names of tensors that the index does not count: they are a module's that has
    /// modules.
    pub(in crate::arch) uncounted: &'static [&'static str],
}

/// When a model has an output matrix of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::arch) enum Head {
    /// Unless `tie_word_embeddings` is true. Without that key mlx_lm takes it for this; none if it
    /// needs the key.
    Tied(Option<bool>),
    /// Never: the embeddings take its place.
    Never,
    /// Always.
    Always,
    /// If the file has one.
    IfThere,
}

impl Mlx {
    /// Whether the matrix at a path is a layer that can be quantized.
    pub(super) fn layer(&self, path: &str) -> Layer {
        let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
        match (ends(self.eight), ends(self.matrices)) {
            (true, _) => Layer::Eight,
            (_, true) => Layer::None,
            _ => Layer::Plain,
        }
    }

    /// What mlx_lm's `llama` is, and most are alike.
    pub(in crate::arch) const LLAMA: Self = Self {
        model_types: &["llama", "mistral"],
        prefix: "",
        tensors: &[],
        head: Head::Tied(Some(true)),
        rope_theta: Some(10_000.0),
        knows_rope_parameters: false,
        matrices: &[],
        eight: &[],
        exact: &[],
        uncounted: &[],
    };
}

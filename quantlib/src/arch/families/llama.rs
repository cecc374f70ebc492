//! Llama and Mistral: one layout of tensors and keys.

use super::DECODER;
use crate::arch::family::{Computed, Family, Heads, Param, Rewrite, Tensor};
use crate::format::hf::VocabStyle;

pub(super) const LLAMA: Family = Family {
    classes: &["LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"],
    bare: &[("LlamaModel", "model.")],
    gguf: "llama",
    rerankers: &[],
    spellings: &[],
    skip: &[],
    tensors: &[
        DECODER,
        &[
            Tensor::new("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q")
                .rewrite(Rewrite::PairHalves(Heads::Query)),
            Tensor::new("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k")
                .rewrite(Rewrite::PairHalves(Heads::Key)),
        ],
    ],
    computed: &[Computed::Llama3RopeFactors],
    params: &[
        Param::Uint("vocab_size", &["vocab_size"]),
        Param::RopeDimensions,
    ],
    vocab: VocabStyle::Llama,
};

pub(super) const MISTRAL: Family = Family {
    classes: &["MistralForCausalLM"],
    bare: &[],
    ..LLAMA
};

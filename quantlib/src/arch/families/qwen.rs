//! Qwen 2 and 3: Llama's layout with the heads left as they are.

use super::DECODER;
use crate::arch::family::{Family, Param, Tensor};
use crate::format::hf::VocabStyle;

const QUERY_KEY: &[Tensor] = &[
    Tensor::new("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
    Tensor::new("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
];

pub(super) const QWEN2: Family = Family {
    classes: &["Qwen2ForCausalLM", "Qwen2Model"],
    bare: &[("Qwen2Model", "model.")],
    gguf: "qwen2",
    rerankers: &[],
    spellings: &[],
    skip: &[],
    tensors: &[DECODER, QUERY_KEY],
    computed: &[],
    params: &[Param::Pooling],
    vocab: VocabStyle::Qwen,
};

pub(super) const QWEN3: Family = Family {
    classes: &["Qwen3ForCausalLM", "Qwen3Model"],
    bare: &[("Qwen3Model", "model.")],
    gguf: "qwen3",
    rerankers: &["qwen3-reranker", "qwen3-vl-reranker"],
    tensors: &[
        DECODER,
        QUERY_KEY,
        &[
            Tensor::new("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
            Tensor::new("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
        ],
    ],
    ..QWEN2
};

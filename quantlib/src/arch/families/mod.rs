//! The architectures, one description each, and their configurations.

mod bert;
mod deepseek;
mod distilbert;
mod falcon;
mod gemma;
mod gpt2;
mod gpt_oss;
mod granite;
mod llama;
mod nomic;
mod olmo;
mod phi;
mod qwen;
mod roberta;
mod smollm;
mod stablelm;
mod starcoder;

use super::family::{Family, Stack, Tensor, TypeClass};
use super::hparams::classes::ConfigClass;
use super::params;

/// The architectures, which config.json's `architectures` chooses among.
pub(super) const ALL: &[&Family] = &[
    &llama::LLAMA,
    &llama::MISTRAL,
    &llama::MIXTRAL,
    &qwen::QWEN2,
    &qwen::QWEN3,
    &qwen::QWEN2_MOE,
    &qwen::QWEN3_MOE,
    &deepseek::DEEPSEEK,
    &deepseek::DEEPSEEK2,
    &gpt_oss::GPT_OSS,
    &bert::BERT,
    &granite::GRANITE,
    &granite::GRANITE_MOE,
    &smollm::SMOLLM3,
    &starcoder::STARCODER2,
    &roberta::ROBERTA,
    &roberta::XLM_ROBERTA,
    &distilbert::DISTILBERT,
    &nomic::NOMIC_BERT,
    &gpt2::GPT2,
    &falcon::FALCON,
    &olmo::OLMO2,
    &phi::PHI3,
    &stablelm::STABLELM,
    &gemma::GEMMA,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
];

/// The configurations, which config.json's `model_type` chooses among.
pub(super) const CONFIGS: &[&ConfigClass] = &[
    &llama::LLAMA_CONFIG,
    &llama::MISTRAL_CONFIG,
    &llama::MIXTRAL_CONFIG,
    &qwen::QWEN2_CONFIG,
    &qwen::QWEN3_CONFIG,
    &qwen::QWEN2_MOE_CONFIG,
    &qwen::QWEN3_MOE_CONFIG,
    &deepseek::DEEPSEEK2_CONFIG,
    &deepseek::DEEPSEEK3_CONFIG,
    &gpt_oss::GPT_OSS_CONFIG,
    &bert::BERT_CONFIG,
    &granite::GRANITE_CONFIG,
    &granite::GRANITE_MOE_CONFIG,
    &granite::GRANITE_MOE_SHARED_CONFIG,
    &smollm::SMOLLM3_CONFIG,
    &starcoder::STARCODER2_CONFIG,
    &roberta::ROBERTA_CONFIG,
    &roberta::XLM_ROBERTA_CONFIG,
    &roberta::CAMEMBERT_CONFIG,
    &distilbert::DISTILBERT_CONFIG,
    &nomic::NOMIC_BERT_CONFIG,
    &gpt2::GPT2_CONFIG,
    &falcon::FALCON_CONFIG,
    &olmo::OLMO2_CONFIG,
    &olmo::OLMO3_CONFIG,
    &phi::PHI3_CONFIG,
    &stablelm::STABLELM_CONFIG,
    &gemma::GEMMA_CONFIG,
    &gemma::GEMMA2_CONFIG,
    &gemma::GEMMA3_TEXT_CONFIG,
    &gemma::GEMMA3_CONFIG,
];

/// What decoders with RMS norms have in common: all but the query and key projections, which some
/// rewrite, and the feed-forward layers.
const BACKBONE: &[Tensor] = &[
    Tensor::new("model.embed_tokens", "token_embd").class(TypeClass::Embedding),
    Tensor::new("model.norm", "output_norm"),
    Tensor::new("lm_head", "output").class(TypeClass::Embedding),
    Tensor::new("model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    Tensor::new("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    Tensor::new("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
    Tensor::new(
        "model.layers.{}.post_attention_layernorm",
        "blk.{}.ffn_norm",
    ),
];

/// A gated feed-forward layer.
const FEED_FORWARD: &[Tensor] = &[
    Tensor::new("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
    Tensor::new("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
    Tensor::new("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
];

/// Query and key projections that stay as they are.
const QUERY_KEY: &[Tensor] = &[
    Tensor::new("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
    Tensor::new("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
];

/// The experts of a block.
const EXPERTS: Stack = Stack {
    of: "experts",
    count: params::EXPERTS,
};

/// The router and the experts of most models, of which the files have one tensor for each.
const fn routed_experts(experts: &'static Stack) -> [Tensor; 4] {
    [
        Tensor::new("model.layers.{}.mlp.gate", "blk.{}.ffn_gate_inp").class(TypeClass::Exact),
        Tensor::new(
            "model.layers.{}.mlp.experts.{}.down_proj",
            "blk.{}.ffn_down_exps",
        )
        .stack(experts),
        Tensor::new(
            "model.layers.{}.mlp.experts.{}.gate_proj",
            "blk.{}.ffn_gate_exps",
        )
        .stack(experts),
        Tensor::new(
            "model.layers.{}.mlp.experts.{}.up_proj",
            "blk.{}.ffn_up_exps",
        )
        .stack(experts),
    ]
}

/// The same experts in MLX, whose routers keep their names.
const fn switched_experts(experts: &'static Stack) -> [Tensor; 3] {
    [
        Tensor::new(
            "model.layers.{}.mlp.experts.{}.down_proj",
            "model.layers.{}.mlp.switch_mlp.down_proj",
        )
        .stack(experts),
        Tensor::new(
            "model.layers.{}.mlp.experts.{}.gate_proj",
            "model.layers.{}.mlp.switch_mlp.gate_proj",
        )
        .stack(experts),
        Tensor::new(
            "model.layers.{}.mlp.experts.{}.up_proj",
            "model.layers.{}.mlp.switch_mlp.up_proj",
        )
        .stack(experts),
    ]
}

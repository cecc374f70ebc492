//! Llama, Mistral and Mixtral: one layout of tensors and keys.

use super::{BACKBONE, EXPERTS, FEED_FORWARD};
use crate::arch::family::{Computed, Family, Heads, Param, Rewrite, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, Null, Rope, Rule, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

/// The projections whose heads are rearranged.
pub(super) const PAIRED: &[Tensor] = &[
    Tensor::new("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q")
        .rewrite(Rewrite::PairHalves(Heads::Query)),
    Tensor::new("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k")
        .rewrite(Rewrite::PairHalves(Heads::Key)),
];

pub(super) const LLAMA: Family = Family {
    classes: &["LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"],
    bare: &[("LlamaModel", "model.")],
    gguf: "llama",
    tensors: &[BACKBONE, FEED_FORWARD, PAIRED],
    computed: &[Computed::Llama3RopeFactors],
    params: &[
        SHARED_KEYS,
        &[
            Param::Uint("vocab_size", &["vocab_size"]),
            Param::RopeDimensions,
        ],
    ],
    vocab: VocabStyle::Llama,
    mlx: &[Mlx::LLAMA],
    ..Family::BLANK
};

pub(super) const MISTRAL: Family = Family {
    classes: &["MistralForCausalLM"],
    bare: &[],
    ..LLAMA
};

pub(super) const MIXTRAL: Family = Family {
    classes: &["MixtralForCausalLM"],
    bare: &[],
    tensors: &[
        BACKBONE,
        FEED_FORWARD,
        PAIRED,
        &[
            Tensor::new(
                "model.layers.{}.block_sparse_moe.gate",
                "blk.{}.ffn_gate_inp",
            )
            .class(TypeClass::Exact),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.experts.{}.w1",
                "blk.{}.ffn_gate_exps",
            )
            .stack(&EXPERTS),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.experts.{}.w2",
                "blk.{}.ffn_down_exps",
            )
            .stack(&EXPERTS),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.experts.{}.w3",
                "blk.{}.ffn_up_exps",
            )
            .stack(&EXPERTS),
        ],
    ],
    mlx: &[Mlx {
        model_types: &["mixtral"],
        tensors: &[&[
            Tensor::new(
                "model.layers.{}.block_sparse_moe.experts.{}.w1",
                "model.layers.{}.block_sparse_moe.switch_mlp.gate_proj",
            )
            .stack(&EXPERTS),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.experts.{}.w2",
                "model.layers.{}.block_sparse_moe.switch_mlp.down_proj",
            )
            .stack(&EXPERTS),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.experts.{}.w3",
                "model.layers.{}.block_sparse_moe.switch_mlp.up_proj",
            )
            .stack(&EXPERTS),
        ]],
        head: Head::Tied(Some(false)),
        rope_theta: Some(1e6),
        ..Mlx::LLAMA
    }],
    ..LLAMA
};

/// Llama's configuration.
pub(super) const LLAMA_CONFIG: ConfigClass = ConfigClass {
    model_type: "llama",
    rope: Rope::USUAL,
    rules: &[Rule::DeriveHeadDim, Rule::EvenHeads],
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(32000)),
            ("hidden_size", INT, Int(4096)),
            ("intermediate_size", INT, Int(11008)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT | NONE, Null),
            ("max_position_embeddings", INT, Int(2048)),
            ("rms_norm_eps", FLOAT, Float(1e-6)),
            ("pretraining_tp", INT | NONE, Unseen),
            ("rope_parameters", MAP | NONE, Unseen),
            ("attention_bias", BOOL, Unseen),
            ("attention_dropout", INT | FLOAT | NONE, Unseen),
            ("mlp_bias", BOOL, Unseen),
            ("head_dim", INT | NONE, Null),
        ],
    ],
    ..ConfigClass::BLANK
};

/// Mistral's configuration.
pub(super) const MISTRAL_CONFIG: ConfigClass = ConfigClass {
    model_type: "mistral",
    rope: Rope::USUAL,
    rules: &[Rule::DeriveHeadDim],
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(32000)),
            ("hidden_size", INT, Int(4096)),
            ("intermediate_size", INT, Int(14336)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT, Int(8)),
            ("head_dim", INT | NONE, Null),
            ("max_position_embeddings", INT, Int(131072)),
            ("rms_norm_eps", FLOAT, Float(1e-6)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("sliding_window", INT | NONE, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

/// Mixtral's configuration.
pub(super) const MIXTRAL_CONFIG: ConfigClass = ConfigClass {
    model_type: "mixtral",
    aliases: &[("num_experts", "num_local_experts")],
    rope: Rope::One {
        theta: 1e6,
        partial: None,
    },
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(32000)),
            ("hidden_size", INT, Int(4096)),
            ("intermediate_size", INT, Int(14336)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT, Int(8)),
            ("head_dim", INT | NONE, Null),
            ("max_position_embeddings", INT, Int(131072)),
            ("rms_norm_eps", FLOAT, Float(1e-5)),
            ("sliding_window", INT | NONE, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("num_experts_per_tok", INT, Int(2)),
            ("num_local_experts", INT, Int(8)),
            ("output_router_logits", BOOL, Unseen),
            ("router_aux_loss_coef", FLOAT, Unseen),
            ("router_jitter_noise", FLOAT, Unseen),
            ("rope_parameters", MAP | NONE, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

//! Phi 3 and Phi 4 mini: joined projections, rope factors for two lengths of context.

use crate::arch::family::{Computed, Family, Param, Tensor, Turned, TypeClass};
use crate::arch::hparams::classes::{
    COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, Null, Rope, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::BLOCKS;
use crate::format::hf::VocabStyle;

pub(super) const PHI3: Family = Family {
    classes: &["Phi3ForCausalLM"],
    gguf: "phi3",
    tensors: &[&[
        Tensor::new("model.embed_tokens", "token_embd").class(TypeClass::Embedding),
        Tensor::new("model.norm", "output_norm"),
        Tensor::new("lm_head", "output").class(TypeClass::Embedding),
        Tensor::new("model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
        Tensor::new("model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv"),
        Tensor::new("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
        Tensor::new(
            "model.layers.{}.post_attention_layernorm",
            "blk.{}.ffn_norm",
        ),
        Tensor::new("model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"),
        Tensor::new("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
    ]],
    computed: &[Computed::LongRopeFactors],
    early: &[Param::LongRopeAttention],
    params: &[&[
        Param::Needed(&[Param::Uint(
            "context_length",
            &["n_positions", "max_position_embeddings"],
        )]),
        Param::TrainedContext,
        Param::Needed(&[
            Param::Uint("embedding_length", &["hidden_size", "n_embd"]),
            Param::Uints("feed_forward_length", &["intermediate_size"]),
            Param::Uint("block_count", BLOCKS),
            Param::Uints("attention.head_count", &["num_attention_heads", "n_head"]),
            Param::Uints(
                "attention.head_count_kv",
                &["num_key_value_heads", "n_head_kv"],
            ),
            Param::Float("attention.layer_norm_rms_epsilon", &["rms_norm_eps"]),
        ]),
        Param::PartlyTurned(Turned::OfWidth),
        Param::RopeBase(None),
        Param::FileType,
        // Phi 4, which has no window, is told by a zero.
        Param::UintOr("attention.sliding_window", 0, &["sliding_window"]),
    ]],
    vocab: VocabStyle::Phi,
    mlx: &[Mlx {
        model_types: &["phi3"],
        head: Head::Tied(Some(false)),
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

/// Phi 3's configuration.
pub(super) const PHI3_CONFIG: ConfigClass = ConfigClass {
    model_type: "phi3",
    rope: Rope::Long,
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(32064)),
            ("hidden_size", INT, Int(3072)),
            ("intermediate_size", INT, Int(8192)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT | NONE, Null),
            ("resid_pdrop", FLOAT | INT, Unseen),
            ("embd_pdrop", FLOAT | INT, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("max_position_embeddings", INT, Int(4096)),
            ("original_max_position_embeddings", INT, Int(4096)),
            ("rms_norm_eps", FLOAT, Float(1e-5)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("sliding_window", INT | NONE, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

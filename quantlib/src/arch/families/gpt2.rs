//! GPT-2: matrices are stored transposed.

use crate::arch::family::{Demand, Family, Param, Rewrite, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    ANY, BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, NONE, Null, TEXT, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::BLOCKS;

pub(super) const GPT2: Family = Family {
    classes: &["GPT2LMHeadModel"],
    gguf: "gpt2",
    demands: &[Demand::Present("n_ctx")],
    spellings: &[Spelling::Prefix("transformer.")],
    // Causal masks of older files.
    skip_ends: &[".attn.bias", ".attn.masked_bias"],
    tensors: &[&[
        Tensor::new("wte", "token_embd").class(TypeClass::Embedding),
        Tensor::new("wpe", "position_embd").class(TypeClass::Exact),
        Tensor::new("h.{}.ln_1", "blk.{}.attn_norm"),
        Tensor::new("h.{}.attn.c_attn", "blk.{}.attn_qkv").rewrite(Rewrite::Transpose),
        Tensor::new("h.{}.attn.c_proj", "blk.{}.attn_output").rewrite(Rewrite::Transpose),
        Tensor::new("h.{}.ln_2", "blk.{}.ffn_norm"),
        Tensor::new("h.{}.mlp.c_fc", "blk.{}.ffn_up").rewrite(Rewrite::Transpose),
        Tensor::new("h.{}.mlp.c_proj", "blk.{}.ffn_down").rewrite(Rewrite::Transpose),
        Tensor::new("ln_f", "output_norm"),
        Tensor::new("lm_head", "output").class(TypeClass::Embedding),
    ]],
    params: &[&[
        Param::Uint("block_count", BLOCKS),
        Param::Uint("context_length", &["n_ctx"]),
        Param::Uint("embedding_length", &["n_embd"]),
        Param::Times("feed_forward_length", 4, &["n_embd"]),
        Param::Uint("attention.head_count", &["n_head"]),
        Param::Float("attention.layer_norm_epsilon", &["layer_norm_epsilon"]),
        Param::FileType,
    ]],
    mlx: &[Mlx {
        model_types: &["gpt2"],
        prefix: "model.",
        tensors: &[&[
            Tensor::new("h.{}.attn.c_attn", "h.{}.attn.c_attn").rewrite(Rewrite::Transpose),
            Tensor::new("h.{}.attn.c_proj", "h.{}.attn.c_proj").rewrite(Rewrite::Transpose),
            Tensor::new("h.{}.mlp.c_fc", "h.{}.mlp.c_fc").rewrite(Rewrite::Transpose),
            Tensor::new("h.{}.mlp.c_proj", "h.{}.mlp.c_proj").rewrite(Rewrite::Transpose),
        ]],
        head: Head::Never,
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

/// GPT-2's configuration.
pub(super) const GPT2_CONFIG: ConfigClass = ConfigClass {
    model_type: "gpt2",
    aliases: &[
        ("hidden_size", "n_embd"),
        ("max_position_embeddings", "n_positions"),
        ("num_attention_heads", "n_head"),
        ("num_hidden_layers", "n_layer"),
    ],
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(50257)),
            ("n_positions", INT, Unseen),
            ("n_embd", INT, Int(768)),
            ("n_layer", INT, Int(12)),
            ("n_head", INT, Int(12)),
            ("n_inner", INT | NONE, Null),
            ("activation_function", TEXT, Unseen),
            ("resid_pdrop", FLOAT | INT, Unseen),
            ("embd_pdrop", FLOAT | INT, Unseen),
            ("attn_pdrop", FLOAT | INT, Unseen),
            ("layer_norm_epsilon", FLOAT, Float(1e-5)),
            ("summary_type", TEXT, Unseen),
            ("summary_use_proj", BOOL, Unseen),
            ("summary_activation", TEXT | NONE, Unseen),
            ("summary_proj_to_labels", BOOL, Unseen),
            ("summary_first_dropout", FLOAT | INT, Unseen),
            ("scale_attn_weights", BOOL, Unseen),
            ("scale_attn_by_inverse_layer_idx", BOOL, Unseen),
            ("reorder_and_upcast_attn", BOOL, Unseen),
            ("add_cross_attention", BOOL, Unseen),
            ("hidden_act", ANY, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

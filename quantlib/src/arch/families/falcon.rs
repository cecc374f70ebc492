//! Falcon: query, key and value in one matrix, group by group.

use crate::arch::family::{Demand, Family, Param, Rewrite, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    ANY, BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, Rope, Same, TEXT, Unseen,
};
use crate::arch::params::BLOCKS;

pub(super) const FALCON: Family = Family {
    classes: &["FalconForCausalLM", "RWForCausalLM"],
    gguf: "falcon",
    demands: &[
        Demand::Present("hidden_size"),
        Demand::Present("layer_norm_epsilon"),
    ],
    tensors: &[&[
        Tensor::new("transformer.word_embeddings", "token_embd").class(TypeClass::Embedding),
        Tensor::new("lm_head", "output").class(TypeClass::Embedding),
        Tensor::new("transformer.ln_f", "output_norm"),
        Tensor::new("transformer.h.{}.input_layernorm", "blk.{}.attn_norm"),
        // With two norms, the one of the feed-forward layer is the first.
        Tensor::new("transformer.h.{}.ln_mlp", "blk.{}.attn_norm"),
        Tensor::new("transformer.h.{}.ln_attn", "blk.{}.attn_norm_2"),
        Tensor::new(
            "transformer.h.{}.self_attention.query_key_value",
            "blk.{}.attn_qkv",
        )
        .rewrite(Rewrite::UngroupHeads),
        Tensor::new(
            "transformer.h.{}.self_attention.dense",
            "blk.{}.attn_output",
        ),
        Tensor::new("transformer.h.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"),
        Tensor::new("transformer.h.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"),
    ]],
    params: &[&[
        Param::Number("context_length", 2048),
        // The layout of query, key and value.
        Param::Text("tensor_data_layout", "jploski"),
        Param::Uint("embedding_length", &["hidden_size"]),
        Param::Times("feed_forward_length", 4, &["hidden_size"]),
        Param::Uint("block_count", BLOCKS),
        Param::Uint("attention.head_count", &["num_attention_heads", "n_head"]),
        Param::UintOr("attention.head_count_kv", 1, &["num_kv_heads", "n_head_kv"]),
        Param::Float("attention.layer_norm_epsilon", &["layer_norm_epsilon"]),
        Param::FileType,
    ]],
    ..Family::BLANK
};

/// Falcon's configuration.
pub(super) const FALCON_CONFIG: ConfigClass = ConfigClass {
    model_type: "falcon",
    aliases: &[("n_embed", "hidden_size")],
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(65024)),
            ("hidden_size", INT, Int(4544)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(71)),
            ("num_ln_in_parallel_attn", INT | NONE, Unseen),
            ("layer_norm_epsilon", FLOAT | NONE, Float(1e-5)),
            ("hidden_dropout", FLOAT | INT | NONE, Unseen),
            ("attention_dropout", FLOAT | INT | NONE, Unseen),
            ("num_kv_heads", INT | NONE, Same("num_attention_heads")),
            ("alibi", BOOL | NONE, Unseen),
            ("new_decoder_architecture", BOOL | NONE, Unseen),
            ("multi_query", BOOL | NONE, Unseen),
            ("parallel_attn", BOOL | NONE, Unseen),
            ("bias", BOOL | NONE, Unseen),
            ("max_position_embeddings", INT, Int(2048)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("ffn_hidden_size", INT | NONE, Unseen),
            ("activation", TEXT | NONE, Unseen),
            ("hidden_act", ANY, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

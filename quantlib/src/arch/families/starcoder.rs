//! StarCoder 2: layer norms, biases, a feed-forward layer without a gate.

use super::QUERY_KEY;
use crate::arch::family::{Family, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, Rope, Unseen,
};
use crate::arch::mlx::Mlx;
use crate::format::hf::VocabStyle;

pub(super) const STARCODER2: Family = Family {
    classes: &["Starcoder2ForCausalLM"],
    gguf: "starcoder2",
    tensors: &[
        QUERY_KEY,
        &[
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
            Tensor::new("model.layers.{}.mlp.c_fc", "blk.{}.ffn_up"),
            Tensor::new("model.layers.{}.mlp.c_proj", "blk.{}.ffn_down"),
        ],
    ],
    vocab: VocabStyle::Gpt2,
    mlx: &[Mlx {
        model_types: &["starcoder2"],
        rope_theta: Some(1e5),
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

/// StarCoder 2's configuration.
pub(super) const STARCODER2_CONFIG: ConfigClass = ConfigClass {
    model_type: "starcoder2",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(49152)),
            ("hidden_size", INT, Int(3072)),
            ("intermediate_size", INT, Int(12288)),
            ("num_hidden_layers", INT, Int(30)),
            ("num_attention_heads", INT, Int(24)),
            ("num_key_value_heads", INT, Int(2)),
            ("max_position_embeddings", INT, Int(4096)),
            ("norm_epsilon", FLOAT, Float(1e-5)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("sliding_window", INT | NONE, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("residual_dropout", FLOAT | INT, Unseen),
            ("embedding_dropout", FLOAT | INT, Unseen),
            ("use_bias", BOOL, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

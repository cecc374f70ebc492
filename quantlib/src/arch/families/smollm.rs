//! SmolLM 3: Llama's layout, some layers of which do without rope. (SmolLM 1 and 2 are Llamas.)

use super::llama::LLAMA;
use crate::arch::family::Family;
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, LIST, MAP, NONE, Rope, Unseen,
};
use crate::arch::mlx::Mlx;

pub(super) const SMOLLM3: Family = Family {
    classes: &["SmolLM3ForCausalLM"],
    bare: &[],
    gguf: "smollm3",
    mlx: &[Mlx {
        model_types: &["smollm3"],
        ..Mlx::LLAMA
    }],
    ..LLAMA
};

/// SmolLM 3's configuration.
pub(super) const SMOLLM3_CONFIG: ConfigClass = ConfigClass {
    model_type: "smollm3",
    rope: Rope::One {
        theta: 2000000.0,
        partial: None,
    },
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(128256)),
            ("hidden_size", INT, Int(2048)),
            ("intermediate_size", INT, Int(11008)),
            ("num_hidden_layers", INT, Int(36)),
            ("num_attention_heads", INT, Int(16)),
            ("num_key_value_heads", INT | NONE, Int(4)),
            ("max_position_embeddings", INT, Int(32768)),
            ("rms_norm_eps", FLOAT, Float(1e-6)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("use_sliding_window", BOOL, Unseen),
            ("sliding_window", INT | NONE, Unseen),
            ("no_rope_layers", LIST | NONE, Unseen),
            ("no_rope_layer_interval", INT, Unseen),
            ("layer_types", LIST | NONE, Unseen),
            ("attention_bias", BOOL, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("mlp_bias", BOOL, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

//! OLMo 2 and 3: norms after attention and feed-forward layer, none before.

use super::QUERY_KEY;
use crate::arch::family::{Family, Param, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, LIST, MAP, NONE, Null, Rope, Rule,
    Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::SHARED_KEYS;

pub(super) const OLMO2: Family = Family {
    classes: &["Olmo2ForCausalLM", "Olmo3ForCausalLM"],
    gguf: "olmo2",
    tensors: &[
        QUERY_KEY,
        &[
            Tensor::new("model.embed_tokens", "token_embd").class(TypeClass::Embedding),
            Tensor::new("model.norm", "output_norm"),
            Tensor::new("lm_head", "output").class(TypeClass::Embedding),
            Tensor::new("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
            Tensor::new("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
            Tensor::new("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
            Tensor::new("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
            Tensor::new(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.post_attention_norm",
            ),
            Tensor::new("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
            Tensor::new("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
            Tensor::new("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
            Tensor::new(
                "model.layers.{}.post_feedforward_layernorm",
                "blk.{}.post_ffw_norm",
            ),
        ],
    ],
    params: &[SHARED_KEYS, &[Param::Windows(4)]],
    mlx: &[
        Mlx {
            model_types: &["olmo2"],
            ..Mlx::LLAMA
        },
        Mlx {
            model_types: &["olmo3"],
            head: Head::Tied(Some(false)),
            rope_theta: None,
            ..Mlx::LLAMA
        },
    ],
    ..Family::BLANK
};

const OLMO: &[Field] = &[
    ("vocab_size", INT, Int(50304)),
    ("hidden_size", INT, Int(4096)),
    ("intermediate_size", INT, Int(11008)),
    ("num_hidden_layers", INT, Int(32)),
    ("num_attention_heads", INT, Int(32)),
    ("num_key_value_heads", INT | NONE, Null),
    ("max_position_embeddings", INT, Int(2048)),
    ("rms_norm_eps", FLOAT, Float(1e-5)),
    ("rope_parameters", MAP | NONE, Unseen),
    ("attention_bias", BOOL, Unseen),
    ("attention_dropout", FLOAT | INT, Unseen),
];

/// OLMo 2's configuration.
pub(super) const OLMO2_CONFIG: ConfigClass = ConfigClass {
    model_type: "olmo2",
    fields: &[COMMON, OLMO],
    rope: Rope::USUAL,
    ..ConfigClass::BLANK
};

/// OLMo 3's configuration.
pub(super) const OLMO3_CONFIG: ConfigClass = ConfigClass {
    model_type: "olmo3",
    fields: &[
        COMMON,
        OLMO,
        &[
            ("sliding_window", INT | NONE, Int(4096)),
            ("layer_types", LIST | NONE, Null),
        ],
    ],
    rules: &[Rule::FullEvery(4)],
    rope: Rope::Two {
        full: 500000.0,
        // What is beside the sets goes to the other one.
        sliding: ("rope_theta", 500000.0),
    },
    ..ConfigClass::BLANK
};

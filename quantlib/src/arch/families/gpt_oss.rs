//! gpt-oss: experts in MX's 4-bit floats, which stay as they are, or in bf16.

use super::QUERY_KEY;
use crate::arch::family::{Family, Half, Param, Rewrite, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, LIST, MAP, NONE, Rope, Rule, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::SHARED_KEYS;

/// All but the experts.
const OTHERS: &[Tensor] = &[
    Tensor::new("model.embed_tokens", "token_embd").class(TypeClass::Embedding),
    Tensor::new("model.norm", "output_norm"),
    Tensor::new("lm_head", "output").class(TypeClass::Embedding),
    Tensor::new("model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    Tensor::new("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    Tensor::new("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
    Tensor::new("model.layers.{}.self_attn.sinks", "blk.{}.attn_sinks"),
    Tensor::new(
        "model.layers.{}.post_attention_layernorm",
        "blk.{}.post_attention_norm",
    ),
    Tensor::new("model.layers.{}.mlp.router", "blk.{}.ffn_gate_inp").class(TypeClass::Exact),
];

const MICROSCALED: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.mlp.experts.down_proj_scales",
        "blk.{}.ffn_down_exps",
    )
    .rewrite(Rewrite::Microscaled(None))
    .ahead(),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj_scales",
        "blk.{}.ffn_gate_exps",
    )
    .rewrite(Rewrite::Microscaled(Some(Half::First)))
    .ahead(),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj_scales",
        "blk.{}.ffn_up_exps",
    )
    .rewrite(Rewrite::Microscaled(Some(Half::Second)))
    .ahead(),
];

/// Experts in plain types, and their biases.
const PLAIN: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.mlp.experts.down_proj",
        "blk.{}.ffn_down_exps",
    )
    .rewrite(Rewrite::TransposeEach),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj",
        "blk.{}.ffn_gate_exps",
    )
    .rewrite(Rewrite::Alternate(Half::First)),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj",
        "blk.{}.ffn_up_exps",
    )
    .rewrite(Rewrite::Alternate(Half::Second)),
];

/// Experts in MLX: codes and scales of microscaled ones keep their bytes.
const SWITCHED: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.mlp.experts.down_proj_scales",
        "model.layers.{}.mlp.experts.down_proj",
    )
    .rewrite(Rewrite::MicroscaledWords(None)),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj_scales",
        "model.layers.{}.mlp.experts.gate_proj",
    )
    .rewrite(Rewrite::MicroscaledWords(Some(Half::First))),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj_scales",
        "model.layers.{}.mlp.experts.up_proj",
    )
    .rewrite(Rewrite::MicroscaledWords(Some(Half::Second))),
    Tensor::new(
        "model.layers.{}.mlp.experts.down_proj_scales",
        "model.layers.{}.mlp.experts.down_proj.scales",
    ),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj_scales",
        "model.layers.{}.mlp.experts.gate_proj.scales",
    )
    .rewrite(Rewrite::AlternateRows(Half::First)),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj_scales",
        "model.layers.{}.mlp.experts.up_proj.scales",
    )
    .rewrite(Rewrite::AlternateRows(Half::Second)),
    Tensor::new(
        "model.layers.{}.mlp.experts.down_proj",
        "model.layers.{}.mlp.experts.down_proj",
    )
    .rewrite(Rewrite::TransposeEach),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj",
        "model.layers.{}.mlp.experts.gate_proj",
    )
    .rewrite(Rewrite::Alternate(Half::First)),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj",
        "model.layers.{}.mlp.experts.up_proj",
    )
    .rewrite(Rewrite::Alternate(Half::Second)),
];

pub(super) const GPT_OSS: Family = Family {
    classes: &["GptOssForCausalLM"],
    gguf: "gpt-oss",
    quantized: &["mxfp4"],
    spellings: &[
        Spelling::Suffix("sinks", "sinks.weight"),
        Spelling::Suffix("_proj_bias", "_proj.bias"),
        Spelling::Suffix("experts.down_proj", "experts.down_proj.weight"),
        Spelling::Suffix("experts.gate_up_proj", "experts.gate_up_proj.weight"),
        Spelling::Suffix("_scales", "_scales.weight"),
    ],
    skip_ends: &["_blocks"],
    tensors: &[OTHERS, QUERY_KEY, MICROSCALED, PLAIN],
    params: &[
        SHARED_KEYS,
        &[Param::Needed(&[
            Param::Uint("attention.sliding_window", &["sliding_window"]),
            Param::Uint("expert_feed_forward_length", &["intermediate_size"]),
        ])],
    ],
    mlx: &[Mlx {
        model_types: &["gpt_oss"],
        tensors: &[SWITCHED],
        head: Head::Always,
        rope_theta: Some(150000.0),
        eight: &["mlp.router"],
        uncounted: &["self_attn.sinks"],
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

/// gpt-oss's configuration.
pub(super) const GPT_OSS_CONFIG: ConfigClass = ConfigClass {
    model_type: "gpt_oss",
    aliases: &[("num_experts", "num_local_experts")],
    rope: Rope::One {
        theta: 150000.0,
        partial: None,
    },
    rules: &[Rule::YarnByDefault],
    fields: &[
        COMMON,
        &[
            ("num_hidden_layers", INT, Int(36)),
            ("num_local_experts", INT, Int(128)),
            ("vocab_size", INT, Int(201088)),
            ("hidden_size", INT, Int(2880)),
            ("intermediate_size", INT, Int(2880)),
            ("head_dim", INT, Int(64)),
            ("num_attention_heads", INT, Int(64)),
            ("num_key_value_heads", INT, Int(8)),
            ("sliding_window", INT | NONE, Int(128)),
            ("max_position_embeddings", INT, Int(131072)),
            ("rms_norm_eps", FLOAT, Float(1e-5)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("num_experts_per_tok", INT, Int(4)),
            ("swiglu_alpha", FLOAT, Unseen),
            ("swiglu_limit", FLOAT, Unseen),
            ("router_aux_loss_coef", FLOAT, Unseen),
            ("output_router_logits", BOOL, Unseen),
            ("layer_types", LIST | NONE, Unseen),
            ("attention_bias", BOOL, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

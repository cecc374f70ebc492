//! Gemma 1 to 3: norms that add one to their weight, embeddings that are the output matrix too.

use crate::arch::family::{Family, Param, Rewrite, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    ANY, BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, LIST, MAP, NONE, Null, Rope,
    Rule, TEXT, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::{BLOCKS, SHARED_KEYS};
use crate::format::hf::VocabStyle;

const LAYERS: &[Tensor] = &[
    Tensor::new("model.norm", "output_norm").rewrite(Rewrite::AddOne),
    Tensor::new("model.layers.{}.input_layernorm", "blk.{}.attn_norm").rewrite(Rewrite::AddOne),
    Tensor::new("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
    Tensor::new("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
    Tensor::new("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    Tensor::new("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
    Tensor::new("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
    Tensor::new("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
    Tensor::new("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
];

const EMBEDDINGS: Tensor =
    Tensor::new("model.embed_tokens", "token_embd").class(TypeClass::Embedding);

/// The norms around both halves of Gemma 2's blocks.
const NORMS_AROUND: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.post_attention_layernorm",
        "blk.{}.post_attention_norm",
    )
    .rewrite(Rewrite::AddOne),
    Tensor::new(
        "model.layers.{}.pre_feedforward_layernorm",
        "blk.{}.ffn_norm",
    )
    .rewrite(Rewrite::AddOne),
    Tensor::new(
        "model.layers.{}.post_feedforward_layernorm",
        "blk.{}.post_ffw_norm",
    )
    .rewrite(Rewrite::AddOne),
];

/// The keys of Gemma 1, with which those of Gemma 2 begin.
const KEYS: &[Param] = &[
    Param::Needed(&[
        Param::Uint("context_length", &["max_position_embeddings"]),
        Param::Uint("embedding_length", &["hidden_size"]),
        Param::Uint("block_count", BLOCKS),
        Param::Uints("feed_forward_length", &["intermediate_size"]),
        Param::Uints("attention.head_count", &["num_attention_heads"]),
        Param::Uints(
            "attention.head_count_kv",
            &["num_key_value_heads", "num_attention_heads"],
        ),
        Param::Float("attention.layer_norm_rms_epsilon", &["rms_norm_eps"]),
        Param::Uint("attention.key_length", &["head_dim"]),
        Param::Uint("attention.value_length", &["head_dim"]),
    ]),
    Param::FileType,
];

pub(super) const GEMMA: Family = Family {
    classes: &["GemmaForCausalLM"],
    gguf: "gemma",
    skip: &["lm_head.weight"],
    tensors: &[
        LAYERS,
        &[
            EMBEDDINGS,
            Tensor::new(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.ffn_norm",
            )
            .rewrite(Rewrite::AddOne),
        ],
    ],
    params: &[KEYS],
    vocab: VocabStyle::Gemma,
    mlx: &[Mlx {
        model_types: &["gemma"],
        head: Head::Never,
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

pub(super) const GEMMA2: Family = Family {
    classes: &["Gemma2ForCausalLM"],
    gguf: "gemma2",
    tensors: &[LAYERS, NORMS_AROUND, &[EMBEDDINGS]],
    params: &[
        KEYS,
        &[Param::Needed(&[
            Param::Float("attn_logit_softcapping", &["attn_logit_softcapping"]),
            Param::Float("final_logit_softcapping", &["final_logit_softcapping"]),
            Param::Uint("attention.sliding_window", &["sliding_window"]),
        ])],
    ],
    vocab: VocabStyle::Gemma2,
    mlx: &[Mlx {
        model_types: &["gemma2"],
        head: Head::Never,
        ..Mlx::LLAMA
    }],
    ..GEMMA
};

pub(super) const GEMMA3: Family = Family {
    classes: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
    gguf: "gemma3",
    spellings: &[Spelling::Part("language_model.")],
    skip: &[],
    tensors: &[
        LAYERS,
        NORMS_AROUND,
        &[
            Tensor::new("model.embed_tokens", "token_embd")
                .class(TypeClass::Embedding)
                .rewrite(Rewrite::TokenRows),
            Tensor::new("lm_head", "output").class(TypeClass::Embedding),
            Tensor::new("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
                .rewrite(Rewrite::AddOne),
            Tensor::new("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
                .rewrite(Rewrite::AddOne),
        ],
    ],
    params: &[
        SHARED_KEYS,
        &[
            Param::UintOr("context_length", 131072, &["max_position_embeddings"]),
            Param::UintOr("attention.head_count", 8, &["num_attention_heads"]),
            Param::FloatOr("attention.layer_norm_rms_epsilon", 1e-6, &["rms_norm_eps"]),
            Param::UintOr("attention.key_length", 256, &["head_dim"]),
            Param::UintOr("attention.value_length", 256, &["head_dim"]),
            Param::RopeBase(Some(1000000.0)),
            Param::Refuse(
                "attn_logit_softcapping",
                "Gemma 3 does not cap the logits of attention",
            ),
            Param::Factor("final_logit_softcapping", &["final_logit_softcapping"]),
            Param::Window,
            Param::UintOr("attention.head_count_kv", 4, &["num_key_value_heads"]),
        ],
    ],
    vocab: VocabStyle::Gemma3,
    mlx: &[
        MLX3,
        Mlx {
            model_types: &["gemma3"],
            prefix: "language_model.",
            ..MLX3
        },
    ],
    ..GEMMA
};

/// Gemma 3 in MLX, without a part that sees.
const MLX3: Mlx = Mlx {
    model_types: &["gemma3_text"],
    head: Head::IfThere,
    rope_theta: Some(1e6),
    ..Mlx::LLAMA
};

/// The fields that all three have, of which the sizes differ.
const FIELDS: &[Field] = &[
    ("head_dim", INT, Int(256)),
    ("rms_norm_eps", FLOAT, Float(1e-6)),
    ("rope_parameters", MAP | NONE, Unseen),
    ("attention_bias", BOOL, Unseen),
    ("use_bidirectional_attention", BOOL | NONE, Unseen),
];

/// The fields of Gemma 2 and 3.
const FIELDS2: &[Field] = &[
    ("hidden_size", INT, Int(2304)),
    ("intermediate_size", INT, Int(9216)),
    ("num_hidden_layers", INT, Int(26)),
    ("num_attention_heads", INT, Int(8)),
    ("num_key_value_heads", INT, Int(4)),
    ("hidden_act", ANY, Unseen),
    ("hidden_activation", TEXT, Unseen),
    ("attention_dropout", INT | FLOAT | NONE, Unseen),
    ("query_pre_attn_scalar", INT, Unseen),
    ("sliding_window", INT | NONE, Int(4096)),
    ("layer_types", LIST | NONE, Null),
];

/// Gemma 1's configuration.
pub(super) const GEMMA_CONFIG: ConfigClass = ConfigClass {
    model_type: "gemma",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        FIELDS,
        &[
            ("vocab_size", INT, Int(256000)),
            ("hidden_size", INT, Int(3072)),
            ("intermediate_size", INT, Int(24576)),
            ("num_hidden_layers", INT, Int(28)),
            ("num_attention_heads", INT, Int(16)),
            ("num_key_value_heads", INT, Int(16)),
            ("max_position_embeddings", INT, Int(8192)),
            ("attention_dropout", FLOAT | INT, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

/// Gemma 2's configuration.
pub(super) const GEMMA2_CONFIG: ConfigClass = ConfigClass {
    model_type: "gemma2",
    rope: Rope::USUAL,
    rules: &[Rule::FullEvery(2), Rule::EvenHeads],
    fields: &[
        COMMON,
        FIELDS,
        FIELDS2,
        &[
            ("vocab_size", INT, Int(256000)),
            ("max_position_embeddings", INT, Int(8192)),
            ("final_logit_softcapping", FLOAT | NONE, Float(30.0)),
            ("attn_logit_softcapping", FLOAT | NONE, Float(50.0)),
        ],
    ],
    ..ConfigClass::BLANK
};

/// The configuration of Gemma 3 with eyes.
pub(super) const GEMMA3_CONFIG: ConfigClass = ConfigClass {
    model_type: "gemma3",
    parts: &[
        ("text_config", &GEMMA3_TEXT_CONFIG),
        ("vision_config", &SIGLIP_CONFIG),
    ],
    fields: &[
        COMMON,
        NO_DECODER,
        &[
            ("text_config", MAP | NONE, Unseen),
            ("vision_config", MAP | NONE, Unseen),
            ("mm_tokens_per_image", INT | NONE, Unseen),
            ("boi_token_index", INT | NONE, Unseen),
            ("eoi_token_index", INT | NONE, Unseen),
            ("image_token_index", INT | NONE, Unseen),
            ("initializer_range", FLOAT | NONE, Unseen),
            ("tie_word_embeddings", BOOL | NONE, Unseen),
            ("hidden_act", ANY, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

/// The configuration of its eyes, of which a file shows nothing.
const SIGLIP_CONFIG: ConfigClass = ConfigClass {
    model_type: "siglip_vision_model",
    fields: &[
        COMMON,
        NO_DECODER,
        &[
            ("hidden_size", INT, Unseen),
            ("intermediate_size", INT, Unseen),
            ("num_hidden_layers", INT, Unseen),
            ("num_attention_heads", INT, Unseen),
            ("num_channels", INT, Unseen),
            ("image_size", INT | LIST, Unseen),
            ("patch_size", INT | LIST, Unseen),
            ("layer_norm_eps", FLOAT, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("vision_use_head", BOOL, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

/// What these two do not have of what decoders do.
const NO_DECODER: &[Field] = &[
    ("tie_word_embeddings", ANY, Unseen),
    ("use_cache", ANY, Unseen),
    ("initializer_range", ANY, Unseen),
    ("pad_token_id", ANY, Unseen),
    ("bos_token_id", ANY, Unseen),
    ("eos_token_id", ANY, Unseen),
];

/// The configuration of Gemma 3 and of its language model.
pub(super) const GEMMA3_TEXT_CONFIG: ConfigClass = ConfigClass {
    model_type: "gemma3_text",
    rope: Rope::Two {
        full: 1000000.0,
        sliding: ("rope_local_base_freq", 10000.0),
    },
    rules: &[Rule::EvenWindow, Rule::FullEveryPattern(6), Rule::EvenHeads],
    fields: &[
        COMMON,
        FIELDS,
        FIELDS2,
        &[
            ("vocab_size", INT, Int(262208)),
            ("max_position_embeddings", INT, Int(131072)),
            ("final_logit_softcapping", FLOAT | NONE, Null),
            ("attn_logit_softcapping", FLOAT | NONE, Null),
        ],
    ],
    ..ConfigClass::BLANK
};

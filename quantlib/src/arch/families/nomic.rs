//! Nomic's encoders: BERT with rotary positions and gated layers, or with experts in every second
//! block.

use super::bert::{BERT, ENCODER_KEYS};
use crate::arch::family::{
    Adjust, Demand, Family, Given, Param, Rewrite, Spelling, Tensor, TypeClass,
};
use crate::arch::hparams::classes::{
    ANY, COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, Null, Rope, Rule, TEXT, Unseen,
};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

pub(super) const NOMIC_BERT: Family = Family {
    classes: CLASSES,
    gguf: "nomic-bert",
    variants: &[("moe_every_n_layers", &NOMIC_BERT_MOE)],
    demands: &[
        Demand::Present("n_positions"),
        Demand::Is("activation_function", Given::Text("swiglu")),
        Demand::Is("causal", Given::Flag(false)),
        Demand::Is("qkv_proj_bias", Given::Flag(false)),
        Demand::Is("mlp_fc1_bias", Given::Flag(false)),
        Demand::Is("mlp_fc2_bias", Given::Flag(false)),
        Demand::Is("prenorm", Given::Flag(false)),
        Demand::Is("rotary_emb_fraction", Given::Number(1.0)),
        Demand::Is("rotary_emb_interleaved", Given::Flag(false)),
        Demand::Is("rotary_emb_scale_base", Given::Null),
    ],
    adjust: ADJUST,
    tensors: &[
        BLOCKS,
        &[
            Tensor::new("encoder.layers.{}.mlp.fc11", "blk.{}.ffn_up"),
            Tensor::new("encoder.layers.{}.mlp.fc12", "blk.{}.ffn_gate"),
        ],
    ],
    vocab: VocabStyle::UnigramOrBert,
    ..BERT
};

const NOMIC_BERT_MOE: Family = Family {
    classes: CLASSES,
    gguf: "nomic-bert-moe",
    demands: &[
        Demand::Present("n_positions"),
        Demand::Is("activation_function", Given::Text("gelu")),
        Demand::Is("causal", Given::Flag(false)),
        Demand::Is("qkv_proj_bias", Given::Flag(true)),
        Demand::Is("mlp_fc1_bias", Given::Flag(true)),
        Demand::Is("mlp_fc2_bias", Given::Flag(true)),
        Demand::Is("prenorm", Given::Flag(false)),
        Demand::Is("rotary_emb_fraction", Given::Number(1.0)),
        Demand::Is("rotary_emb_interleaved", Given::Flag(false)),
        Demand::Is("rotary_emb_scale_base", Given::Null),
        Demand::Present("moe_top_k"),
    ],
    spellings: &[
        Spelling::Prefix("bert."),
        // The stacks of experts are no layers.
        Spelling::Suffix(".experts.mlp.w1", ".experts.mlp.w1.weight"),
        Spelling::Suffix(".experts.mlp.w2", ".experts.mlp.w2.weight"),
    ],
    skip_ends: &["mlp.experts.bias"],
    tensors: &[
        BLOCKS,
        &[
            Tensor::new("encoder.layers.{}.mlp.fc1", "blk.{}.ffn_up"),
            Tensor::new("encoder.layers.{}.mlp.router.layer", "blk.{}.ffn_gate_inp")
                .class(TypeClass::Exact),
            Tensor::new("encoder.layers.{}.mlp.experts.mlp.w1", "blk.{}.ffn_up_exps")
                .rewrite(Rewrite::PartExperts),
            Tensor::new(
                "encoder.layers.{}.mlp.experts.mlp.w2",
                "blk.{}.ffn_down_exps",
            )
            .rewrite(Rewrite::PartExpertsTransposed),
        ],
    ],
    params: &[
        SHARED_KEYS,
        ENCODER_KEYS,
        &[
            Param::Uint("moe_every_n_layers", &["moe_every_n_layers"]),
            Param::Uint("expert_used_count", &["moe_top_k"]),
        ],
    ],
    adjust: ADJUST,
    vocab: VocabStyle::UnigramOrBert,
    ..BERT
};

const CLASSES: &[&str] = &["NomicBertModel"];

const ADJUST: &[Adjust] = &[
    Adjust::PositionsAfterPaddingOfUnigram,
    Adjust::NomicPositions,
];

/// What both have in common.
const BLOCKS: &[Tensor] = &[
    Tensor::new("embeddings.word_embeddings", "token_embd").class(TypeClass::Embedding),
    Tensor::new("embeddings.token_type_embeddings", "token_types").class(TypeClass::Exact),
    Tensor::new("emb_ln", "token_embd_norm"),
    Tensor::new("encoder.layers.{}.attn.Wqkv", "blk.{}.attn_qkv"),
    Tensor::new("encoder.layers.{}.attn.out_proj", "blk.{}.attn_output"),
    Tensor::new("encoder.layers.{}.norm1", "blk.{}.attn_output_norm"),
    Tensor::new("encoder.layers.{}.norm2", "blk.{}.layer_output_norm"),
    Tensor::new("encoder.layers.{}.mlp.fc2", "blk.{}.ffn_down"),
];

/// Nomic BERT's configuration.
pub(super) const NOMIC_BERT_CONFIG: ConfigClass = ConfigClass {
    model_type: "nomic_bert",
    rope: Rope::One {
        theta: 1000.0,
        partial: None,
    },
    rules: &[Rule::DeriveHeadDim],
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(30528)),
            ("hidden_size", INT, Int(768)),
            ("num_hidden_layers", INT, Int(12)),
            ("num_attention_heads", INT, Int(12)),
            ("intermediate_size", INT, Int(3072)),
            ("hidden_act", TEXT, Unseen),
            ("hidden_dropout_prob", FLOAT, Unseen),
            ("attention_probs_dropout_prob", FLOAT, Unseen),
            ("max_position_embeddings", INT, Int(2048)),
            ("type_vocab_size", INT, Int(2)),
            ("layer_norm_eps", FLOAT, Float(1e-12)),
            ("pad_token_id", INT, Int(0)),
            ("classifier_dropout", FLOAT | NONE, Unseen),
            ("bos_token_id", INT | NONE, Unseen),
            ("eos_token_id", INT | NONE, Unseen),
            ("rope_parameters", MAP | NONE, Unseen),
            ("head_dim", INT | NONE, Null),
            ("tie_word_embeddings", ANY, Unseen),
            ("use_cache", ANY, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

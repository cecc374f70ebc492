//! What a tensor's name says about it: its role, and whether it is quantized at all.

/// The roles that mixtures tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Output,
    TokenEmbedding,
    /// Values, alone or fused with queries and keys or compressed with keys.
    AttentionValue,
    AttentionKey,
    AttentionQuery,
    AttentionOutput,
    FfnUp,
    FfnGate,
    FfnDown,
    Other,
}

/// Parts of names with the roles they mean; the first that occurs decides.
const PARTS: [(&str, Category); 9] = [
    ("attn_qkv.weight", Category::AttentionValue),
    ("attn_kv_b.weight", Category::AttentionValue),
    ("attn_v.weight", Category::AttentionValue),
    ("attn_k.weight", Category::AttentionKey),
    ("attn_q.weight", Category::AttentionQuery),
    ("attn_output.weight", Category::AttentionOutput),
    ("ffn_up", Category::FfnUp),
    ("ffn_gate", Category::FfnGate),
    ("ffn_down", Category::FfnDown),
];

/// The embeddings of the layers, where a model has a second table.
pub(super) const LAYER_EMBEDDINGS: &str = "per_layer_token_embd.weight";

impl Category {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "output.weight" => Self::Output,
            "token_embd.weight" | LAYER_EMBEDDINGS => Self::TokenEmbedding,
            _ => PARTS
                .iter()
                .find(|(part, _)| name.contains(part))
                .map_or(Self::Other, |(_, category)| *category),
        }
    }

    /// Whether the tensor turns tokens into vectors or back: these do without importance.
    pub(super) fn is_vocabulary(self) -> bool {
        matches!(self, Self::Output | Self::TokenEmbedding)
    }
}

/// Names that are never quantized.
const KEPT: [&str; 2] = ["position_embd.weight", "token_types.weight"];

/// Parts of names that are never quantized: small, sensitive, or no matrices of weights at all.
const KEPT_PARTS: &[&str] = &[
    "_norm.weight",
    // Routing.
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    // Convolutions and state-space models.
    "ssm_conv1d",
    "shortconv.conv.weight",
    // Sparse attention's index.
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    // RWKV.
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    // Vision and audio.
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
];

/// Whether a tensor of this name, of two dimensions or more, may be quantized.
pub(super) fn quantizable(name: &str) -> bool {
    // llama.cpp compares where "weight" begins with the length minus 6, and for a name of 5 bytes
    // both wrap around to the same number.
    let is_weight = name.ends_with("weight") || name.len() == 5;
    let is_kept = KEPT.contains(&name) || KEPT_PARTS.iter().any(|part| name.contains(part));
    is_weight && !is_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_decides() {
        for (name, category) in [
            ("output.weight", Category::Output),
            ("blk.0.attn_output.weight", Category::AttentionOutput),
            ("blk.0.attn_qkv.weight", Category::AttentionValue),
            ("blk.0.ffn_gate_up_exps.weight", Category::FfnGate),
            ("blk.0.ffn_down_exps.weight", Category::FfnDown),
            ("blk.0.attn_v.bias", Category::Other),
            ("per_layer_token_embd.weight", Category::TokenEmbedding),
        ] {
            assert_eq!(Category::of(name), category, "{name}");
        }
    }

    #[test]
    fn small_tensors_are_kept() {
        assert!(quantizable("blk.0.attn_q.weight"));
        assert!(quantizable("blk.0.attn_k_b.weight"));
        assert!(quantizable("alpha"));
        for name in [
            "blk.0.attn_norm.weight",
            "token_types.weight",
            "blk.0.attn_q.bias",
        ] {
            assert!(!quantizable(name), "{name}");
        }
    }
}

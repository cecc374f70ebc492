//! Keys of models with experts and with latent attention.

use super::{BLOCKS, Writer};
use crate::arch::hparams::number;
use crate::error::{Error, Result};
use serde_json::Value as Json;

/// Spellings of the function that turns experts' scores into weights.
const GATING: &[&str] = &[
    "score_function",
    "scoring_func",
    "score_func",
    "moe_router_activation",
    "moe_router_activation_func",
    "expert_selection_fn",
];

/// llama.cpp's numbers of those functions.
const FUNCTIONS: &[(&str, u32)] = &[("softmax", 1), ("sigmoid", 2), ("sqrtsoftplus", 4)];

impl Writer<'_> {
    pub(super) fn gating(&mut self) -> Result<()> {
        let Some((name, value)) = self.hparams.find(GATING) else {
            return Ok(());
        };
        let known = FUNCTIONS.iter().find(|(function, _)| value == function);
        let (_, number) = known.ok_or_else(|| {
            Error::unsupported(format!(
                "{value} is not among the known functions softmax, sigmoid and sqrtsoftplus"
            ))
            .in_key(name)
        })?;
        self.put("expert_gating_func", *number)
    }

    pub(super) fn sum(&mut self, key: &str, terms: &[(&'static str, Option<u32>)]) -> Result<()> {
        let mut sum = 0u32;
        for &(name, default) in terms {
            let term = match default {
                Some(default) => self.hparams.uint(&[name])?.unwrap_or(default),
                None => self.hparams.need_uint(&[name])?,
            };
            let next = sum.checked_add(term);
            sum = next.ok_or_else(|| Error::malformed("is too large").in_key(name))?;
        }
        self.put(key, sum)
    }

    pub(super) fn leading_dense(&mut self) -> Result<()> {
        let given = self.hparams.uint(&["first_k_dense_replace"])?;
        let experts = self.hparams.find(&["n_routed_experts"]).is_some();
        let count = match (given, experts) {
            (Some(count), _) => count,
            (None, true) => 0,
            (None, false) => self.hparams.need_uint(BLOCKS)?,
        };
        self.put("leading_dense_block_count", count)
    }

    pub(super) fn yarn_log_multiplier(&mut self) -> Result<()> {
        let name = "mscale_all_dim";
        match self.hparams.all_rope().get(name) {
            None | Some(Json::Null) => Ok(()),
            Some(scale) => {
                let scale = number(scale).map_err(|e| e.in_key(name))?;
                self.put("rope.scaling.yarn_log_multiplier", (0.1 * scale) as f32)
            }
        }
    }
}

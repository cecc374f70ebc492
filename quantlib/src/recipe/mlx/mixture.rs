//! Mixtures of two widths, by the same rule as mlx_lm's `mixed_quant_predicate_builder`.

use crate::error::{Error, Result};
use crate::format::mlx::{Draft, Weight};

/// Which layers have more bits.
pub(super) struct Mixture {
    low: u8,
    high: u8,
    blocks: usize,
    /// Which part of a path is the number of the block.
    number: usize,
}

/// What the last matrix of a feed-forward layer is called.
const DOWN: &str = "down_proj";

/// Parts of the names of value projections, joined ones among them.
const VALUES: [&str; 3] = ["v_proj", "v_a_proj", "v_b_proj"];

impl Mixture {
    /// # Errors
    /// `misuse` for a model whose layers are called otherwise than the rule expects.
    pub(super) fn new(low: u8, high: u8, draft: &Draft) -> Result<Self> {
        // One that was quantized before counts too.
        let mut paths = draft.weights.iter().map(Weight::path);
        let down = paths.find(|path| path.contains(DOWN));
        let down = down.ok_or_else(|| {
            Error::misuse(
                "the model has no layers called down_proj, by which mixtures go; choose a recipe of one type",
            )
        })?;
        let number = down.split('.').position(is_number).unwrap_or(usize::MAX);
        Ok(Self {
            low,
            high,
            blocks: draft.blocks,
            number,
        })
    }

    /// Bits of a layer.
    pub(super) fn bits(&self, path: &str) -> u8 {
        let number = path.split('.').nth(self.number);
        let block = number.and_then(|part| part.parse().ok()).unwrap_or(0);
        let chosen = VALUES.iter().any(|part| path.contains(part)) || path.contains(DOWN);
        let more = path.contains("lm_head") || (chosen && self.is_chosen(block));
        if more { self.high } else { self.low }
    }

    /// The first and last eighth of the blocks, and every third between.
    fn is_chosen(&self, block: usize) -> bool {
        let eighth = self.blocks / 8;
        block < eighth || block >= 7 * self.blocks / 8 || (block - eighth) % 3 == 2
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

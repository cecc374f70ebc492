//! The mixtures: which tensors of a recipe get more bits than the rest, or fewer.
//!
//! The choices are llama.cpp's (`llama_tensor_get_type_impl`), found there by measuring perplexity:
//! attention values and the feed-forward output matter most, the first and last layers more than
//! the middle, and shared value heads cost little.

use crate::dtype::DType;
use crate::dtype::DType::{
    Iq2S, Iq2Xxs, Iq3S, Iq3Xxs, Mxfp4, Q2K, Q3K, Q4_1, Q4K, Q5_1, Q5K, Q6K, Q8_0,
};
use crate::error::{Error, Result};
use crate::recipe::category::Category;
use crate::recipe::hyper::Hyper;
use crate::recipe::name::Recipe;
use crate::recipe::order::leading_layer;

/// The state of choosing: some choices depend on how many tensors of a kind came before.
pub(super) struct Mixture<'a> {
    pub(super) recipe: Recipe,
    pub(super) arch: &'a str,
    pub(super) hyper: Hyper,
    pub(super) has_importance: bool,
    /// Whether the token embeddings are also the output.
    pub(super) tied: bool,
    /// The person's wish for the output.
    pub(super) output_type: Option<DType>,
    /// Number of attention values in the model.
    pub(super) values: i64,
    pub(super) seen: Seen,
}

/// How many tensors were chosen already.
#[derive(Default)]
pub(super) struct Seen {
    values: i64,
    down: i64,
    gate: i64,
    up: i64,
}

/// Whether a layer is among the first or last eighth, or every third between.
fn is_sensitive(layer: i64, layers: i64) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

impl Mixture<'_> {
    /// The type for the next tensor in output order, before its shape is looked at.
    pub(super) fn choose(
        &mut self,
        name: &str,
        shape: &[usize],
        category: Category,
    ) -> Result<DType> {
        let base = self.recipe.dtype();
        let is_output = category == Category::Output || self.tied && category.is_vocabulary();
        if is_output {
            return Ok(self.output_type.unwrap_or_else(|| self.output(shape)));
        }
        if self.recipe == Recipe::Mxfp4Moe {
            return Ok(self.microscaling(shape, category));
        }
        if category == Category::TokenEmbedding {
            return Ok(self.embedding());
        }
        if self.is_ultra_low() {
            return Ok(self.ultra_low(category));
        }
        Ok(match category {
            Category::AttentionValue => self.attention_value(),
            Category::AttentionKey if self.hyper.experts == 8 => Q8_0,
            Category::AttentionKey | Category::AttentionQuery => match self.recipe {
                Recipe::Iq3Xs => Iq3Xxs,
                Recipe::Iq3Xxs => Iq2S,
                _ => base,
            },
            Category::AttentionOutput => self.attention_output(),
            Category::FfnDown => {
                let layer = self.layer(name, self.seen.down)?;
                self.seen.down += 1;
                self.ffn_down(layer)
            }
            Category::FfnGate => {
                let layer = self.layer(name, self.seen.gate)?;
                self.seen.gate += 1;
                self.ffn_gate_or_up(layer)
            }
            Category::FfnUp => {
                let layer = self.layer(name, self.seen.up)?;
                self.seen.up += 1;
                self.ffn_gate_or_up(layer)
            }
            Category::Output | Category::TokenEmbedding | Category::Other => base,
        })
    }

    fn layers(&self) -> i64 {
        self.hyper.layers.into()
    }

    /// The layer that a feed-forward tensor counts for: how many of its kind came before, or, where
    /// a layer may have several, what its name says.
    fn layer(&self, name: &str, seen: i64) -> Result<i64> {
        if self.hyper.experts <= 1 {
            return Ok(seen);
        }
        let layer = leading_layer(name);
        if (0..self.layers()).contains(&layer.into()) {
            return Ok(layer.into());
        }
        Err(Error::malformed(format!(
            "the name does not say which of the {} layers this expert belongs to; ask for one type with --pure, or name this tensor's with --tensor-type",
            self.layers()
        ))
        .in_tensor(name))
    }

    fn is_ultra_low(&self) -> bool {
        use Recipe::{Iq1M, Iq1S, Iq2M, Iq2S, Iq2Xs, Iq2Xxs};
        matches!(self.recipe, Iq1S | Iq1M | Iq2Xxs | Iq2Xs | Iq2S | Iq2M)
    }

    fn is_2_bit_large(&self) -> bool {
        matches!(self.recipe, Recipe::Iq2S | Recipe::Iq2M)
    }

    fn output(&self, shape: &[usize]) -> DType {
        let base = self.recipe.dtype();
        let fits = shape
            .last()
            .is_none_or(|cols| cols.is_multiple_of(base.block_len()));
        if self.recipe == Recipe::Mxfp4Moe || self.arch == "falcon" || !fits {
            Q8_0
        } else if self.is_ultra_low() || self.recipe == Recipe::Iq3Xxs {
            Q5K
        } else if base == Q8_0 {
            Q8_0
        } else {
            Q6K
        }
    }

    fn microscaling(&self, shape: &[usize], category: Category) -> DType {
        use Category::{FfnDown, FfnGate, FfnUp};
        let stacked = matches!(shape, [.., experts, _, _] if *experts > 1);
        // This one stacks other matrices too.
        let is_expert = self.arch != "bailingmoe3" || matches!(category, FfnUp | FfnGate | FfnDown);
        if stacked && is_expert { Mxfp4 } else { Q8_0 }
    }

    fn embedding(&self) -> DType {
        match self.recipe {
            Recipe::Iq2Xxs | Recipe::Iq2Xs | Recipe::Iq1S | Recipe::Iq1M => Q2K,
            Recipe::Iq2S | Recipe::Iq2M | Recipe::Iq3Xxs => Iq3S,
            Recipe::Tq1_0 | Recipe::Tq2_0 | Recipe::Q2_0 => Q4K,
            _ => self.recipe.dtype(),
        }
    }

    /// The recipes of one and two bits with importance, whose mixtures are alike.
    fn ultra_low(&mut self, category: Category) -> DType {
        let base = self.recipe.dtype();
        let better = if self.is_2_bit_large() { Iq3S } else { Q2K };
        match category {
            Category::AttentionValue => {
                self.seen.values += 1;
                if self.hyper.gqa >= 4 || self.hyper.experts >= 4 {
                    Q4K
                } else {
                    better
                }
            }
            Category::AttentionKey if self.hyper.experts == 8 => Q4K,
            Category::FfnDown => {
                self.seen.down += 1;
                if self.seen.down <= self.layers() / 8 {
                    better
                } else {
                    base
                }
            }
            Category::AttentionOutput if self.hyper.experts == 8 => Q5K,
            Category::AttentionOutput => match self.recipe {
                Recipe::Iq1S | Recipe::Iq1M => Iq2Xxs,
                Recipe::Iq2S | Recipe::Iq2M => Iq3S,
                _ => base,
            },
            _ => base,
        }
    }

    fn attention_value(&mut self) -> DType {
        let seen = self.seen.values;
        self.seen.values += 1;
        let shared = self.hyper.gqa >= 4;
        let chosen = match self.recipe {
            Recipe::Q2K if !shared => Q3K,
            Recipe::Iq3Xxs if !shared && self.has_importance => Iq3Xxs,
            Recipe::Iq3Xxs if !shared => Iq3S,
            Recipe::Q2K | Recipe::Q2KS | Recipe::Iq3Xxs | Recipe::Iq3Xs | Recipe::Iq3S
                if shared =>
            {
                Q4K
            }
            Recipe::Iq3M => Q4K,
            Recipe::Q3KM if seen < 2 => Q5K,
            Recipe::Q3KM => Q4K,
            Recipe::Q3KL => Q5K,
            Recipe::Iq4Nl | Recipe::Iq4Xs if shared => Q5K,
            Recipe::Q4KM | Recipe::Q5KM if is_sensitive(seen, self.values) => Q6K,
            Recipe::Q4KS if seen < 4 => Q5K,
            _ => self.recipe.dtype(),
        };
        if self.hyper.experts == 8 {
            Q8_0
        } else if self.hyper.is_70b && matches!(chosen, Q3K | Q4K) {
            Q5K
        } else {
            chosen
        }
    }

    fn attention_output(&self) -> DType {
        use Recipe::{Iq3M, Iq3S as Iq3Small, Iq3Xs, Iq4Nl, Iq4Xs, Q3KL, Q3KM, Q3KS, Q4KM, Q4KS};
        match self.recipe {
            Q3KL if self.arch == "falcon" => Q4K,
            _ if self.arch == "falcon" => self.recipe.dtype(),
            Recipe::Q2K
            | Iq3Xs
            | Recipe::Iq3Xxs
            | Q3KS
            | Q3KM
            | Iq4Nl
            | Q4KS
            | Q4KM
            | Iq3Small
            | Iq3M
            | Iq4Xs
                if self.hyper.experts == 8 =>
            {
                Q5K
            }
            _ if self.hyper.experts == 8 => self.recipe.dtype(),
            Recipe::Q2K => Q3K,
            Recipe::Iq3Xxs => Iq3S,
            Q3KM | Iq3M => Q4K,
            Q3KL => Q5K,
            _ => self.recipe.dtype(),
        }
    }

    fn ffn_down(&self, layer: i64) -> DType {
        let layers = self.layers();
        let is_falcon = self.arch == "falcon";
        let sensitive = is_sensitive(layer, layers);
        let among_first = |part: i64| layer < layers / part;
        match self.recipe {
            Recipe::Q2K => Q3K,
            Recipe::Q2KS if among_first(8) => Q4K,
            Recipe::Iq3Xxs if !self.has_importance && among_first(8) => Q4K,
            Recipe::Iq3Xxs if !self.has_importance => Q3K,
            Recipe::Q3KM if among_first(16) => Q5K,
            Recipe::Q3KM if !is_falcon || sensitive => Q4K,
            Recipe::Iq3M if among_first(8) || self.hyper.experts == 8 && sensitive => Q4K,
            Recipe::Q3KL if is_falcon => Q4K,
            Recipe::Q3KL => Q5K,
            Recipe::Q4KM if is_falcon && among_first(16) => Q6K,
            Recipe::Q4KM if is_falcon && sensitive => Q5K,
            Recipe::Q4KM if is_falcon => Q4K,
            Recipe::Q4KM | Recipe::Q5KM if sensitive => Q6K,
            Recipe::Iq4Nl | Recipe::Iq4Xs if among_first(8) && !self.has_importance => Q5K,
            Recipe::Q4KS if among_first(8) && !is_falcon => Q5K,
            // With importance these go wrong in the first layers, without it the others would.
            Recipe::Q4_0 if among_first(8) && self.has_importance => Q4_1,
            Recipe::Q5_0 if among_first(8) && self.has_importance => Q5_1,
            _ => self.recipe.dtype(),
        }
    }

    fn ffn_gate_or_up(&self, layer: i64) -> DType {
        let layers = self.layers();
        let in_the_middle = (layers / 8..7 * layers / 8).contains(&layer);
        if self.recipe == Recipe::Iq3Xs && in_the_middle {
            Iq3Xxs
        } else {
            self.recipe.dtype()
        }
    }
}

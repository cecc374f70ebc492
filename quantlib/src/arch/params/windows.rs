//! The keys of sliding windows.

use super::{Param, Writer};
use crate::error::{Error, Result};
use crate::model::Array;
use serde_json::Value as Json;

const WINDOW: Param = Param::Uint("attention.sliding_window", &["sliding_window"]);

impl Writer<'_> {
    /// The window, unless all layers look at everything.
    pub(super) fn window(&mut self) -> Result<()> {
        let pattern = self.hparams.find(&["sliding_window_pattern"]);
        match pattern.and_then(|(_, pattern)| pattern.as_f64()) {
            Some(1.0) => Ok(()),
            _ => self.param(&Param::Needed(&[WINDOW])),
        }
    }

    /// The window and the layers that have one, where config.json speaks of a window.
    pub(super) fn windows(&mut self, period: u32) -> Result<()> {
        if !self.hparams.has("sliding_window") {
            return Ok(());
        }
        self.param(&Param::Needed(&[WINDOW]))?;
        let layers: Vec<bool> = match self.hparams.find(&["layer_types"]) {
            Some((_, Json::Array(kinds))) => kinds
                .iter()
                .map(|kind| kind == "sliding_attention")
                .collect(),
            Some((name, _)) => return Err(Error::malformed("must be a list").in_key(name)),
            None => (1..=self.hparams.blocks()?)
                .map(|layer| !layer.is_multiple_of(period))
                .collect(),
        };
        self.set("attention.sliding_window_pattern", Array::Bool(layers));
        Ok(())
    }
}

//! Weights in 8-bit floats with scales beside them, as DeepSeek 3 publishes them: the converter
//! multiplies them in f32.

use crate::error::{Error, Result};
use crate::format::hf::Object;
use crate::model::{Expr, TensorInfo};
use serde_json::Value;

/// What `quantization_config` says of weights quantized by the method `fp8`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fp8 {
    /// Rows and columns that share a scale; without them a row or the whole tensor does.
    tile: Option<[usize; 2]>,
}

/// Ends of the names of tensors that are no weights.
const OTHERS: &[&str] = &["_scale_inv", ".activation_scale", "_activation_scale"];

impl Fp8 {
    /// `None` for weights that are not quantized so.
    ///
    /// # Errors
    /// `unsupported` for tiles that are not of rows and columns.
    pub(super) fn load(hparams: &Object) -> Result<Option<Self>> {
        let Some(config) = hparams.get("quantization_config") else {
            return Ok(None);
        };
        if config.get("quant_method").and_then(Value::as_str) != Some("fp8") {
            return Ok(None);
        }
        let name = "weight_block_size";
        let tile = match config.get(name) {
            None | Some(Value::Null) => None,
            Some(size) => Some(tile(size).ok_or_else(|| {
                Error::unsupported("must be the rows and the columns that share a scale")
                    .in_key(name)
            })?),
        };
        Ok(Some(Self { tile }))
    }

    /// Whether a tensor only helps to understand others.
    pub(super) fn skips(self, name: &str) -> bool {
        OTHERS.iter().any(|end| name.ends_with(end))
    }

    /// The values of a weight, with its scales if there are any.
    pub(super) fn values<'m>(
        self,
        weight: &TensorInfo,
        lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>,
    ) -> Expr {
        let input = Expr::input(&weight.name);
        let name = format!("{}_scale_inv", weight.name);
        let (Some(scales), [.., rows, cols]) = (lookup(&name), &weight.shape[..]) else {
            return input;
        };
        let (mut scale, ones) = (Expr::input(name), [1].repeat(weight.shape.len()));
        let tile = match (self.tile, scales.shape.iter().product::<usize>()) {
            (Some(tile), _) => tile,
            (None, 1) => {
                scale = scale.reshape(ones);
                [*rows, *cols]
            }
            (None, _) => {
                if let [len] = scales.shape[..] {
                    scale = scale.reshape([len, 1]);
                }
                [1, *cols]
            }
        };
        Expr::Rescale {
            of: Box::new(input),
            scales: Box::new(scale),
            tile,
        }
    }
}

/// Rows and columns of a tile.
fn tile(size: &Value) -> Option<[usize; 2]> {
    let number = |value: &Value| usize::try_from(value.as_u64()?).ok().filter(|n| *n > 0);
    match &size.as_array()?[..] {
        [rows, cols] => Some([number(rows)?, number(cols)?]),
        _ => None,
    }
}

//! Phi 3's rope scaling: factors for short and for long texts.

use super::family::Turned;
use super::hparams::{Hparams, float, missing};
use crate::error::{Error, Result};
use crate::format::hf::Object;
use serde_json::Value;

/// What a model with this scaling has.
#[derive(Debug, PartialEq)]
pub(super) struct LongRope {
    /// Divisors of the frequencies for texts beyond the length it was trained with.
    pub(super) long: Vec<f32>,
    /// Those for texts up to that length.
    pub(super) short: Vec<f32>,
    /// What attention is multiplied by.
    pub(super) attention: f32,
}

impl LongRope {
    /// The scaling of a model, if it has one.
    ///
    /// # Errors
    /// `malformed` for factors that do not fit each other or the heads, `unsupported` for another
    /// type of scaling with factors.
    pub(super) fn load(hparams: &Hparams) -> Result<Option<Self>> {
        let rope = hparams.all_rope();
        let long = factors(rope, "long_factor")?;
        if long.is_empty() {
            return Ok(None);
        }
        let short = factors(rope, "short_factor")?;
        let turned = hparams.turned(Turned::OfWidth)? as usize;
        if long.len() != short.len() || Some(long.len()) != turned.checked_div(2) || turned % 2 == 1
        {
            return Err(Error::malformed(format!(
                "{} long and {} short factors do not fit {turned} turned elements of a head",
                long.len(),
                short.len(),
            ))
            .in_key("long_factor"));
        }
        let context = hparams.need_uint(&["n_positions", "max_position_embeddings"])?;
        let attention = attention(rope, context.into(), hparams.trained_context()?.into())?;
        Ok(Some(Self {
            long,
            short,
            attention,
        }))
    }
}

/// A list of factors, empty where there is none.
fn factors(rope: &Object, name: &'static str) -> Result<Vec<f32>> {
    match rope.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(float).collect(),
        Some(_) => Err(Error::malformed("must be a list")),
    }
    .map_err(|e: Error| e.in_key(name))
}

/// The factor of attention for a context that was lengthened from `trained`.
fn attention(rope: &Object, context: f64, trained: f64) -> Result<f32> {
    let scale = context / trained;
    let kind = rope.get("rope_type").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_lowercase();
    let factor = match kind.as_str() {
        "" => return Err(missing(&["rope_type"])),
        "su" | "longrope" => (1.0 + scale.ln() / trained.ln()).sqrt(),
        "yarn" => 0.1 * scale.ln() + 1.0,
        _ => {
            let why = format!("factors cannot be converted with rope scaling of type '{kind}'");
            return Err(Error::unsupported(why).in_key("rope_type"));
        }
    };
    Ok(if scale > 1.0 { factor as f32 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use serde_json::json;

    fn load(rope: Value) -> Result<Option<LongRope>> {
        let config = json!({
            "model_type": "phi-msft", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
            "max_position_embeddings": 1024, "original_max_position_embeddings": 32, "rope_scaling": rope
        });
        let Value::Object(config) = config else {
            unreachable!()
        };
        LongRope::load(&Hparams::new(&config)?)
    }

    #[test]
    fn attention_grows_with_the_context() {
        let rope = json!({"type": "su", "long_factor": [2, 3.5], "short_factor": [1, 1]});
        let long = load(rope).unwrap().unwrap();
        assert_eq!(long.long, [2.0, 3.5]);
        assert_eq!(long.attention, 2f32.sqrt());
        assert_eq!(load(json!({"type": "linear"})).unwrap(), None);
    }

    #[test]
    fn factors_must_fit_the_heads() {
        for (rope, kind) in [
            (
                json!({"type": "su", "long_factor": [2]}),
                ErrorKind::Malformed,
            ),
            (
                json!({"type": "su", "long_factor": 2}),
                ErrorKind::Malformed,
            ),
            (
                json!({"long_factor": [2, 2], "short_factor": [1, 1]}),
                ErrorKind::Malformed,
            ),
            (
                json!({"type": "new", "long_factor": [2, 2], "short_factor": [1, 1]}),
                ErrorKind::Unsupported,
            ),
        ] {
            assert_eq!(load(rope.clone()).unwrap_err().kind(), kind, "{rope}");
        }
    }
}

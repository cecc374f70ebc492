//! The factors of Llama 3.1's rope scaling, in the arithmetic of torch on a CPU.
//!
//! Compared with torch 2.15 for heads of 16 to 256 elements, bases from 1e4 to 1e7 and five
//! scalings (585 cases): all are equal when torch runs without AVX (`ATEN_CPU_CAPABILITY=default`),
//! and so are all with heads of 64 and 128 elements whatever it runs with. With AVX2 or AVX-512
//! torch's power is one ulp off for some elements, and the factor one or two: of the models'
//! usual base 5e5, element 19 with heads of 96 (-2), element 33 with 100 (-1, AVX2 only), 22 and 25
//! with 112 (+2), 23 with 120 (-1), 38 with 192 (-2), each only with some scalings.

use super::hparams::{Hparams, float};
use crate::error::{Error, Result};
use crate::format::hf::Object;
use serde_json::Value;

/// The factors that frequencies are divided by, if the model has this scaling.
pub(super) fn llama3(hparams: &Hparams) -> Result<Option<Vec<f32>>> {
    let rope = hparams.rope()?;
    if !is_llama3(rope) {
        return Ok(None);
    }
    let dim = hparams.head_dim()?;
    if dim > MAX_HEAD {
        return Err(
            Error::limit(format!("a head of {dim} elements is too long")).in_key("head_dim"),
        );
    }
    let scaling = Llama3 {
        base: parameter(rope, "rope_theta", 10000.0)?,
        factor: parameter(rope, "factor", 8.0)?,
        low: parameter(rope, "low_freq_factor", 1.0)?,
        high: parameter(rope, "high_freq_factor", 4.0)?,
        context: parameter(rope, "original_max_position_embeddings", 8192.0)?,
    };
    let pairs = (0..dim).step_by(2);
    Ok(Some(pairs.map(|i| scaling.factor(i, dim)).collect()))
}

fn is_llama3(rope: &Object) -> bool {
    let kind = rope.get("rope_type").and_then(Value::as_str);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("llama3"))
}

/// Refuses models with this scaling.
pub(super) fn no_llama3(hparams: &Hparams) -> Result<()> {
    match is_llama3(hparams.rope()?) {
        false => Ok(()),
        true => Err(Error::unsupported(
            "llama.cpp has no rope scaling of type llama3 for this architecture",
        )
        .in_key("rope_type")),
    }
}

/// Longest head that is believed.
const MAX_HEAD: u32 = 1 << 16;

fn parameter(rope: &Object, key: &'static str, default: f64) -> Result<f64> {
    let Some(value) = rope.get(key) else {
        return Ok(default);
    };
    float(value).map_err(|e| e.in_key(key))?;
    Ok(value.as_f64().unwrap_or(default))
}

/// The parameters of the scaling.
pub(super) struct Llama3 {
    pub(super) base: f64,
    pub(super) factor: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) context: f64,
}

impl Llama3 {
    /// The factor of element `i` of a head of `dim`.
    ///
    /// torch calculates in f32 and divides a number by a tensor as number × reciprocal.
    pub(super) fn factor(&self, i: u32, dim: u32) -> f32 {
        let exponent = i as f32 / dim as f32;
        let power = (self.base as f32 as f64).powf(exponent.into()) as f32;
        let frequency = power.recip();
        let wavelength = frequency.recip() * (2.0 * std::f64::consts::PI) as f32;
        if wavelength < (self.context / self.high) as f32 {
            return 1.0;
        }
        if wavelength > (self.context / self.low) as f32 {
            return self.factor as f32;
        }
        let turns = wavelength.recip() * self.context as f32;
        let smooth = (turns - self.low as f32) / (self.high - self.low) as f32;
        ((1.0 - smooth) / self.factor as f32 + smooth).recip()
    }
}

//! Encodings of AIMET and of Qualcomm's tools: scales and offsets of activations and weights, in JSON.

mod read;
mod write;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// How values become codes: x = (code + offset) · scale, with codes from 0 on. Where codes have a sign,
/// these are less by half of their number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Bits of a code.
    pub bits: u8,
    /// Whether codes are the same on both sides of zero, but for one more below.
    pub symmetric: bool,
    /// One scale for all values, or one for each channel.
    pub scales: Vec<f32>,
    /// An offset for each scale, from -(2^bits - 1) to 0.
    pub offsets: Vec<i64>,
    /// The axis of the channels, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<usize>,
}

impl Grid {
    /// One of as many scales as offsets, all of which can be.
    ///
    /// # Errors
    /// `malformed` if they cannot.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::malformed(format!("an encoding {what}")));
        let Self {
            scales, offsets, ..
        } = self;
        if !(1..=32).contains(&self.bits) {
            return wrong(format!(
                "has codes of {} bits; 1 to 32 are known",
                self.bits
            ));
        }
        if scales.is_empty() || scales.len() != offsets.len() {
            return wrong(format!(
                "has {} scales and {} offsets; each scale needs one offset",
                scales.len(),
                offsets.len()
            ));
        }
        if let Some(scale) = scales
            .iter()
            .find(|scale| !scale.is_normal() || **scale < 0.0)
        {
            return wrong(format!(
                "has a scale of {scale}, which must be above zero and finite"
            ));
        }
        let least = 1 - (1_i64 << self.bits);
        match offsets.iter().find(|offset| !(least..=0).contains(offset)) {
            Some(offset) => wrong(format!(
                "has an offset of {offset}, which must be from {least} to 0"
            )),
            None => Ok(()),
        }
    }

    /// Whether codes have a sign and zero is the code 0: then no zero points are needed.
    pub fn is_signed(&self) -> bool {
        let half = 1_i64 << (self.bits.max(1) - 1);
        // AIMET's strict symmetry leaves out the least code.
        let around = |offset: &i64| *offset == -half || *offset == 1 - half;
        self.symmetric && self.offsets.iter().all(around)
    }
}

/// Encodings of a model, by the names of its tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encodings {
    /// Those of values that are calculated or given.
    pub activations: BTreeMap<String, Grid>,
    /// Those of constants.
    pub parameters: BTreeMap<String, Grid>,
}

/// A version of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodingsVersion {
    /// 0.6.1: an object for each scale.
    V0_6_1,
    /// 1.0.0, which AIMET writes by default: lists of scales and offsets.
    #[default]
    V1_0_0,
    /// 2.0.0: the terms of ONNX.
    V2_0_0,
}

impl EncodingsVersion {
    /// As the JSON says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_6_1 => "0.6.1",
            Self::V1_0_0 => "1.0.0",
            Self::V2_0_0 => "2.0.0",
        }
    }
}

impl FromStr for EncodingsVersion {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let mut all = [Self::V0_6_1, Self::V1_0_0, Self::V2_0_0].into_iter();
        all.find(|version| version.name() == name).ok_or_else(|| {
            Error::misuse(format!(
                "'{name}' is no version of encodings; these are: 0.6.1, 1.0.0, 2.0.0"
            ))
        })
    }
}

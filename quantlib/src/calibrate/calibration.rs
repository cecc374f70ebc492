//! Ranges of tensors, found or given: plain data, and JSON.

use super::encodings::Grid;
use super::method::{Levels, Method, Range};
use super::observer::Observer;
use crate::error::{Error, Result};
use crate::io::FileSource;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The ranges of a model's activations.
///
/// As JSON: `{"method": "mse", "tensors": {"NAME": {"low": -1.5, "high": 2.0, …}}}`; of a tensor no more
/// than these two numbers is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The name of the method that found them.
    #[serde(default)]
    pub method: Option<String>,
    /// The ranges by the tensors' names.
    pub tensors: BTreeMap<String, TensorRange>,
    /// Scales and offsets that are given, of activations and weights: these are taken, not the ranges.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub encodings: BTreeMap<String, Grid>,
}

/// What is known of one tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TensorRange {
    /// The end of the range below.
    pub low: f32,
    /// The end of the range above.
    pub high: f32,
    /// The least value that was observed, but for those that were ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f32>,
    /// The greatest value that was observed, but for those that were ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greatest: Option<f32>,
    /// Values that were observed.
    #[serde(default)]
    pub values: u64,
    /// Values that are infinite, or absurdly far from the others, such as those of masks.
    #[serde(default)]
    pub ignored: u64,
    /// The power of the values to that of the quantization error, in decibels; none if it is unknown,
    /// or there is no error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_to_noise: Option<f32>,
}

impl TensorRange {
    /// The range that a method makes of what was observed.
    pub fn of(observer: &Observer, method: Method, levels: Levels) -> Self {
        let range = observer.range(method, levels);
        let extremes = observer.extremes();
        let ratio = observer.signal_to_noise(range, levels);
        Self {
            low: range.low,
            high: range.high,
            least: Some(extremes.low),
            greatest: Some(extremes.high),
            values: observer.values(),
            ignored: observer.ignored().count,
            signal_to_noise: ratio.map(|ratio| ratio as f32),
        }
    }

    /// The two ends.
    pub fn range(&self) -> Range {
        Range {
            low: self.low,
            high: self.high,
        }
    }
}

/// Longest file that is read.
const LONGEST: u64 = 256 << 20;

impl Calibration {
    /// Reads JSON: ranges, or encodings of AIMET and Qualcomm's tools (versions 0.6.1, 1.0.0, 2.0.0), of
    /// activations and of weights.
    ///
    /// # Errors
    /// `malformed` if it is something else, or a range is infinite or upside down.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let wrong = |e| Error::malformed(format!("is no JSON of ranges: {e}"));
        let json: serde_json::Value = serde_json::from_slice(text).map_err(wrong)?;
        let read: Self = match Self::are_encodings(&json) {
            true => Self::from_encodings(&json)?,
            false => serde_json::from_value(json).map_err(wrong)?,
        };
        for (name, TensorRange { low, high, .. }) in &read.tensors {
            if !low.is_finite() || !high.is_finite() || low > high {
                let what = format!("has a range from {low} to {high}");
                return Err(Error::malformed(what).in_tensor(name));
            }
        }
        for (name, grid) in &read.encodings {
            grid.check().map_err(|e| e.in_tensor(name))?;
        }
        Ok(read)
    }

    /// The ranges as JSON.
    ///
    /// # Errors
    /// None but those of a writer that fails, which memory does not.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::misuse(format!("cannot be written as JSON: {e}")))
    }

    /// Reads a JSON file.
    ///
    /// # Errors
    /// `io`, `limit` if it is longer than 256 MiB, and those of [`from_json`](Self::from_json).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let source = FileSource::open(path)?;
        let read = || {
            if source.len() > LONGEST {
                return Err(Error::limit("is too long for a file of ranges"));
            }
            let mut text = vec![0; source.len() as usize];
            source.read_exact_at(&mut text, 0)?;
            Self::from_json(&text)
        };
        read().map_err(|e| e.in_file(source.path()))
    }

    /// Writes a JSON file.
    ///
    /// # Errors
    /// `io`.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json()?)
            .map_err(|e| Error::io("cannot be written", e).in_file(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back() {
        let mut observer = Observer::default();
        observer.observe(&[1.25, -3.5, f32::MIN]);
        let range = TensorRange::of(&observer, Method::MinMax, Levels::asymmetric(8));
        assert_eq!((range.ignored, range.values), (1, 3));
        let calibration = Calibration {
            method: Some("minmax".to_owned()),
            tensors: [("x".to_owned(), range)].into(),
            ..Calibration::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ranges.json");
        calibration.save(&path).unwrap();
        assert_eq!(Calibration::open(&path).unwrap(), calibration);
    }

    #[test]
    fn short_json_is_enough_and_nonsense_is_refused() {
        let short = br#"{"tensors": {"x": {"low": -1, "high": 2}}}"#;
        let read = Calibration::from_json(short).unwrap();
        assert_eq!((read.tensors["x"].low, read.tensors["x"].high), (-1.0, 2.0));
        for wrong in [
            &b"{"[..],
            b"[]",
            br#"{"tensors": {"x": {"low": 3, "high": 2}}}"#,
            br#"{"tensors": {"x": {"low": 3}}}"#,
            br#"{"tensors": {"x": {"low": 1e99, "high": 1e99}}}"#,
        ] {
            assert!(Calibration::from_json(wrong).is_err());
        }
    }
}

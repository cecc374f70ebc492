//! Encodings of AIMET and of Qualcomm's tools: ranges of activations as scales and offsets, in JSON.

use super::calibration::{Calibration, TensorRange};
use super::method::Levels;
use crate::error::{Error, Result};
use serde_json::{Value, json};

impl Calibration {
    /// Whether JSON is a file of encodings.
    pub(super) fn are_encodings(json: &Value) -> bool {
        json.get("activation_encodings").is_some() || json.get("encodings").is_some()
    }

    /// Reads encodings of versions 0.6.1, 1.0.0 and 2.0.0: those of activations with one scale. Those of
    /// parameters are left out, for weights have their own scales.
    pub(super) fn from_encodings(json: &Value) -> Result<Self> {
        let mut all = Self::default();
        match (&json["activation_encodings"], &json["encodings"]) {
            (Value::Object(by_name), _) => {
                for (name, entries) in by_name {
                    all.take(name, &entries[0])?;
                }
            }
            (Value::Array(list), _) | (_, Value::Array(list)) => {
                for entry in list {
                    let name = entry["name"]
                        .as_str()
                        .ok_or_else(|| wrong("has no name", ""))?;
                    all.take(name, entry)?;
                }
            }
            _ => return Err(wrong("is neither a list nor by names", "")),
        }
        Ok(all)
    }

    fn take(&mut self, name: &str, entry: &Value) -> Result<()> {
        let is_float = |key: &str| {
            let text = entry[key].as_str().unwrap_or_default();
            text.to_ascii_lowercase().starts_with("float")
        };
        if is_float("dtype") || is_float("output_dtype") {
            return Ok(());
        }
        let Some(range) = range(entry).map_err(|what| wrong(what, name))? else {
            return Ok(());
        };
        self.tensors.insert(name.to_owned(), range);
        Ok(())
    }

    /// Encodings of version 1.0.0, as AIMET writes them by default: of activations, for codes of so
    /// many bits.
    ///
    /// # Errors
    /// None but those of JSON's writer, which memory does not have.
    pub fn to_encodings(&self, bits: u8) -> Result<String> {
        let entry = |(name, range): (&String, &TensorRange)| {
            let (scale, zero) = Levels::asymmetric(bits).fit(range.range());
            json!({
                "name": name,
                "bw": bits,
                "dtype": "INT",
                "enc_type": "PER_TENSOR",
                "is_sym": false,
                "scale": [scale],
                "offset": [-(zero as i64)],
            })
        };
        let activations: Vec<_> = self.tensors.iter().map(entry).collect();
        let all = json!({
            "version": "1.0.0",
            "producer": "quantlib",
            "activation_encodings": activations,
            "param_encodings": [],
        });
        serde_json::to_string_pretty(&all)
            .map_err(|e| Error::misuse(format!("cannot be written as JSON: {e}")))
    }
}

fn wrong(what: &str, name: &str) -> Error {
    let error = Error::malformed(format!("an encoding {what}"));
    match name {
        "" => error,
        name => error.in_tensor(name),
    }
}

/// The number of a field, or of the only element of its list; none if there are several.
fn single(value: &Value) -> Option<f64> {
    match value {
        Value::Array(list) if list.len() == 1 => list[0].as_f64(),
        value => value.as_f64(),
    }
}

/// The range of an encoding; none if it has several scales.
fn range(entry: &Value) -> Result<Option<TensorRange>, &'static str> {
    let several = |key: &str| entry[key].as_array().is_some_and(|list| list.len() > 1);
    if several("scale") || several("y_scale") {
        return Ok(None);
    }
    let (scale, offset, bits, least) = match entry["output_dtype"].as_str() {
        Some(code_type) => {
            let signed = code_type.starts_with("int");
            let bits = code_type
                .trim_start_matches("uint")
                .trim_start_matches("int");
            let bits: u32 = bits.parse().map_err(|_| "has no known output_dtype")?;
            let zero = single(&entry["y_zero_point"]).unwrap_or(0.0);
            let least = if signed {
                -(2f64.powi(bits as i32 - 1))
            } else {
                0.0
            };
            (
                single(&entry["y_scale"]),
                Some(-zero),
                f64::from(bits),
                least,
            )
        }
        None => {
            let bits = single(&entry["bw"]).or_else(|| single(&entry["bitwidth"]));
            let bits = bits.ok_or("says no bit width")?;
            (single(&entry["scale"]), single(&entry["offset"]), bits, 0.0)
        }
    };
    let scale = scale.filter(|scale| scale.is_finite() && *scale > 0.0);
    let scale = scale.ok_or("has no scale above zero")?;
    let offset = offset.ok_or("has no offset")?;
    if !(1.0..=32.0).contains(&bits) {
        return Err("has a bit width beyond 32");
    }
    let low = ((least + offset) * scale) as f32;
    let high = ((least + offset + bits.exp2() - 1.0) * scale) as f32;
    match low.is_finite() && high.is_finite() {
        true => Ok(Some(TensorRange {
            low,
            high,
            ..TensorRange::default()
        })),
        false => Err("has a range without end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Calibration> {
        Calibration::from_json(text.as_bytes())
    }

    #[test]
    fn all_versions_say_the_same() {
        let oldest = r#"{"version": "0.6.1", "activation_encodings": {"x": [{"bitwidth": 8,
            "dtype": "int", "is_symmetric": "False", "max": 1.91, "min": -0.64, "offset": -64,
            "scale": 0.01}]}, "param_encodings": {}}"#;
        let usual = r#"{"version": "1.0.0", "activation_encodings": [{"name": "x", "bw": 8,
            "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": false, "scale": [0.01],
            "offset": [-64]}], "param_encodings": []}"#;
        let newest = r#"{"version": "2.0.0", "encodings": [{"name": "x", "output_dtype": "uint8",
            "y_scale": 0.01, "y_zero_point": 64}, {"name": "w", "output_dtype": "int8",
            "y_scale": [0.1, 0.2], "axis": 0}]}"#;
        for text in [oldest, usual, newest] {
            let tensors = read(text).unwrap().tensors;
            assert_eq!(tensors.len(), 1);
            let range = tensors["x"].range();
            assert_eq!((range.low, range.high), (-0.64, 1.91), "{text}");
        }
    }

    #[test]
    fn encodings_come_back() {
        let ranges =
            r#"{"tensors": {"x": {"low": -0.64, "high": 1.91}, "y": {"low": 0, "high": 3}}}"#;
        let ranges = read(ranges).unwrap();
        for bits in [8, 16] {
            let again = read(&ranges.to_encodings(bits).unwrap()).unwrap();
            for (name, range) in &ranges.tensors {
                let levels = Levels::asymmetric(bits);
                let (scale, zero) = levels.fit(range.range());
                let (again_scale, again_zero) = levels.fit(again.tensors[name].range());
                assert_eq!(zero, again_zero);
                assert!((scale - again_scale).abs() < scale * 1e-6);
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            r#"{"encodings": 3}"#,
            r#"{"encodings": [{"output_dtype": "uint8"}]}"#,
            r#"{"encodings": [{"name": "x", "output_dtype": "uint8", "y_scale": 0}]}"#,
            r#"{"encodings": [{"name": "x", "output_dtype": "uint", "y_scale": 1}]}"#,
            r#"{"activation_encodings": [{"name": "x", "scale": [1], "offset": [0]}]}"#,
            r#"{"activation_encodings": [{"name": "x", "bw": 8, "scale": [1]}]}"#,
            r#"{"activation_encodings": [{"name": "x", "bw": 99, "scale": [1], "offset": [0]}]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

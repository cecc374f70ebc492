//! Encodings from JSON, of all versions.

use super::super::calibration::{Calibration, TensorRange};
use super::super::method::Levels;
use super::{Encodings, EncodingsVersion, Grid};
use crate::error::{Error, Result};
use serde_json::Value;

/// Sections of encodings.
const SECTIONS: [&str; 3] = ["activation_encodings", "param_encodings", "encodings"];

impl Calibration {
    /// Whether JSON is a file of encodings. Ranges may have encodings with them, but these have tensors.
    pub(in super::super) fn are_encodings(json: &Value) -> bool {
        let has = |key: &str| json.get(key).is_some();
        !has("tensors") && SECTIONS.iter().any(|section| has(section))
    }

    /// Reads encodings of versions 0.6.1, 1.0.0 and 2.0.0. Of activations with one scale the range is kept
    /// too.
    pub(in super::super) fn from_encodings(json: &Value) -> Result<Self> {
        let mut all = Self::default();
        for section in SECTIONS {
            let is_known = section != "param_encodings";
            match json.get(section) {
                None => {}
                Some(Value::Object(by_name)) => {
                    for (name, entries) in by_name {
                        all.take(name, entries, is_known)?;
                    }
                }
                Some(Value::Array(list)) => {
                    for entry in list {
                        let name = entry["name"].as_str().ok_or_else(|| {
                            Error::malformed(format!("an encoding of '{section}' has no name"))
                        })?;
                        all.take(name, entry, is_known)?;
                    }
                }
                Some(_) => {
                    let what = format!("'{section}' is neither a list nor by names");
                    return Err(Error::malformed(what));
                }
            }
        }
        Ok(all)
    }

    fn take(&mut self, name: &str, entry: &Value, has_range: bool) -> Result<()> {
        let Some(grid) = grid(entry).map_err(|e| e.in_tensor(name))? else {
            return Ok(());
        };
        grid.check().map_err(|e| e.in_tensor(name))?;
        if let (true, [scale], [offset]) = (has_range, &grid.scales[..], &grid.offsets[..]) {
            let (scale, offset) = (f64::from(*scale), *offset as f64);
            let range = TensorRange {
                low: (offset * scale) as f32,
                high: ((offset + f64::from(grid.bits).exp2() - 1.0) * scale) as f32,
                ..TensorRange::default()
            };
            self.tensors.insert(name.to_owned(), range);
        }
        self.encodings.insert(name.to_owned(), grid);
        Ok(())
    }

    /// Encodings of version 1.0.0, as AIMET writes them by default: of activations, for codes of so
    /// many bits.
    ///
    /// # Errors
    /// None but those of JSON's writer, which memory does not have.
    pub fn to_encodings(&self, bits: u8) -> Result<String> {
        let grid = |(name, range): (&String, &TensorRange)| {
            let (scale, zero) = Levels::asymmetric(bits).fit(range.range());
            let grid = Grid {
                bits,
                scales: vec![scale as f32],
                offsets: vec![-(zero as i64)],
                ..Grid::default()
            };
            (name.clone(), grid)
        };
        let encodings = Encodings {
            activations: self.tensors.iter().map(grid).collect(),
            ..Encodings::default()
        };
        encodings.to_json(EncodingsVersion::V1_0_0)
    }
}

/// The grid of an entry; none if it is of floats.
fn grid(entry: &Value) -> Result<Option<Grid>> {
    // Before version 1.0.0, each channel has an object of its own.
    let list = entry
        .as_array()
        .map_or(std::slice::from_ref(entry), Vec::as_slice);
    let mut all: Option<Grid> = None;
    for entry in list {
        let Some(next) = one_grid(entry)? else {
            return Ok(None);
        };
        match &mut all {
            None => all = Some(next),
            Some(all) if all.bits == next.bits && all.symmetric == next.symmetric => {
                all.scales.extend(next.scales);
                all.offsets.extend(next.offsets);
            }
            Some(_) => {
                return Err(Error::malformed(
                    "an encoding has channels of several types",
                ));
            }
        }
    }
    all.map(Some)
        .ok_or_else(|| Error::malformed("an encoding is empty"))
}

fn one_grid(entry: &Value) -> Result<Option<Grid>> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_ascii_lowercase();
    if text("dtype").starts_with("float") || text("output_dtype").starts_with("float") {
        return Ok(None);
    }
    let is_block = |key: &str| !entry[key].is_null();
    let in_blocks = ["block_size", "per_block_int_scale"]
        .iter()
        .any(|key| is_block(key));
    if in_blocks || ["per_block", "lpbq"].contains(&&text("enc_type")[..]) {
        return Err(Error::unsupported(
            "an encoding has scales for blocks; weights here have one scale, or one for each channel: leave it out",
        ));
    }
    match entry["output_dtype"].is_null() {
        true => in_steps(entry).map(Some),
        false => in_onnx_terms(entry).map(Some),
    }
}

/// Versions before 2: scales and offsets of codes from 0 on.
fn in_steps(entry: &Value) -> Result<Grid> {
    let bits = if entry["bw"].is_null() {
        "bitwidth"
    } else {
        "bw"
    };
    let symmetric = match (&entry["is_sym"], &entry["is_symmetric"]) {
        (Value::Bool(is_so), _) | (_, Value::Bool(is_so)) => *is_so,
        (_, Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    };
    Ok(Grid {
        bits: whole(&entry[bits], bits)?.try_into().unwrap_or(u8::MAX),
        symmetric,
        scales: numbers(entry, "scale")?
            .iter()
            .map(|scale| *scale as f32)
            .collect(),
        offsets: wholes(entry, "offset")?,
        axis: None,
    })
}

/// Version 2: scales and zero points of codes with or without a sign.
fn in_onnx_terms(entry: &Value) -> Result<Grid> {
    let code_type = entry["output_dtype"].as_str().unwrap_or_default();
    let (symmetric, bits) = match code_type.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, code_type.strip_prefix("int").unwrap_or_default()),
    };
    let bits: u8 = bits.parse().ok().filter(|bits| (1..=32).contains(bits)).ok_or_else(|| {
        Error::malformed(format!(
            "an encoding has an 'output_dtype' of '{code_type}', which is no integer of 1 to 32 bits"
        ))
    })?;
    let half = if symmetric { 1_i64 << (bits - 1) } else { 0 };
    let scales = numbers(entry, "y_scale")?;
    let zeros = match entry["y_zero_point"].is_null() {
        true => vec![0; scales.len()],
        false => wholes(entry, "y_zero_point")?,
    };
    let offset = |zero: &i64| zero.checked_neg().and_then(|zero| zero.checked_sub(half));
    let offsets: Option<Vec<_>> = zeros.iter().map(offset).collect();
    let axis = &entry["axis"];
    Ok(Grid {
        bits,
        symmetric: symmetric && zeros.iter().all(|zero| *zero == 0),
        scales: scales.iter().map(|scale| *scale as f32).collect(),
        offsets: offsets.ok_or_else(|| not_whole("y_zero_point"))?,
        axis: match axis.is_null() {
            true => None,
            // Counted from the last, it is known only with the shape.
            false => whole(axis, "axis")?.try_into().ok(),
        },
    })
}

fn not_whole(key: &str) -> Error {
    Error::malformed(format!(
        "an encoding has in '{key}' what is no whole number"
    ))
}

/// A whole number, be it written as a float.
fn whole(value: &Value, key: &str) -> Result<i64> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0);
    // Beyond 2^53 not every number is one of f64.
    let number = number.filter(|number| number.abs() < 2f64.powi(53));
    number
        .map(|number| number as i64)
        .ok_or_else(|| not_whole(key))
}

/// One value, or all of a list.
fn values<'v>(entry: &'v Value, key: &str) -> &'v [Value] {
    match &entry[key] {
        Value::Array(list) => list,
        value => std::slice::from_ref(value),
    }
}

fn wholes(entry: &Value, key: &str) -> Result<Vec<i64>> {
    values(entry, key)
        .iter()
        .map(|value| whole(value, key))
        .collect()
}

fn numbers(entry: &Value, key: &str) -> Result<Vec<f64>> {
    let number = |value: &Value| {
        value.as_f64().ok_or_else(|| {
            Error::malformed(format!("an encoding has in '{key}' what is no number"))
        })
    };
    values(entry, key).iter().map(number).collect()
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
            assert_eq!(tensors.len(), 1, "those with several scales have no range");
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
            r#"{"param_encodings": {"x": []}}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": [1, 2], "offset": [-128]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": [1], "offset": [1]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": [1], "offset": [-256]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": [1], "offset": [-0.5]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": [1e99], "offset": [-128]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": ["NaN"], "offset": [-128]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 0, "scale": [1], "offset": [0]}]}"#,
            r#"{"param_encodings": [{"name": "w", "bw": 4, "enc_type": "LPBQ", "scale": [1], "offset": [-8]}]}"#,
            r#"{"encodings": [{"name": "w", "output_dtype": "int8", "y_scale": [1], "y_zero_point": 1e300}]}"#,
            r#"{"activation_encodings": [{"name": "x", "bw": 99, "scale": [1], "offset": [0]}]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let unequal =
            r#"{"param_encodings": [{"name": "w", "bw": 8, "scale": [1, 2], "offset": [-128]}]}"#;
        let error = read(unequal).unwrap_err().to_string();
        assert!(
            error.contains("2 scales and 1 offsets") && error.contains("'w'"),
            "{error}"
        );
    }

    #[test]
    fn every_version_brings_every_grid_back() {
        let whole = Grid {
            bits: 16,
            scales: vec![0.1],
            offsets: vec![-300],
            ..Grid::default()
        };
        let channels = Grid {
            bits: 4,
            symmetric: true,
            scales: vec![1e-5, 0.3, 7.0],
            offsets: vec![-8; 3],
            axis: Some(1),
        };
        let encodings = Encodings {
            activations: [("x".to_owned(), whole.clone())].into(),
            parameters: [("w".to_owned(), channels.clone())].into(),
        };
        for name in ["0.6.1", "1.0.0", "2.0.0"] {
            let version: EncodingsVersion = name.parse().unwrap();
            let again = read(&encodings.to_json(version).unwrap()).unwrap();
            assert_eq!(again.encodings["x"], whole, "{name}");
            let axis = channels
                .axis
                .filter(|_| version == EncodingsVersion::V2_0_0);
            let expected = Grid {
                axis,
                ..channels.clone()
            };
            assert_eq!(again.encodings["w"], expected, "{name}");
            assert_eq!(read(&again.to_json().unwrap()).unwrap(), again);
            assert_eq!(again.tensors.len(), 1);
        }
    }
}

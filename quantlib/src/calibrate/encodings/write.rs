//! Encodings as JSON.

use super::{Encodings, EncodingsVersion, Grid};
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Encodings {
    /// The JSON of a version.
    ///
    /// ```
    /// use quantlib::calibrate::{Encodings, EncodingsVersion, Grid};
    /// let grid = Grid { bits: 8, scales: vec![0.5], offsets: vec![-3], ..Grid::default() };
    /// let mut encodings = Encodings::default();
    /// encodings.activations.insert("x".to_owned(), grid);
    /// let json = encodings.to_json(EncodingsVersion::V1_0_0)?;
    /// assert!(json.contains("PER_TENSOR"));
    /// # Ok::<(), quantlib::Error>(())
    /// ```
    ///
    /// # Errors
    /// None but those of JSON's writer, which memory does not have.
    pub fn to_json(&self, version: EncodingsVersion) -> Result<String> {
        let Self {
            activations,
            parameters,
        } = self;
        let mut all = json!({"version": version.name(), "producer": "quantlib"});
        match version {
            EncodingsVersion::V0_6_1 => {
                let section = |of: &BTreeMap<String, Grid>| -> Map<String, Value> {
                    let entries = of.iter();
                    let entries = entries.map(|(name, grid)| (name.clone(), oldest(grid)));
                    entries.collect()
                };
                all["activation_encodings"] = section(activations).into();
                all["param_encodings"] = section(parameters).into();
            }
            EncodingsVersion::V1_0_0 => {
                all["activation_encodings"] = list(activations, usual);
                all["param_encodings"] = list(parameters, usual);
            }
            EncodingsVersion::V2_0_0 => {
                let both = activations.iter().chain(parameters);
                let both = both.map(|(name, grid)| newest(name, grid));
                all["encodings"] = both.collect();
            }
        }
        let mut text = serde_json::to_string_pretty(&all)
            .map_err(|e| Error::misuse(format!("cannot be written as JSON: {e}")))?;
        text.push('\n');
        Ok(text)
    }
}

fn list(of: &BTreeMap<String, Grid>, entry: fn(&str, &Grid) -> Value) -> Value {
    of.iter().map(|(name, grid)| entry(name, grid)).collect()
}

/// 0.6.1: an object for each scale.
fn oldest(grid: &Grid) -> Value {
    let each = grid.scales.iter().zip(&grid.offsets);
    let steps = (grid.bits as f64).exp2() - 1.0;
    let entry = |(scale, offset): (&f32, &i64)| {
        let (scale, offset) = (f64::from(*scale), *offset as f64);
        json!({
            "bitwidth": grid.bits,
            "dtype": "int",
            "is_symmetric": if grid.symmetric { "True" } else { "False" },
            "min": offset * scale,
            "max": (offset + steps) * scale,
            "offset": offset as i64,
            "scale": scale,
        })
    };
    each.map(entry).collect()
}

/// 1.0.0.
fn usual(name: &str, grid: &Grid) -> Value {
    let kind = match (grid.axis, grid.scales.len()) {
        (None, 1) => "PER_TENSOR",
        _ => "PER_CHANNEL",
    };
    let scales = grid.scales.iter().map(|scale| f64::from(*scale));
    json!({
        "name": name,
        "bw": grid.bits,
        "dtype": "INT",
        "enc_type": kind,
        "is_sym": grid.symmetric,
        "scale": scales.collect::<Vec<_>>(),
        "offset": grid.offsets,
    })
}

/// 2.0.0: the terms of ONNX, zero points with their sign.
fn newest(name: &str, grid: &Grid) -> Value {
    let signed = grid.is_signed();
    let kind = if signed { "int" } else { "uint" };
    let scales = grid.scales.iter().map(|scale| f64::from(*scale).into());
    let mut entry = json!({
        "name": name,
        "output_dtype": format!("{kind}{}", grid.bits),
        "y_scale": one_or_all(grid, scales.collect()),
    });
    if !signed && grid.offsets.iter().any(|offset| *offset != 0) {
        let zeros = grid.offsets.iter().map(|offset| (-offset).into());
        entry["y_zero_point"] = one_or_all(grid, zeros.collect());
    }
    if let Some(axis) = grid.axis {
        entry["axis"] = axis.into();
    }
    entry
}

/// A number where one is for all values, else a list.
fn one_or_all(grid: &Grid, mut numbers: Vec<Value>) -> Value {
    match (grid.axis, numbers.len()) {
        (None, 1) => numbers.remove(0),
        _ => numbers.into(),
    }
}

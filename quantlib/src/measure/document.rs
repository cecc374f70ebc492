//! Differences between two documents.

use crate::model::{Array, Metadata, Value};
use serde::Serialize;

/// Bytes of a string that are shown.
const SHOWN: usize = 60;

/// A key whose values differ, or that only one model has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MetadataDifference {
    /// The key.
    pub key: String,
    /// A's value in short; none if A lacks the key.
    pub a: Option<String>,
    /// B's value in short; none if B lacks the key.
    pub b: Option<String>,
}

/// Those of all keys, A's first and in its order.
pub(super) fn differences(a: &Metadata, b: &Metadata) -> Vec<MetadataDifference> {
    let only_b = b.keys().filter(|key| !a.contains_key(*key));
    let keys = a.keys().chain(only_b);
    let different = keys.filter(|key| match (a.get(*key), b.get(*key)) {
        (Some(a), Some(b)) => !same(a, b),
        _ => true,
    });
    different
        .map(|key| MetadataDifference {
            key: key.clone(),
            a: a.get(key).map(shown),
            b: b.get(key).map(shown),
        })
        .collect()
}

/// Equal bits: NaN equals itself here.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Array(Array::F32(a)), Value::Array(Array::F32(b))) => a
            .iter()
            .map(|x| x.to_bits())
            .eq(b.iter().map(|x| x.to_bits())),
        _ => a == b,
    }
}

/// A value as people read it, long ones in short.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let text = text.to_string();
            match text.char_indices().nth(SHOWN) {
                None => format!("{text:?}"),
                Some((end, _)) => format!("{:?}…", &text[..end]),
            }
        }
        Value::Array(array) => format!("an array of {}", array.len()),
        Value::U8(v) => v.to_string(),
        Value::I8(v) => v.to_string(),
        Value::U16(v) => v.to_string(),
        Value::I16(v) => v.to_string(),
        Value::U32(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::F32(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        Value::U64(v) => v.to_string(),
        Value::I64(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
    }
}

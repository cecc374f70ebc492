//! JSON values as Python sees them.

use crate::error::{Error, Result};
use serde_json::Value;

/// Whether Python takes the value for true.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

/// The value of a key, if it is there and true in Python's sense.
pub(super) fn true_entry<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|v| truthy(v))
}

/// The elements of an array entry; none if it is missing.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let array = value.get(key).and_then(Value::as_array);
    array.map_or(&[], Vec::as_slice)
}

/// The value as a token id, where Python would take it for an integer (a bool is one).
///
/// # Errors
/// `malformed` for an integer that is no id.
pub(super) fn token_id(value: &Value) -> Result<Option<u32>> {
    let id = match value {
        Value::Bool(b) => Some(u32::from(*b)),
        Value::Number(n) if n.is_f64() => return Ok(None),
        Value::Number(n) => n.as_u64().and_then(|id| id.try_into().ok()),
        _ => return Ok(None),
    };
    id.map(Some)
        .ok_or_else(|| Error::malformed(format!("{value} is no token id")))
}

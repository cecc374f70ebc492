//! Values as people write them.

use crate::error::{Error, Result};
use crate::model::{Array, StringArray, Value};
use serde::de::DeserializeOwned;

/// Reads a value of a named type: `u8` to `u64`, `i8` to `i64`, `f32`, `f64`, `bool` and `str` (or
/// `string`); or an array of them, such as `[u32]`, written in JSON.
///
/// ```
/// use quantlib::{model::Value, rewrite::parse_value};
/// assert_eq!(parse_value("u32", "7")?, Value::U32(7));
/// assert_eq!(parse_value("[str]", r#"["a", "b"]"#)?.as_array().unwrap().len(), 2);
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// `misuse` for other types, and for values that the type has not.
pub fn parse_value(type_name: &str, text: &str) -> Result<Value> {
    let value = match type_name
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
    {
        Some(element) => array(element, text).map(Value::Array),
        None => scalar(type_name, text),
    };
    value.ok_or_else(|| {
        Error::misuse(format!(
            "'{text}' is no value of the type '{type_name}'; types are u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, bool, str, and arrays such as [u32], written in JSON"
        ))
    })
}

fn scalar(type_name: &str, text: &str) -> Option<Value> {
    Some(match type_name {
        "u8" => Value::U8(text.parse().ok()?),
        "i8" => Value::I8(text.parse().ok()?),
        "u16" => Value::U16(text.parse().ok()?),
        "i16" => Value::I16(text.parse().ok()?),
        "u32" => Value::U32(text.parse().ok()?),
        "i32" => Value::I32(text.parse().ok()?),
        "u64" => Value::U64(text.parse().ok()?),
        "i64" => Value::I64(text.parse().ok()?),
        "f32" => Value::F32(text.parse().ok()?),
        "f64" => Value::F64(text.parse().ok()?),
        "bool" => Value::Bool(text.parse().ok()?),
        "str" | "string" => Value::String(text.into()),
        _ => return None,
    })
}

fn array(element: &str, text: &str) -> Option<Array> {
    Some(match element {
        "u8" => Array::U8(items(text)?),
        "i8" => Array::I8(items(text)?),
        "u16" => Array::U16(items(text)?),
        "i16" => Array::I16(items(text)?),
        "u32" => Array::U32(items(text)?),
        "i32" => Array::I32(items(text)?),
        "u64" => Array::U64(items(text)?),
        "i64" => Array::I64(items(text)?),
        "f32" => Array::F32(items(text)?),
        "f64" => Array::F64(items(text)?),
        "bool" => Array::Bool(items(text)?),
        "str" | "string" => Array::String(StringArray::from_iter(items::<String>(text)?)),
        _ => return None,
    })
}

fn items<T: DeserializeOwned>(text: &str) -> Option<Vec<T>> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_their_types() {
        assert_eq!(parse_value("i8", "-128").unwrap(), Value::I8(-128));
        assert_eq!(parse_value("f32", "1e-5").unwrap(), Value::F32(1e-5));
        assert_eq!(parse_value("str", "a:b").unwrap(), Value::from("a:b"));
        let floats = Value::Array(Array::F64(vec![1.0, -0.5]));
        assert_eq!(parse_value("[f64]", "[1, -0.5]").unwrap(), floats);
        for (type_name, text) in [
            ("u8", "256"),
            ("bool", "1"),
            ("[u8]", "[1, 300]"),
            ("[u8]", "1"),
            ("int", "1"),
            ("[[u8]]", "[[1]]"),
        ] {
            assert!(parse_value(type_name, text).is_err(), "{type_name}:{text}");
        }
    }
}

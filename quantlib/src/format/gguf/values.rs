//! Metadata values: the type numbers, reading and writing.

use super::cursor::Cursor;
use crate::error::{Error, Result};
use crate::model::{Array, StringArray, Value};

const ARRAY: u32 = 9;

/// Element count from which arrays are read piece by piece instead of at once.
const PIECE: u64 = 16 << 10;

/// Numbers of fixed width: how they are taken from the header's bytes.
trait Number: Sized {
    const BYTES: u64;

    fn read(cursor: &mut Cursor) -> Result<Self>;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const BYTES: u64 = size_of::<$type>() as u64;

            fn read(cursor: &mut Cursor) -> Result<Self> {
                cursor.number().map(<$type>::from_le_bytes)
            }
        }
    )*};
}
numbers!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl Number for bool {
    const BYTES: u64 = 1;

    fn read(cursor: &mut Cursor) -> Result<Self> {
        match cursor.number()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Error::malformed(format!(
                "a boolean must be 0 or 1, but is {other}"
            ))),
        }
    }
}

/// Reads one value with its type number before it.
pub(super) fn read_value(cursor: &mut Cursor) -> Result<Value> {
    Ok(match cursor.u32()? {
        0 => Value::U8(Number::read(cursor)?),
        1 => Value::I8(Number::read(cursor)?),
        2 => Value::U16(Number::read(cursor)?),
        3 => Value::I16(Number::read(cursor)?),
        4 => Value::U32(Number::read(cursor)?),
        5 => Value::I32(Number::read(cursor)?),
        6 => Value::F32(Number::read(cursor)?),
        7 => Value::Bool(Number::read(cursor)?),
        8 => Value::String(cursor.string()?.into()),
        ARRAY => Value::Array(read_array(cursor, cursor.limits().depth)?),
        10 => Value::U64(Number::read(cursor)?),
        11 => Value::I64(Number::read(cursor)?),
        12 => Value::F64(Number::read(cursor)?),
        unknown => return Err(unknown_type(unknown)),
    })
}

fn read_array(cursor: &mut Cursor, depth: u32) -> Result<Array> {
    let element = cursor.u32()?;
    let count = cursor.u64()?;
    Ok(match element {
        0 => Array::U8(read_numbers(cursor, count)?),
        1 => Array::I8(read_numbers(cursor, count)?),
        2 => Array::U16(read_numbers(cursor, count)?),
        3 => Array::I16(read_numbers(cursor, count)?),
        4 => Array::U32(read_numbers(cursor, count)?),
        5 => Array::I32(read_numbers(cursor, count)?),
        6 => Array::F32(read_numbers(cursor, count)?),
        7 => Array::Bool(read_numbers(cursor, count)?),
        8 => Array::String(read_strings(cursor, count)?),
        ARRAY => Array::Array(read_arrays(cursor, count, depth)?),
        10 => Array::U64(read_numbers(cursor, count)?),
        11 => Array::I64(read_numbers(cursor, count)?),
        12 => Array::F64(read_numbers(cursor, count)?),
        unknown => return Err(unknown_type(unknown)),
    })
}

fn read_numbers<T: Number>(cursor: &mut Cursor, count: u64) -> Result<Vec<T>> {
    cursor.expect_room(count, T::BYTES, "array elements")?;
    let mut numbers = Vec::with_capacity(count.min(PIECE) as usize);
    for _ in 0..count {
        numbers.push(T::read(cursor)?);
    }
    Ok(numbers)
}

fn read_strings(cursor: &mut Cursor, count: u64) -> Result<StringArray> {
    cursor.expect_room(count, 8, "strings")?;
    let mut strings = StringArray::with_capacity(count.min(PIECE) as usize, 0);
    for _ in 0..count {
        strings.push(cursor.string()?);
    }
    Ok(strings)
}

fn read_arrays(cursor: &mut Cursor, count: u64, depth: u32) -> Result<Vec<Array>> {
    cursor.expect_room(count, 12, "arrays")?;
    let deeper = depth.checked_sub(1).ok_or_else(|| {
        Error::limit(format!(
            "arrays are nested more than {} deep",
            cursor.limits().depth
        ))
    })?;
    let mut arrays = Vec::new();
    for _ in 0..count {
        arrays.push(read_array(cursor, deeper)?);
    }
    Ok(arrays)
}

fn unknown_type(number: u32) -> Error {
    Error::malformed(format!(
        "the value has type {number}, but types go from 0 to 12"
    ))
}

/// Appends a value with its type number before it, little-endian.
pub(super) fn write_value(head: &mut Vec<u8>, value: &Value) {
    fn put<const N: usize>(head: &mut Vec<u8>, kind: u32, number: [u8; N]) {
        head.extend(kind.to_le_bytes());
        head.extend(number);
    }
    match value {
        Value::U8(v) => put(head, 0, v.to_le_bytes()),
        Value::I8(v) => put(head, 1, v.to_le_bytes()),
        Value::U16(v) => put(head, 2, v.to_le_bytes()),
        Value::I16(v) => put(head, 3, v.to_le_bytes()),
        Value::U32(v) => put(head, 4, v.to_le_bytes()),
        Value::I32(v) => put(head, 5, v.to_le_bytes()),
        Value::F32(v) => put(head, 6, v.to_le_bytes()),
        Value::Bool(v) => put(head, 7, [u8::from(*v)]),
        Value::String(v) => {
            head.extend(8u32.to_le_bytes());
            write_string(head, v);
        }
        Value::Array(v) => {
            head.extend(ARRAY.to_le_bytes());
            write_array(head, v);
        }
        Value::U64(v) => put(head, 10, v.to_le_bytes()),
        Value::I64(v) => put(head, 11, v.to_le_bytes()),
        Value::F64(v) => put(head, 12, v.to_le_bytes()),
    }
}

/// Appends a string behind its length.
pub(super) fn write_string(head: &mut Vec<u8>, string: &[u8]) {
    head.extend((string.len() as u64).to_le_bytes());
    head.extend(string);
}

fn write_array(head: &mut Vec<u8>, array: &Array) {
    fn start(head: &mut Vec<u8>, element: u32, count: usize) {
        head.extend(element.to_le_bytes());
        head.extend((count as u64).to_le_bytes());
    }
    macro_rules! numbers {
        ($element:literal, $values:expr) => {{
            start(head, $element, $values.len());
            $values.iter().for_each(|v| head.extend(v.to_le_bytes()));
        }};
    }
    match array {
        Array::U8(v) => numbers!(0, v),
        Array::I8(v) => numbers!(1, v),
        Array::U16(v) => numbers!(2, v),
        Array::I16(v) => numbers!(3, v),
        Array::U32(v) => numbers!(4, v),
        Array::I32(v) => numbers!(5, v),
        Array::F32(v) => numbers!(6, v),
        Array::Bool(v) => {
            start(head, 7, v.len());
            head.extend(v.iter().map(|&v| u8::from(v)));
        }
        Array::String(v) => {
            start(head, 8, v.len());
            v.iter().for_each(|s| write_string(head, s));
        }
        Array::Array(v) => {
            start(head, ARRAY, v.len());
            v.iter().for_each(|a| write_array(head, a));
        }
        Array::U64(v) => numbers!(10, v),
        Array::I64(v) => numbers!(11, v),
        Array::F64(v) => numbers!(12, v),
    }
}

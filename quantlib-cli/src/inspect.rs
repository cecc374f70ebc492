//! `quantlib inspect`

use crate::args::Inspect;
use crate::output::{self, Table};
use crate::{report, size};
use quantlib::model::{Array, Metadata, Model, TensorInfo, Value};
use quantlib::{DType, Encoding, Error};
use serde::Serialize;
use serde_json::{Map, json};
use std::collections::BTreeSet;

/// Arrays up to this length, and strings up to ten times as many bytes, are shown whole.
const SHORT: usize = 16;

#[derive(Serialize)]
struct Document<'m> {
    schema: u32,
    path: String,
    format: &'static str,
    elements: u64,
    tensor_bytes: u64,
    bits_per_weight: f64,
    metadata: Map<String, serde_json::Value>,
    tensors: Vec<Tensor<'m>>,
}

#[derive(Serialize)]
struct Tensor<'m> {
    name: &'m str,
    dtype: DType,
    shape: &'m [usize],
    bytes: usize,
    /// How it is stored, where it is decoded as it is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
}

pub(crate) fn run(args: &Inspect) -> Result<(), Error> {
    let model = quantlib::open(&args.file)?;
    let document = Document::new(&model, args);
    if args.json {
        return output::json(&document);
    }
    output::text(&show(&document, model.metadata(), args))
}

impl<'m> Document<'m> {
    #[expect(clippy::cast_precision_loss, reason = "a quotient for people")]
    fn new(model: &'m Model, args: &Inspect) -> Self {
        let wanted = |name: &str| args.filter.as_ref().is_none_or(|filter| filter.is_in(name));
        let tensors = model.tensors().iter().enumerate();
        let tensors = tensors.filter(|(_, tensor)| wanted(&tensor.name));
        let tensors = tensors.map(|(index, info)| Tensor::new(info, model.encoding(index)));
        let tensors: Vec<_> = tensors.collect();
        let elements = tensors.iter().map(|t| t.elements() as u64).sum();
        let tensor_bytes = tensors.iter().map(|t| t.bytes as u64).sum();
        let metadata = model.metadata().iter();
        let metadata = metadata.map(|(key, value)| (key.clone(), to_json(value, args.all)));
        Self {
            schema: output::SCHEMA,
            path: model.path().display().to_string(),
            format: model.format(),
            elements,
            tensor_bytes,
            bits_per_weight: 8.0 * tensor_bytes as f64 / (elements as f64).max(1.0),
            metadata: metadata.collect(),
            tensors,
        }
    }

    fn types(&self) -> String {
        let mut table = Table::new(&["type", ">tensors", ">weights", ">size"]);
        for &dtype in DType::ALL {
            let of_type = || self.plain().filter(|tensor| tensor.dtype == dtype);
            if of_type().next().is_some() {
                let weights: usize = of_type().map(|t| t.shape.iter().product::<usize>()).sum();
                let bytes: usize = of_type().map(|t| t.bytes).sum();
                table.row([
                    dtype.to_string(),
                    of_type().count().to_string(),
                    weights.to_string(),
                    size::show(bytes as u64),
                ]);
            }
        }
        let encodings: BTreeSet<_> = self
            .tensors
            .iter()
            .filter_map(|t| t.encoding.as_ref())
            .collect();
        for encoding in encodings {
            let alike = || {
                self.tensors
                    .iter()
                    .filter(|t| t.encoding.as_ref() == Some(encoding))
            };
            table.row([
                encoding.clone(),
                alike().count().to_string(),
                alike().map(Tensor::elements).sum::<usize>().to_string(),
                size::show(alike().map(|t| t.bytes as u64).sum()),
            ]);
        }
        table.render("  ")
    }

    /// Tensors that are stored as they are read.
    fn plain(&self) -> impl Iterator<Item = &Tensor<'m>> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.encoding.is_none())
    }

    fn tensors(&self) -> String {
        let mut table = Table::new(&["tensor", "type", "shape", ">bytes"]);
        for tensor in &self.tensors {
            table.row([
                tensor.name.to_owned(),
                tensor.type_name(),
                report::shape(tensor.shape),
                tensor.bytes.to_string(),
            ]);
        }
        table.render("  ")
    }
}

impl<'m> Tensor<'m> {
    fn new(info: &'m TensorInfo, encoding: Option<&Encoding>) -> Self {
        let planes = encoding.and_then(|encoding| encoding.planes(&info.shape).ok());
        let stored = planes.map(|planes| planes.iter().map(|plane| plane.bytes).sum());
        Self {
            name: &info.name,
            dtype: info.dtype,
            shape: &info.shape,
            bytes: stored.unwrap_or_else(|| info.nbytes()),
            encoding: encoding.map(Encoding::to_string),
        }
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn type_name(&self) -> String {
        let encoding = self.encoding.clone();
        encoding.unwrap_or_else(|| self.dtype.to_string())
    }
}

fn show(document: &Document<'_>, metadata: &Metadata, args: &Inspect) -> String {
    let mut text = format!(
        "{}: {}, {} tensors, {} weights, {} ({:.2} bits per weight)\n",
        document.path,
        document.format,
        document.tensors.len(),
        document.elements,
        size::show(document.tensor_bytes),
        document.bits_per_weight,
    );
    if !metadata.is_empty() {
        let mut table = Table::new(&["key", "type", "value"]);
        for (key, value) in metadata {
            table.row([key.clone(), type_name(value), to_text(value, args.all)]);
        }
        text += &format!("\n{}", table.render("  "));
    }
    text += &format!("\n{}", document.types());
    if args.tensors || args.all || args.filter.is_some() {
        text += &format!("\n{}", document.tensors());
    }
    text
}

/// The type as GGUF's documentation writes it: `u32`, `[string; 4096]`.
fn type_name(value: &Value) -> String {
    match value {
        Value::Array(array) => format!("[{}; {}]", element_type(array), array.len()),
        other => scalar_type(other).to_owned(),
    }
}

fn scalar_type(value: &Value) -> &'static str {
    match value {
        Value::U8(_) => "u8",
        Value::I8(_) => "i8",
        Value::U16(_) => "u16",
        Value::I16(_) => "i16",
        Value::U32(_) => "u32",
        Value::I32(_) => "i32",
        Value::F32(_) => "f32",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::U64(_) => "u64",
        Value::I64(_) => "i64",
        Value::F64(_) => "f64",
    }
}

/// What is done with arrays of every element type.
macro_rules! for_array {
    ($array:expr, $items:ident => $do:expr) => {
        match $array {
            Array::U8($items) => $do,
            Array::I8($items) => $do,
            Array::U16($items) => $do,
            Array::I16($items) => $do,
            Array::U32($items) => $do,
            Array::I32($items) => $do,
            Array::F32($items) => $do,
            Array::Bool($items) => $do,
            Array::U64($items) => $do,
            Array::I64($items) => $do,
            Array::F64($items) => $do,
            Array::String(_) | Array::Array(_) => Vec::new(),
        }
    };
}

fn element_type(array: &Array) -> &'static str {
    match array {
        Array::U8(_) => "u8",
        Array::I8(_) => "i8",
        Array::U16(_) => "u16",
        Array::I16(_) => "i16",
        Array::U32(_) => "u32",
        Array::I32(_) => "i32",
        Array::F32(_) => "f32",
        Array::Bool(_) => "bool",
        Array::String(_) => "string",
        Array::Array(_) => "array",
        Array::U64(_) => "u64",
        Array::I64(_) => "i64",
        Array::F64(_) => "f64",
    }
}

fn to_json(value: &Value, all: bool) -> serde_json::Value {
    match value {
        Value::Array(array) => {
            let mut object = json!({
                "type": "array",
                "of": element_type(array),
                "len": array.len(),
            });
            if all || array.len() <= SHORT {
                object["value"] = elements(array, usize::MAX).into();
            }
            object
        }
        scalar => json!({ "type": scalar_type(scalar), "value": scalar_json(scalar) }),
    }
}

fn scalar_json(value: &Value) -> serde_json::Value {
    match value {
        Value::U8(v) => json!(v),
        Value::I8(v) => json!(v),
        Value::U16(v) => json!(v),
        Value::I16(v) => json!(v),
        Value::U32(v) => json!(v),
        Value::I32(v) => json!(v),
        Value::F32(v) => json!(v),
        Value::Bool(v) => json!(v),
        Value::String(v) => json!(v.to_string()),
        Value::Array(v) => elements(v, usize::MAX).into(),
        Value::U64(v) => json!(v),
        Value::I64(v) => json!(v),
        Value::F64(v) => json!(v),
    }
}

/// The first `most` elements of an array.
fn elements(array: &Array, most: usize) -> Vec<serde_json::Value> {
    match array {
        Array::String(strings) => {
            let strings = strings.iter().take(most);
            strings.map(|s| json!(s.to_string())).collect()
        }
        Array::Array(arrays) => {
            let arrays = arrays.iter().take(most);
            arrays.map(|a| elements(a, most).into()).collect()
        }
        numbers => {
            for_array!(numbers, items => items.iter().take(most).map(|v| json!(v)).collect())
        }
    }
}

fn to_text(value: &Value, all: bool) -> String {
    let whole = match value {
        Value::String(string) => string.to_string().escape_debug().to_string(),
        Value::Array(array) if array.len() > SHORT && !all => {
            let first = serde_json::Value::from(elements(array, 3)).to_string();
            return cut(format!("{}, ...]", first.trim_end_matches(']')), all);
        }
        // The shortest text that means this number, where JSON has the digits of its f64.
        Value::F32(number) => number.to_string(),
        other => scalar_json(other).to_string(),
    };
    cut(whole, all)
}

fn cut(text: String, all: bool) -> String {
    match text.char_indices().nth(10 * SHORT) {
        Some((end, _)) if !all => format!("{}...", &text[..end]),
        _ => text,
    }
}

//! Safetensors, the format of Hugging Face's weights: one file, or shards with an index.

mod head;
mod header;
mod index;
mod reader;
mod unique;
mod writer;

pub use head::layout;
pub use reader::Reader;
pub use writer::Writer;

use crate::dtype::DType;

/// The name of the format in [`Model::format`](crate::model::Model::format).
const FORMAT: &str = "safetensors";

/// The key of the header's strings among the tensors.
const METADATA_KEY: &str = "__metadata__";

/// Bytes of the header's length, which begins the file; the header is padded to a multiple of it.
const LENGTH_BYTES: u64 = 8;

/// Longest header that the safetensors library reads.
const MAX_HEADER: u64 = 100_000_000;

/// The element types, in the order in which the safetensors library ranks them: files are sorted
/// by descending rank.
const TYPES: &[(&str, DType)] = &[
    ("BOOL", DType::Bool),
    ("U8", DType::U8),
    ("I8", DType::I8),
    ("F8_E5M2", DType::F8E5M2),
    ("F8_E4M3", DType::F8E4M3),
    ("F8_E8M0", DType::F8E8M0),
    ("I16", DType::I16),
    ("U16", DType::U16),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("I32", DType::I32),
    ("U32", DType::U32),
    ("F32", DType::F32),
    ("F64", DType::F64),
    ("I64", DType::I64),
    ("U64", DType::U64),
];

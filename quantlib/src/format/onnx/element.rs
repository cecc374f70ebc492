//! The element types of tensors.

use crate::dtype::DType;

/// The numbers of element types in `TensorProto.DataType` that new tensors are made of.
pub mod data_type {
    #![expect(missing_docs, reason = "the names say it")]
    pub const FLOAT: i64 = 1;
    pub const UINT8: i64 = 2;
    pub const INT8: i64 = 3;
    pub const UINT16: i64 = 4;
    pub const INT16: i64 = 5;
    pub const INT32: i64 = 6;
    pub const INT64: i64 = 7;
    pub const BOOL: i64 = 9;
    pub const FLOAT16: i64 = 10;
    pub const UINT4: i64 = 21;
    pub const INT4: i64 = 22;
}

/// An element type as `TensorProto.DataType` numbers it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    number: i64,
    /// A short name, as [`DType`] has them.
    pub(super) name: &'static str,
    /// Bits of an element; those of less than eight follow each other without gaps. 0 for strings.
    pub(super) bits: usize,
    /// The type, if it is one that tensors of a model can have.
    pub(super) dtype: Option<DType>,
}

const fn plain(number: i64, dtype: DType) -> Element {
    Element {
        number,
        name: dtype.name(),
        bits: 8 * dtype.block_bytes(),
        dtype: Some(dtype),
    }
}

const fn other(number: i64, name: &'static str, bits: usize) -> Element {
    Element {
        number,
        name,
        bits,
        dtype: None,
    }
}

const ELEMENTS: &[Element] = &[
    plain(1, DType::F32),
    plain(2, DType::U8),
    plain(3, DType::I8),
    plain(4, DType::U16),
    plain(5, DType::I16),
    plain(6, DType::I32),
    plain(7, DType::I64),
    other(8, "string", 0),
    plain(9, DType::Bool),
    plain(10, DType::F16),
    plain(11, DType::F64),
    plain(12, DType::U32),
    plain(13, DType::U64),
    other(14, "complex64", 64),
    other(15, "complex128", 128),
    plain(16, DType::BF16),
    plain(17, DType::F8E4M3),
    other(18, "f8_e4m3fnuz", 8),
    plain(19, DType::F8E5M2),
    other(20, "f8_e5m2fnuz", 8),
    other(21, "u4", 4),
    other(22, "i4", 4),
    other(23, "f4_e2m1", 4),
    plain(24, DType::F8E8M0),
    other(25, "u2", 2),
    other(26, "i2", 2),
    other(27, "f6_e2m3", 6),
    other(28, "f6_e3m2", 6),
];

impl Element {
    /// The type with this number.
    pub(super) fn of(number: i64) -> Option<&'static Self> {
        ELEMENTS.iter().find(|element| element.number == number)
    }

    /// Bytes of a tensor; `None` for strings, and if there are too many.
    pub(super) fn bytes(&self, elements: usize) -> Option<u64> {
        let bits = (elements as u64).checked_mul(self.bits as u64)?;
        (self.bits > 0).then(|| bits.div_ceil(8))
    }
}

//! The one table of tensor types: ggml's block types and the plain element types of every container.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Builds the enum and its table from one list:
/// `Variant = id, "name", elements per block, bytes per block, nominal bits;`
macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $len:literal, $bytes:literal, $bits:literal;)*) => {
        /// How the elements of a tensor are stored.
        ///
        /// Ids below 1000 are ggml's own, so they are also the numbers in GGUF files and in the C API.
        /// Ids from 1000 are element types that ggml lacks and that other containers use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum DType { $($(#[$doc])* $variant = $id,)* }

        impl DType {
            /// Every type, in the order of the ids.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            const fn info(self) -> Info {
                match self {
                    $(DType::$variant => Info { name: $name, block_len: $len, block_bytes: $bytes, bits: $bits },)*
                }
            }

            /// The type with this id: ggml's for ids below 1000.
            pub const fn from_id(id: u32) -> Option<DType> {
                match id {
                    $($id => Some(DType::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

struct Info {
    name: &'static str,
    block_len: usize,
    block_bytes: usize,
    bits: u32,
}

types! {
    /// IEEE single precision.
    F32 = 0, "f32", 1, 4, 32;
    /// IEEE half precision.
    F16 = 1, "f16", 1, 2, 16;
    /// 4 bits, one scale for 32 elements.
    Q4_0 = 2, "q4_0", 32, 18, 4;
    /// 4 bits, one scale and minimum for 32 elements.
    Q4_1 = 3, "q4_1", 32, 20, 4;
    /// 5 bits, one scale for 32 elements.
    Q5_0 = 6, "q5_0", 32, 22, 5;
    /// 5 bits, one scale and minimum for 32 elements.
    Q5_1 = 7, "q5_1", 32, 24, 5;
    /// 8 bits, one scale for 32 elements.
    Q8_0 = 8, "q8_0", 32, 34, 8;
    /// 8 bits, one scale and the sum of the codes for 32 elements: ggml's activations.
    Q8_1 = 9, "q8_1", 32, 36, 8;
    /// 2-bit K-quant: 16 groups of 16 with 4-bit scales and minima.
    Q2K = 10, "q2_k", 256, 84, 2;
    /// 3-bit K-quant: 16 groups of 16 with 6-bit scales.
    Q3K = 11, "q3_k", 256, 110, 3;
    /// 4-bit K-quant: 8 groups of 32 with 6-bit scales and minima.
    Q4K = 12, "q4_k", 256, 144, 4;
    /// 5-bit K-quant: 8 groups of 32 with 6-bit scales and minima.
    Q5K = 13, "q5_k", 256, 176, 5;
    /// 6-bit K-quant: 16 groups of 16 with 8-bit scales.
    Q6K = 14, "q6_k", 256, 210, 6;
    /// 8-bit K-quant: ggml's activations for the K-quants.
    Q8K = 15, "q8_k", 256, 292, 8;
    /// 2.06 bits: codebook of 256 vectors of 8, 7-bit signs.
    Iq2Xxs = 16, "iq2_xxs", 256, 66, 2;
    /// 2.31 bits: codebook of 512 vectors of 8.
    Iq2Xs = 17, "iq2_xs", 256, 74, 2;
    /// 3.06 bits: codebook of 256 vectors of 4.
    Iq3Xxs = 18, "iq3_xxs", 256, 98, 3;
    /// 1.56 bits: codebook of 2048 ternary vectors of 8.
    Iq1S = 19, "iq1_s", 256, 50, 1;
    /// 4 bits into a non-linear table of 16 values, one scale for 32 elements.
    Iq4Nl = 20, "iq4_nl", 32, 18, 4;
    /// 3.44 bits: codebook of 512 vectors of 4.
    Iq3S = 21, "iq3_s", 256, 110, 3;
    /// 2.56 bits: codebook of 1024 vectors of 8.
    Iq2S = 22, "iq2_s", 256, 82, 2;
    /// 4.25 bits: the table of `Iq4Nl` with 6-bit scales for 32 elements.
    Iq4Xs = 23, "iq4_xs", 256, 136, 4;
    /// Signed 8-bit integers.
    I8 = 24, "i8", 1, 1, 8;
    /// Signed 16-bit integers.
    I16 = 25, "i16", 1, 2, 16;
    /// Signed 32-bit integers.
    I32 = 26, "i32", 1, 4, 32;
    /// Signed 64-bit integers.
    I64 = 27, "i64", 1, 8, 64;
    /// IEEE double precision.
    F64 = 28, "f64", 1, 8, 64;
    /// 1.75 bits: the codebook of `Iq1S` with finer scales.
    Iq1M = 29, "iq1_m", 256, 56, 1;
    /// The upper half of IEEE single precision.
    BF16 = 30, "bf16", 1, 2, 16;
    /// 1.69 bits, ternary: five digits a byte.
    Tq1_0 = 34, "tq1_0", 256, 54, 1;
    /// 2.06 bits, ternary: four digits a byte.
    Tq2_0 = 35, "tq2_0", 256, 66, 2;
    /// OCP microscaling FP4 (E2M1), one E8M0 scale for 32 elements.
    Mxfp4 = 39, "mxfp4", 32, 17, 4;
    /// NVIDIA FP4 (E2M1), one E4M3 scale for 16 elements.
    Nvfp4 = 40, "nvfp4", 64, 36, 4;
    /// 1 bit, one scale for 128 elements.
    Q1_0 = 41, "q1_0", 128, 18, 1;
    /// 2 bits, one scale for 64 elements.
    Q2_0 = 42, "q2_0", 64, 18, 2;
    /// Booleans, one byte each.
    Bool = 1000, "bool", 1, 1, 8;
    /// Unsigned 8-bit integers.
    U8 = 1001, "u8", 1, 1, 8;
    /// Unsigned 16-bit integers.
    U16 = 1002, "u16", 1, 2, 16;
    /// Unsigned 32-bit integers.
    U32 = 1003, "u32", 1, 4, 32;
    /// Unsigned 64-bit integers.
    U64 = 1004, "u64", 1, 8, 64;
    /// 8-bit float, 4 exponent bits, no infinities (`float8_e4m3fn`).
    F8E4M3 = 1005, "f8_e4m3", 1, 1, 8;
    /// 8-bit float, 5 exponent bits (`float8_e5m2`).
    F8E5M2 = 1006, "f8_e5m2", 1, 1, 8;
    /// 8-bit power of two, the scale of the OCP microscaling formats (`float8_e8m0fnu`).
    F8E8M0 = 1007, "f8_e8m0", 1, 1, 8;
}

/// How much precision a type keeps, by its nominal bits per weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 1 and 2 bits.
    UltraLow,
    /// 3 and 4 bits.
    Low,
    /// 5 to 8 bits.
    Medium,
    /// More than 8 bits.
    Full,
}

impl Precision {
    /// The class's name, as `quantlib types` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UltraLow => "ultra-low",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::Full => "full",
        }
    }
}

impl DType {
    /// ggml's number for the type, as GGUF files store it; `None` if ggml has no such type.
    pub const fn ggml_id(self) -> Option<u32> {
        if (self as u32) < 1000 {
            Some(self as u32)
        } else {
            None
        }
    }

    /// The number of the type in the C API.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The type's name in lower case: `"q4_k"`, `"f16"`.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Elements in one block; 1 for plain element types.
    pub const fn block_len(self) -> usize {
        self.info().block_len
    }

    /// Bytes in one block.
    pub const fn block_bytes(self) -> usize {
        self.info().block_bytes
    }

    /// Bits that one element takes on average, scales included.
    ///
    /// ```
    /// # use quantlib_codecs as quantlib;
    /// assert_eq!(quantlib::DType::Q4K.bits_per_weight(), 4.5);
    /// ```
    pub fn bits_per_weight(self) -> f64 {
        8.0 * self.block_bytes() as f64 / self.block_len() as f64
    }

    /// The precision class.
    pub const fn precision(self) -> Precision {
        match self.info().bits {
            0..=2 => Precision::UltraLow,
            3..=4 => Precision::Low,
            5..=8 => Precision::Medium,
            _ => Precision::Full,
        }
    }

    /// Whether elements share scales in blocks, so that a row must be a whole number of blocks.
    pub const fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Whether this is one of the plain floats that every encoder reads: f32, f16, bf16.
    pub const fn is_plain_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Bytes of a row of `cols` elements.
    ///
    /// Fails with `misuse` if `cols` is no multiple of the block length, with `limit` on overflow.
    pub fn row_bytes(self, cols: usize) -> Result<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return Err(Error::misuse(format!(
                "{self} needs rows of a multiple of {} elements, but a row has {cols}; choose another type for this tensor",
                self.block_len()
            )));
        }
        (cols / self.block_len())
            .checked_mul(self.block_bytes())
            .ok_or_else(|| Error::limit(format!("a row of {cols} elements is too long")))
    }

    /// Bytes of a row-major tensor of this shape; see [`row_bytes`](Self::row_bytes) for the errors.
    pub fn tensor_bytes(self, shape: &[usize]) -> Result<usize> {
        let (rows, cols) = rows_and_cols(shape)?;
        rows.checked_mul(self.row_bytes(cols)?)
            .ok_or_else(|| Error::limit(format!("a tensor of shape {shape:?} is too large")))
    }
}

/// Splits a row-major shape into (number of rows, elements of a row); a scalar is one row of one.
pub fn rows_and_cols(shape: &[usize]) -> Result<(usize, usize)> {
    let Some((&cols, outer)) = shape.split_last() else {
        return Ok((1, 1));
    };
    let rows = outer
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim));
    rows.map(|rows| (rows, cols))
        .ok_or_else(|| Error::limit(format!("a tensor of shape {shape:?} is too large")))
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Parses a tensor type's name in either case; `misuse` with the known names otherwise.
impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        DType::ALL
            .iter()
            .copied()
            .find(|t| t.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let known: Vec<_> = DType::ALL.iter().map(|t| t.name()).collect();
                Error::misuse(format!(
                    "unknown tensor type '{name}'; the types are {}",
                    known.join(", ")
                ))
            })
    }
}

impl serde::Serialize for DType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for DType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_round_trip() {
        for &dtype in DType::ALL {
            assert_eq!(DType::from_id(dtype.id()), Some(dtype));
            assert_eq!(dtype.name().to_uppercase().parse::<DType>().unwrap(), dtype);
        }
        assert_eq!(DType::from_id(4), None);
        assert_eq!(DType::from_id(43), None);
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(DType::Q4K.tensor_bytes(&[2, 3, 512]).unwrap(), 6 * 2 * 144);
        assert_eq!(DType::F32.tensor_bytes(&[]).unwrap(), 4);
        assert!(DType::Q4K.row_bytes(100).is_err());
        assert!(DType::F32.tensor_bytes(&[usize::MAX, 2]).is_err());
        assert!(DType::F64.row_bytes(usize::MAX / 4).is_err());
    }
}

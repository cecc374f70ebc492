//! Which type the converted weights get.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::TensorInfo;
use std::str::FromStr;

/// The type of the matrices in a converted file; vectors and norms stay f32 whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    BF16,
    /// 8-bit blocks; matrices whose rows are no whole number of blocks become f16.
    Q8_0,
    /// Ternary blocks of 1.69 bits, for models trained so; embeddings become f16.
    Tq1_0,
    /// Ternary blocks of 2.06 bits, for models trained so; embeddings become f16.
    Tq2_0,
    /// bf16 or f16, whichever is the type of the first matrix stored in 16 bits; else f16.
    #[default]
    Auto,
    /// What keeps every bit: f16 or bf16 if all matrices are stored so, else f32.
    Lossless,
}

const NAMES: [(&str, OutType); 8] = [
    ("f32", OutType::F32),
    ("f16", OutType::F16),
    ("bf16", OutType::BF16),
    ("q8_0", OutType::Q8_0),
    ("tq1_0", OutType::Tq1_0),
    ("tq2_0", OutType::Tq2_0),
    ("auto", OutType::Auto),
    ("lossless", OutType::Lossless),
];

impl OutType {
    /// The name in lower case: `"bf16"`.
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(_, outtype)| *outtype == self);
        named.map_or("", |(name, _)| name)
    }

    /// The float type that is meant; none for [`Auto`](Self::Auto) and [`Lossless`](Self::Lossless),
    /// which leave it to the model.
    ///
    /// # Errors
    /// `misuse` for types that are no plain floats.
    pub fn plain(self) -> Result<Option<DType>> {
        match self {
            Self::Auto | Self::Lossless => Ok(None),
            Self::F32 => Ok(Some(DType::F32)),
            Self::F16 => Ok(Some(DType::F16)),
            Self::BF16 => Ok(Some(DType::BF16)),
            Self::Q8_0 | Self::Tq1_0 | Self::Tq2_0 => Err(Error::misuse(format!(
                "{} is a type of GGUF files; choose f32, f16, bf16 or auto",
                self.name()
            ))),
        }
    }
}

/// Parses a name in either case; `misuse` with the known names otherwise.
impl FromStr for OutType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, outtype)| *outtype).ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            Error::misuse(format!(
                "unknown output type '{name}'; choose one of {}",
                known.join(", ")
            ))
        })
    }
}

/// An [`OutType`] that has been decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileType {
    /// The type of the matrices.
    pub(super) dtype: DType,
    /// `general.file_type`, llama.cpp's number.
    pub(super) number: u32,
}

impl OutType {
    /// Decides for a model whose tensors are `sources`, in the converter's order.
    pub(super) fn decide(self, sources: &[&TensorInfo]) -> FileType {
        let (dtype, number) = match self {
            Self::F32 => (DType::F32, 0),
            Self::F16 => (DType::F16, 1),
            Self::BF16 => (DType::BF16, 32),
            Self::Q8_0 => (DType::Q8_0, 7),
            Self::Tq1_0 => (DType::Tq1_0, 36),
            Self::Tq2_0 => (DType::Tq2_0, 37),
            Self::Auto => {
                let half = |dtype| matches!(dtype, DType::F16 | DType::BF16);
                let first = matrix_types(sources).find(|dtype| half(*dtype));
                return plain(first.unwrap_or(DType::F16)).decide(sources);
            }
            Self::Lossless => {
                // Integers are codes of something quantized, which no type of matrices changes.
                let mut types = matrix_types(sources).filter(|dtype| *dtype != DType::U8);
                let first = types.next().unwrap_or(DType::F32);
                let all = types.all(|dtype| dtype == first);
                return plain(if all { first } else { DType::F32 }).decide(sources);
            }
        };
        FileType { dtype, number }
    }
}

impl FileType {
    /// The number for a model whose experts stay in MX's 4-bit floats.
    pub(super) fn with_microscaled(self) -> Self {
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => Self { number: 38, ..self },
            _ => self,
        }
    }
}

fn matrix_types(sources: &[&TensorInfo]) -> impl Iterator<Item = DType> {
    let matrices = sources.iter().filter(|tensor| tensor.shape.len() >= 2);
    matrices.map(|tensor| tensor.dtype)
}

fn plain(dtype: DType) -> OutType {
    match dtype {
        DType::F16 => OutType::F16,
        DType::BF16 => OutType::BF16,
        _ => OutType::F32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(outtype: OutType, types: &[(DType, &[usize])]) -> DType {
        let tensors: Vec<_> = types
            .iter()
            .map(|(dtype, shape)| TensorInfo {
                name: String::new(),
                dtype: *dtype,
                shape: shape.to_vec(),
            })
            .collect();
        outtype.decide(&tensors.iter().collect::<Vec<_>>()).dtype
    }

    #[test]
    fn auto_takes_the_first_matrix_of_16_bits() {
        let auto = |types: &[_]| decided(OutType::Auto, types);
        let (vector, matrix) = (&[8][..], &[8, 8][..]);
        assert_eq!(
            auto(&[
                (DType::F16, vector),
                (DType::F32, matrix),
                (DType::BF16, matrix)
            ]),
            DType::BF16
        );
        assert_eq!(auto(&[(DType::F32, matrix)]), DType::F16);
    }

    #[test]
    fn lossless_never_narrows() {
        let lossless = |types: &[_]| decided(OutType::Lossless, types);
        let (vector, matrix) = (&[8][..], &[8, 8][..]);
        assert_eq!(
            lossless(&[(DType::F32, vector), (DType::F16, matrix)]),
            DType::F16
        );
        assert_eq!(
            lossless(&[(DType::BF16, matrix), (DType::F16, matrix)]),
            DType::F32
        );
        assert_eq!(lossless(&[]), DType::F32);
    }

    #[test]
    fn names_are_listed_when_unknown() {
        assert_eq!("BF16".parse::<OutType>().unwrap(), OutType::BF16);
        let error = "q4_k".parse::<OutType>().unwrap_err().to_string();
        assert!(error.contains("q8_0") && error.contains("auto"), "{error}");
    }
}

//! The second level of nvfp4's scales: one for a whole matrix.

use crate::affine::{AffineLayout, AffineSpec};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::numeric::f8;
use std::ops::Range;

/// What a matrix's scale is divided by: the largest product of a code and a group's scale, 6 · 448.
const LARGEST: f32 = 2688.0;

/// What the scales of a layer's groups are multiplied with, one number for each expert, or one for all.
#[derive(Debug)]
pub(super) struct Global {
    factors: Vec<f32>,
    /// Groups that share a factor.
    groups: usize,
}

impl Global {
    /// Reads the tensor at `index`, which lies beside the planes of a layer.
    ///
    /// # Errors
    /// `malformed` if it is not one f32 for the matrix, or one for each matrix of a stack; those of
    /// reading.
    pub(super) fn read(stored: &Model, index: usize, layout: &AffineLayout) -> Result<Self> {
        let info = &stored.tensors()[index];
        let count = info.elements();
        let stacked = match &layout.scales().shape[..] {
            [experts, _, _] => *experts,
            _ => 1,
        };
        if info.dtype != DType::F32 || !(count == 1 || count == stacked) {
            return Err(Error::malformed(format!(
                "its global_scale is {} {:?}, but would be one f32, or one for each of {stacked} matrices",
                info.dtype, info.shape
            )));
        }
        let mut bytes = vec![0; info.nbytes()];
        stored.read_at(index, 0, &mut bytes)?;
        let scales = bytes.as_chunks::<4>().0.iter();
        Ok(Self {
            factors: scales.map(|x| f32::from_le_bytes(*x) / LARGEST).collect(),
            groups: (layout.groups() / count).max(1),
        })
    }

    /// The scales of these groups in single precision, and how planes with such scales are decoded.
    pub(super) fn apply(
        &self,
        spec: &AffineSpec,
        groups: Range<usize>,
        scales: &[u8],
    ) -> (Vec<u8>, AffineSpec) {
        let scale = |(group, code): (usize, &u8)| {
            let factor = self.factors.get(group / self.groups).copied();
            f8::e4m3(*code) * factor.unwrap_or(0.0)
        };
        let scales = groups.zip(scales).map(scale).flat_map(f32::to_le_bytes);
        let spec = AffineSpec {
            scale: DType::F32,
            ..spec.clone()
        };
        (scales.collect(), spec)
    }
}

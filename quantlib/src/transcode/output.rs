//! The tensor that is made, tile by tile.

use super::Encoded;
use super::side::{Side, Source, transpose, units};
use crate::affine::{AffineLayout, AffineSpec, Element, Group, Packing};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parts::{self, Parts};
use crate::planar::AffineTensor;
use crate::simd::Isa;
use crate::tensor::{Encoding, QuantizedTensor};
use std::ops::Range;

/// Room for the rows of a source in another encoding.
pub(super) struct Output {
    pub(super) side: Side,
    isa: Isa,
    shape: Vec<usize>,
    planes: Planes,
}

enum Planes {
    Block(DType, Vec<u8>),
    Affine(Box<AffineLayout>, [Vec<u8>; 3]),
}

impl Output {
    pub(super) fn new(to: &Encoding, source: &Source<'_>, isa: Isa) -> Result<Self> {
        let mut shape = source.shape().to_vec();
        if source.side().transposed {
            shape.reverse();
        }
        match to {
            Encoding::Block(dtype) => Self::block(*dtype, shape, isa),
            Encoding::Affine(spec) => Self::affine(spec, shape, isa),
            _ => Err(Error::unsupported("nothing is known of this encoding")),
        }
    }

    fn block(dtype: DType, shape: Vec<usize>, isa: Isa) -> Result<Self> {
        let side = Side::block(dtype, &shape)?;
        if !parts::is_writable(dtype) {
            return Err(Error::unsupported(format!(
                "{dtype} cannot be made of given codes and scales: its scales are products, or its codes indices of a table; quantize to it instead, which loses something"
            )));
        }
        let bytes = dtype.tensor_bytes(&shape)?;
        Ok(Self {
            side,
            isa,
            shape,
            planes: Planes::Block(dtype, vec![0; bytes]),
        })
    }

    fn affine(spec: &AffineSpec, mut shape: Vec<usize>, isa: Isa) -> Result<Self> {
        check_client(spec)?;
        if spec.global_scale.is_some() {
            return Err(Error::unsupported(
                "scales cannot be made relative to a global one; leave it out, or quantize to it instead",
            ));
        }
        let first_of_two = shape.len() == 2 && matches!(spec.axis, 0 | -2);
        if first_of_two {
            shape.reverse();
        }
        let layout = AffineLayout::new(spec, &shape)?;
        let side = Side::affine(&layout, &shape)?;
        let zeros = layout.zeros().map_or(0, |plane| plane.bytes);
        let lengths = [layout.codes().bytes, layout.scales().bytes, zeros];
        Ok(Self {
            side,
            isa,
            shape,
            planes: Planes::Affine(Box::new(layout), lengths.map(|len| vec![0; len])),
        })
    }

    /// The tensor in tiles of so many rows, with the rows of each.
    pub(super) fn tiles(&mut self, step: usize) -> Vec<(Range<usize>, Tile<'_>)> {
        let Self {
            side, isa, planes, ..
        } = self;
        let side = &*side;
        let ranges = (0..side.rows)
            .step_by(step)
            .map(|first| first..(first + step).min(side.rows));
        match planes {
            Planes::Block(dtype, data) => {
                let row = data.len() / side.rows.max(1);
                let blocks = data.chunks_mut((row * step).max(1));
                let tile = |(rows, blocks)| (rows, Tile::Block(*dtype, blocks));
                ranges.zip(blocks).map(tile).collect()
            }
            Planes::Affine(layout, [codes, scales, zeros]) => {
                let mut rest = [&mut codes[..], &mut scales[..], &mut zeros[..]];
                let layout = &**layout;
                let tile = |rows: Range<usize>| {
                    let units = units(layout, side, rows.clone());
                    let place = layout.at(&units);
                    let lengths = [place.codes.len(), place.scales.len(), place.zeros.len()];
                    let mut planes: [&mut [u8]; 3] = Default::default();
                    for ((plane, rest), len) in planes.iter_mut().zip(&mut rest).zip(lengths) {
                        *plane = rest.split_off_mut(..len).unwrap_or_default();
                    }
                    let tile = AffineTile {
                        layout,
                        side,
                        isa: *isa,
                        units,
                        planes,
                    };
                    (rows, Tile::Affine(tile))
                };
                ranges.map(tile).collect()
            }
        }
    }

    /// The tensor, of which every tile was written.
    pub(super) fn finish(self) -> Result<Encoded> {
        match self.planes {
            Planes::Block(dtype, data) => {
                QuantizedTensor::new(dtype, self.shape, data).map(Encoded::Block)
            }
            Planes::Affine(layout, [codes, scales, zeros]) => {
                AffineTensor::new(layout.spec(), self.shape, codes, scales, zeros)
                    .map(|tensor| Encoded::Affine(Box::new(tensor)))
            }
        }
    }
}

/// Refuses specs that can be encoded, but that no client of theirs reads.
pub(super) fn check_client(spec: &AffineSpec) -> Result<()> {
    let integers = matches!(spec.element, Element::Unsigned | Element::Signed);
    match (spec.packing, spec.group) {
        (Packing::Mlx, Group::Blocks(n)) if integers && !matches!(n, 32 | 64 | 128) => {
            Err(Error::unsupported(format!(
                "MLX reads integers in groups of 32, 64 or 128, not {n}; ask for one of these, which divides the groups there are, or for 'matmulnbits' or 'qdq'"
            )))
        }
        _ => Ok(()),
    }
}

/// A part of the output.
pub(super) enum Tile<'a> {
    Block(DType, &'a mut [u8]),
    Affine(AffineTile<'a>),
}

pub(super) struct AffineTile<'a> {
    layout: &'a AffineLayout,
    side: &'a Side,
    isa: Isa,
    units: Range<usize>,
    planes: [&'a mut [u8]; 3],
}

impl Tile<'_> {
    /// Writes the parts of the tile's rows.
    pub(super) fn put_together(self, mut parts: Parts) {
        match self {
            Self::Block(dtype, blocks) => parts::put_block_together(dtype, &parts, blocks),
            Self::Affine(tile) => {
                let side = tile.side;
                if side.transposed {
                    parts.codes = transpose(&parts.codes, side.rows, side.cols);
                    parts.scales = transpose(&parts.scales, side.rows, side.groups());
                    parts.zeros = transpose(&parts.zeros, side.rows, side.groups());
                }
                let AffineTile {
                    layout,
                    isa,
                    units,
                    planes,
                    ..
                } = tile;
                parts::put_affine_together(layout, isa, units, &mut parts, planes);
            }
        }
    }
}

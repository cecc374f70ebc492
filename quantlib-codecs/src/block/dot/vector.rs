//! Vectors of 8-bit integers, laid out for dot products.

use super::super::BlockFormat;
use super::super::q8_0::Q8_0;
use super::super::q8_1::Q8_1;
use super::super::q8_k::Q8K;
use super::groups::GROUP;
use super::{Group, SuperBlock};
use crate::dtype::DType;
use crate::numeric::{Bf16, F16};
use crate::simd::{Isa, Kernel, Lanes};
use bytemuck::Zeroable;

/// A vector, encoded as ggml encodes it for rows of one type.
#[derive(Clone, Debug)]
pub(crate) struct Q8 {
    cols: usize,
    kind: Kind,
    /// Only one of them is not empty.
    floats: Vec<f32>,
    groups: Vec<Group>,
    supers: Vec<SuperBlock>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    F32,
    F16,
    BF16,
    Q8_0,
    Q8_1,
    Q8K,
}

/// A part of a vector.
pub(in crate::block) trait Piece: Sized {
    /// The parts, none if the vector is of another type.
    fn of(vector: &Q8) -> &[Self];
}

impl Piece for f32 {
    fn of(vector: &Q8) -> &[Self] {
        &vector.floats
    }
}

impl Piece for Group {
    fn of(vector: &Q8) -> &[Self] {
        &vector.groups
    }
}

impl Piece for SuperBlock {
    fn of(vector: &Q8) -> &[Self] {
        &vector.supers
    }
}

impl Q8 {
    /// Zeros, as vectors of `dtype`, which is what [`vector_type`](super::vector_type) says. `cols`
    /// is a whole number of its blocks. `None` for types that no vectors have, and if there is no
    /// memory.
    pub(crate) fn new(dtype: DType, cols: usize) -> Option<Self> {
        let kind = match dtype {
            DType::F32 => Kind::F32,
            DType::F16 => Kind::F16,
            DType::BF16 => Kind::BF16,
            DType::Q8_0 => Kind::Q8_0,
            DType::Q8_1 => Kind::Q8_1,
            DType::Q8K => Kind::Q8K,
            _ => return None,
        };
        let mut vector = Self {
            cols,
            kind,
            floats: Vec::new(),
            groups: Vec::new(),
            supers: Vec::new(),
        };
        match kind {
            Kind::F32 | Kind::F16 | Kind::BF16 => zeros(&mut vector.floats, 0.0, cols)?,
            Kind::Q8_0 | Kind::Q8_1 => {
                zeros(&mut vector.groups, Group::ZERO, cols.div_ceil(GROUP))?
            }
            Kind::Q8K => zeros(&mut vector.supers, SuperBlock::ZERO, cols / 256)?,
        }
        Some(vector)
    }

    /// Number of elements.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Encodes `x` to the elements from `first` on, a multiple of [`Q8::STEP`], as is the length of
    /// `x` but at the end.
    pub(crate) fn set(&mut self, isa: Isa, first: usize, x: &[f32]) {
        isa.run(Set {
            vector: self,
            first,
            x,
        });
    }

    /// See [`set`](Self::set).
    pub(crate) const STEP: usize = GROUP;
}

/// `None` if there is no memory for them.
fn zeros<T: Clone>(pieces: &mut Vec<T>, zero: T, len: usize) -> Option<()> {
    pieces.try_reserve_exact(len).ok()?;
    pieces.resize(len, zero);
    Some(())
}

struct Set<'a> {
    vector: &'a mut Q8,
    first: usize,
    x: &'a [f32],
}

impl Kernel for Set<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { vector, first, x } = self;
        match vector.kind {
            Kind::F32 => vector.floats[first..][..x.len()].copy_from_slice(x),
            Kind::F16 => {
                for (y, x) in vector.floats[first..].iter_mut().zip(x) {
                    *y = F16::from_f32(*x).to_f32();
                }
            }
            Kind::BF16 => {
                for (y, x) in vector.floats[first..].iter_mut().zip(x) {
                    *y = Bf16::from_f32(*x).to_f32();
                }
            }
            Kind::Q8_0 => {
                for (group, x) in vector.groups[first / GROUP..]
                    .iter_mut()
                    .zip(x.chunks(GROUP))
                {
                    group.set_q8_0(x);
                }
            }
            Kind::Q8_1 => {
                for (group, x) in vector.groups[first / GROUP..]
                    .iter_mut()
                    .zip(x.chunks(GROUP))
                {
                    group.set_q8_1(x);
                }
            }
            Kind::Q8K => {
                let supers = &mut vector.supers[first / 256..];
                for (super_block, x) in supers.iter_mut().zip(x.as_chunks::<256>().0) {
                    super_block.set(x);
                }
            }
        }
    }
}

impl Group {
    const ZERO: Self = Self {
        codes: [[0; 64]; 8],
        scales: [0.0; 16],
        sums: [0.0; 16],
    };

    #[inline(always)]
    fn set_q8_0(&mut self, x: &[f32]) {
        let mut blocks = [<Q8_0 as BlockFormat>::Block::zeroed(); GROUP / 32];
        Q8_0::encode(x, x.len(), None, &mut blocks);
        for (i, block) in blocks.iter().enumerate() {
            let (scale, codes) = block.parts();
            self.scales[i] = scale;
            self.set_codes(i, codes);
        }
    }

    #[inline(always)]
    fn set_q8_1(&mut self, x: &[f32]) {
        let mut blocks = [<Q8_1 as BlockFormat>::Block::zeroed(); GROUP / 32];
        Q8_1::encode(x, x.len(), None, &mut blocks);
        for (i, block) in blocks.iter().enumerate() {
            let (scale, sum, codes) = block.parts();
            (self.scales[i], self.sums[i]) = (scale, sum);
            self.set_codes(i, codes);
        }
    }

    #[inline(always)]
    fn set_codes(&mut self, i: usize, codes: &[i8; 32]) {
        self.codes[i / 2][i % 2 * 32..][..32].copy_from_slice(bytemuck::cast_slice(codes));
    }
}

impl SuperBlock {
    const ZERO: Self = Self {
        codes: [[0; 64]; 4],
        sums: [0; 16],
        scale: 0.0,
    };

    #[inline(always)]
    fn set(&mut self, x: &[f32; 256]) {
        let mut blocks = [<Q8K as BlockFormat>::Block::zeroed()];
        Q8K::encode(x, x.len(), None, &mut blocks);
        let (scale, codes, sums) = blocks[0].parts();
        self.scale = scale;
        self.codes = bytemuck::cast(*codes);
        self.sums = sums;
    }
}

//! A spec joined with a shape: the sizes of planes, and where a part of the tensor is in each.

use super::spec::{AffineSpec, Element, Group, Packing, Zero};
use crate::dtype::DType;
use crate::error::{Error, Result};
use std::ops::Range;

/// A spec joined with a shape: the sizes of its planes, and the tiles that can be encoded and decoded
/// apart from each other.
///
/// The tensor is a row of **units**, each contiguous in the source: a group, or for an axis that is
/// not the last the groups side by side (all that lies between one multiple of the group size and the
/// next); where one scale serves the whole tensor or an index of the axis, a unit is whatever lies
/// between two steps of that axis.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::{AffineLayout, AffineSpec, DType};
/// let layout = AffineLayout::new(&AffineSpec::mlx(4, 64, DType::F16), &[100, 256])?;
/// assert_eq!((layout.codes().bytes, layout.scales().bytes), (100 * 128, 100 * 4 * 2));
/// assert_eq!((layout.codes().dtype, &layout.codes().shape[..]), (DType::U32, &[100, 32][..]));
/// // The first ten rows have forty groups.
/// let place = layout.place(0..40)?;
/// assert_eq!((place.elements, place.codes), (0..2560, 0..1280));
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AffineLayout {
    spec: AffineSpec,
    codes: AffinePlane,
    scales: AffinePlane,
    zeros: Option<AffinePlane>,
    /// Steps of the axes before the one that counts.
    outer: usize,
    /// Length of that axis.
    pub(super) len: usize,
    /// Elements of one step along it.
    pub(super) inner: usize,
    /// Steps along the axis that share scales.
    pub(super) block: usize,
    /// Units of one outer step.
    pub(super) per_outer: usize,
    /// Only at multiples of this many units do planes have whole bytes.
    align: usize,
}

/// One plane of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinePlane {
    /// The type of its elements as the client declares them: u8 for packed codes that have no type of
    /// their own.
    pub dtype: DType,
    /// The row-major shape in those elements.
    pub shape: Vec<usize>,
    /// Length in bytes.
    pub bytes: usize,
}

/// Where some units are: elements in the source, bytes in the planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Elements of the source.
    pub elements: Range<usize>,
    /// Bytes of the codes.
    pub codes: Range<usize>,
    /// Bytes of the scales; none where one serves the whole tensor or an index of the axis, because
    /// those belong to no unit.
    pub scales: Range<usize>,
    /// Bytes of the zero points or biases, likewise.
    pub zeros: Range<usize>,
}

impl AffineLayout {
    /// Joins a spec with a row-major shape.
    ///
    /// # Errors
    /// Those of [`AffineSpec::check`]; `misuse` if the spec does not fit the shape; `limit` if the
    /// tensor is too large.
    pub fn new(spec: &AffineSpec, shape: &[usize]) -> Result<Self> {
        spec.check()?;
        let axis = resolve_axis(spec, shape)?;
        check_size(shape)?;
        let product = |dims: &[usize]| dims.iter().product::<usize>();
        let (outer, len, inner) = match axis {
            Some(axis) => (
                product(&shape[..axis]),
                shape[axis],
                product(&shape[axis + 1..]),
            ),
            // All elements are one row of groups.
            None if spec.packing == Packing::Bnb4 => (1, product(shape), 1),
            None => (product(shape), 1, 1),
        };
        let block = match spec.group {
            Group::Blocks(n) => n.min(len).max(1),
            Group::Axis | Group::Tensor => 1,
        };
        check_groups(spec, shape, len)?;
        let planes = Planes { spec, shape, axis };
        let (codes, scales, zeros) = (planes.codes(), planes.scales(), planes.zeros());
        let mut layout = Self {
            spec: spec.clone(),
            codes,
            scales,
            zeros,
            outer,
            len,
            inner,
            block,
            per_outer: len.div_ceil(block),
            align: 1,
        };
        layout.align = layout.alignment();
        Ok(layout)
    }

    /// The spec.
    pub fn spec(&self) -> &AffineSpec {
        &self.spec
    }

    /// The plane of codes.
    pub fn codes(&self) -> &AffinePlane {
        &self.codes
    }

    /// The plane of scales.
    pub fn scales(&self) -> &AffinePlane {
        &self.scales
    }

    /// The plane of zero points or biases, if the spec has any.
    pub fn zeros(&self) -> Option<&AffinePlane> {
        self.zeros.as_ref()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.outer * self.len * self.inner
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.outer * self.per_outer
    }

    /// Tiles begin and end at multiples of so many units, or at the end of the tensor.
    pub fn align(&self) -> usize {
        self.align
    }

    /// The number of scales.
    pub fn groups(&self) -> usize {
        match self.spec.group {
            Group::Tensor => 1,
            Group::Axis => self.len,
            Group::Blocks(_) => self.units() * self.inner,
        }
    }

    /// Whether scales are for units of their own, not for the tensor or an axis, so that a unit is
    /// encoded without knowing the others.
    pub fn is_grouped(&self) -> bool {
        matches!(self.spec.group, Group::Blocks(_))
    }

    /// The first element of a unit; of the one past the last: their number.
    fn element(&self, unit: usize) -> usize {
        if self.per_outer == 0 {
            return 0;
        }
        let (outer, within) = (unit / self.per_outer, unit % self.per_outer);
        (outer * self.len + within * self.block) * self.inner
    }

    /// Where units are.
    ///
    /// # Errors
    /// `misuse` if they do not begin and end at multiples of [`align`](Self::align).
    pub fn place(&self, units: Range<usize>) -> Result<Place> {
        let fits = |unit: usize| unit.is_multiple_of(self.align) || unit == self.units();
        if units.start > units.end
            || units.end > self.units()
            || !fits(units.start)
            || !fits(units.end)
        {
            return Err(Error::misuse(format!(
                "a tile of units {units:?} was asked for; it must begin and end at multiples of {} of {}",
                self.align,
                self.units()
            )));
        }
        Ok(self.at(&units))
    }

    /// [`place`](Self::place) of units that are known to be in step.
    pub fn at(&self, units: &Range<usize>) -> Place {
        Place {
            elements: self.element(units.start)..self.element(units.end),
            codes: self.code_byte(units.start)..self.code_byte(units.end),
            scales: self.scale_bytes(units, |group| group * self.spec.scale.block_bytes()),
            zeros: self.scale_bytes(units, |group| self.zero_byte(group)),
        }
    }

    fn scale_bytes(&self, units: &Range<usize>, byte: impl Fn(usize) -> usize) -> Range<usize> {
        if self.is_grouped() {
            byte(units.start * self.inner)..byte(units.end * self.inner)
        } else {
            0..0
        }
    }

    fn code_byte(&self, unit: usize) -> usize {
        match self.spec.packing {
            Packing::MatMulNBits => unit * self.blob_bytes(),
            packing => stream_bytes(packing, self.element(unit), self.spec.bits),
        }
    }

    /// Bytes of one group in [`Packing::MatMulNBits`].
    fn blob_bytes(&self) -> usize {
        match self.spec.group {
            Group::Blocks(n) => (n * usize::from(self.spec.bits)).div_ceil(8),
            _ => 0,
        }
    }

    /// The byte of a group's zero; only for groups where one begins.
    fn zero_byte(&self, group: usize) -> usize {
        let bits = usize::from(self.spec.bits);
        match (self.spec.zero, self.spec.packing) {
            (Zero::None, _) => 0,
            (Zero::Bias, _) => group * self.spec.scale.block_bytes(),
            (Zero::Point, Packing::MatMulNBits) => {
                let (row, within) = (group / self.per_outer, group % self.per_outer);
                row * (self.per_outer * bits).div_ceil(8) + (within * bits).div_ceil(8)
            }
            (Zero::Point, packing) => stream_bytes(packing, group, self.spec.bits),
        }
    }

    /// The elements that a group is padded to, if it is.
    pub(super) fn padded_group(&self) -> Option<usize> {
        match (self.spec.packing, self.spec.group) {
            (Packing::MatMulNBits, Group::Blocks(n)) => Some(n),
            _ => None,
        }
    }

    /// Codes of a byte, for codes that are not larger.
    pub(super) fn per_byte(&self) -> usize {
        (8 / usize::from(self.spec.bits)).max(1)
    }

    /// Steps along the axis that a unit has.
    pub(super) fn steps(&self, unit: usize) -> usize {
        let first = unit % self.per_outer * self.block;
        self.block.min(self.len - first)
    }

    /// The least number of units whose multiples begin whole bytes in every plane.
    fn alignment(&self) -> usize {
        let bits = usize::from(self.spec.bits);
        let padded = self.spec.packing == Packing::MatMulNBits;
        let points = self.spec.zero == Zero::Point && self.is_grouped();
        let zero_bits = if points || padded { bits } else { 8 };
        let unit = 8 * split_unit(self.spec.packing, self.spec.bits);
        let whole = |count: usize, bits: usize| match bits == usize::from(self.spec.bits) {
            true => (count * bits).is_multiple_of(unit),
            false => (count * bits).is_multiple_of(8),
        };
        let even = self.len.is_multiple_of(self.block) || self.outer == 1;
        let units = [1, 2, 4, 8].into_iter().find(|a| {
            let rows_fit = !padded || whole(self.per_outer, zero_bits);
            even && rows_fit
                && (padded || whole(self.block * self.inner * a, bits))
                && whole(self.inner * a, zero_bits)
        });
        let outers = [1, 2, 4, 8].into_iter().find(|a| {
            padded
                || whole(self.len * self.inner * a, bits)
                    && whole(self.per_outer * self.inner * a, zero_bits)
        });
        units.unwrap_or_else(|| self.per_outer * outers.unwrap_or(8))
    }

    /// The zero that is meant where none is stored.
    pub(super) fn implied_zero(&self) -> f32 {
        match (self.spec.packing, self.spec.element) {
            (Packing::MatMulNBits, Element::Unsigned) => f32::from(1u8 << (self.spec.bits - 1)),
            _ => 0.0,
        }
    }
}

/// Bytes that are one unit of a stream: the bits of a code lie together only in whole ones.
fn split_unit(packing: Packing, bits: u8) -> usize {
    match (packing, bits) {
        (Packing::OpenVino, 3 | 6) => 3,
        _ => 1,
    }
}

/// Bytes that so many codes take in one stream.
fn stream_bytes(packing: Packing, codes: usize, bits: u8) -> usize {
    let unit = split_unit(packing, bits);
    (codes * usize::from(bits)).div_ceil(8 * unit) * unit
}

/// The axis that the scales follow, from the first; `None` if there is one scale for all, or if groups
/// know no axis.
fn resolve_axis(spec: &AffineSpec, shape: &[usize]) -> Result<Option<usize>> {
    if spec.group == Group::Tensor || spec.packing == Packing::Bnb4 {
        return Ok(None);
    }
    let rank = shape.len() as isize;
    let axis = if spec.axis < 0 {
        rank.checked_add(spec.axis)
    } else {
        Some(spec.axis)
    };
    let axis = match axis {
        Some(axis) if (0..rank).contains(&axis) => axis as usize,
        _ => {
            return Err(Error::misuse(format!(
                "axis {} was asked for, but the tensor has {rank} dimensions",
                spec.axis
            )));
        }
    };
    let last_only = matches!(spec.packing, Packing::Mlx | Packing::MatMulNBits);
    if last_only && axis + 1 != shape.len() {
        return Err(Error::misuse(format!(
            "{:?} has groups along the last axis only; transpose the tensor",
            spec.packing
        )));
    }
    Ok(Some(axis))
}

/// A size with which no arithmetic here overflows, whatever the spec.
fn check_size(shape: &[usize]) -> Result<()> {
    let elements = shape
        .iter()
        .map(|dim| (*dim).max(1))
        .try_fold(64usize, |product, dim| product.checked_mul(dim));
    match elements {
        Some(_) => Ok(()),
        None => Err(Error::limit(format!(
            "a tensor of shape {shape:?} is too large"
        ))),
    }
}

fn check_groups(spec: &AffineSpec, shape: &[usize], len: usize) -> Result<()> {
    let Group::Blocks(n) = spec.group else {
        return Ok(());
    };
    if n > 1 << 30 {
        return Err(Error::limit(format!("groups of {n} elements are too long")));
    }
    match spec.packing {
        Packing::Mlx if !len.is_multiple_of(n) || !n.is_multiple_of(16) => {
            Err(Error::misuse(format!(
                "MLX needs groups of a multiple of 16 elements that divide the last axis; {n} and a shape of {shape:?} were given"
            )))
        }
        Packing::Mlx if !(len * usize::from(spec.bits)).is_multiple_of(32) => {
            Err(Error::misuse(format!(
                "rows of {len} codes of {} bits are no whole number of 32-bit words",
                spec.bits
            )))
        }
        Packing::OpenVino if !len.is_multiple_of(n) => Err(Error::misuse(format!(
            "OpenVINO needs groups that divide the axis; {n} and a shape of {shape:?} were given"
        ))),
        _ => Ok(()),
    }
}

/// What planes look like to the client that reads them.
struct Planes<'a> {
    spec: &'a AffineSpec,
    shape: &'a [usize],
    axis: Option<usize>,
}

impl Planes<'_> {
    fn codes(&self) -> AffinePlane {
        let bits = usize::from(self.spec.bits);
        let mut shape = self.shape.to_vec();
        match (self.spec.packing, self.spec.group) {
            (Packing::Mlx, _) => {
                if let Some(last) = shape.last_mut() {
                    *last = *last * bits / 32;
                }
                plane(DType::U32, shape)
            }
            (Packing::MatMulNBits, Group::Blocks(n)) => {
                if let Some(last) = shape.last_mut() {
                    *last = last.div_ceil(n);
                }
                shape.push((n * bits).div_ceil(8));
                plane(DType::U8, shape)
            }
            (Packing::OpenVino, Group::Blocks(n)) => self.stream(self.split(n, n)),
            _ => self.stream(shape),
        }
    }

    /// Codes or zero points of this shape as one stream of bits.
    fn stream(&self, shape: Vec<usize>) -> AffinePlane {
        let (bits, signed) = (self.spec.bits, self.spec.element == Element::Signed);
        match (bits, self.spec.element) {
            (8, Element::E4M3) => plane(DType::F8E4M3, shape),
            (8, Element::E5M2) => plane(DType::F8E5M2, shape),
            (8, _) => plane(if signed { DType::I8 } else { DType::U8 }, shape),
            (16, _) => plane(if signed { DType::I16 } else { DType::U16 }, shape),
            _ => {
                let elements: usize = shape.iter().product();
                let bytes = stream_bytes(self.spec.packing, elements, bits);
                plane(DType::U8, vec![bytes])
            }
        }
    }

    /// The shape with groups of `n` as an axis of their own, `inner` of each; as it is if there is only
    /// one group.
    fn split(&self, n: usize, inner: usize) -> Vec<usize> {
        let mut shape = self.shape.to_vec();
        if let Some(axis) = self.axis {
            let groups = shape[axis].div_ceil(n);
            if groups <= 1 {
                shape[axis] = shape[axis].min(inner);
            } else {
                shape[axis] = groups;
                shape.insert(axis + 1, inner);
            }
        }
        shape
    }

    fn scale_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.to_vec();
        match (self.spec.packing, self.spec.group, self.axis) {
            (Packing::OpenVino, Group::Blocks(n), _) => return self.split(n, 1),
            (Packing::Bnb4, Group::Blocks(n), _) => {
                shape = vec![shape.iter().product::<usize>().div_ceil(n)];
            }
            (Packing::OpenVino, _, axis) => {
                for (i, dim) in shape.iter_mut().enumerate() {
                    *dim = if Some(i) == axis { *dim } else { 1 };
                }
            }
            (_, Group::Blocks(n), Some(axis)) => shape[axis] = shape[axis].div_ceil(n),
            (_, Group::Axis, Some(axis)) => shape = vec![shape[axis]],
            _ => shape.clear(),
        }
        shape
    }

    fn scales(&self) -> AffinePlane {
        plane(self.spec.scale, self.scale_shape())
    }

    fn zeros(&self) -> Option<AffinePlane> {
        let mut shape = self.scale_shape();
        match (self.spec.zero, self.spec.packing) {
            (Zero::None, _) => None,
            (Zero::Bias, _) => Some(plane(self.spec.scale, shape)),
            (Zero::Point, Packing::MatMulNBits) => {
                if let Some(last) = shape.last_mut() {
                    *last = (*last * usize::from(self.spec.bits)).div_ceil(8);
                }
                Some(plane(DType::U8, shape))
            }
            (Zero::Point, _) => Some(self.stream(shape)),
        }
    }
}

fn plane(dtype: DType, shape: Vec<usize>) -> AffinePlane {
    let bytes = shape.iter().product::<usize>() * dtype.block_bytes();
    AffinePlane {
        dtype,
        shape,
        bytes,
    }
}

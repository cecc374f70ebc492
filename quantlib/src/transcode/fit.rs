//! From the parts of one encoding to those of another, or the reason why that would lose something.

use super::side::Side;
use crate::affine::Element;
use crate::error::{Error, Result};
use crate::parts::{self, Form, Origin, Parts};
use crate::simd::Isa;

/// How parts are converted.
pub(super) struct Fit<'a> {
    from: &'a Side,
    to: &'a Side,
}

/// One group of the output.
struct Group {
    scale: f32,
    zero: f32,
    /// What is added to every code.
    shift: i32,
}

impl<'a> Fit<'a> {
    /// # Errors
    /// `unsupported` if no tensor of one could be one of the other.
    pub(super) fn new(from: &'a Side, to: &'a Side) -> Result<Self> {
        if from.form.element != to.form.element {
            return Err(Error::unsupported(format!(
                "{} has codes of {}, {} of {}; no code of one means what a code of the other does. Decode it and quantize again, which loses something",
                from.name,
                element(from.form.element),
                to.name,
                element(to.form.element),
            )));
        }
        Ok(Self { from, to })
    }

    /// Converts the parts of rows, the first of which has the number `first_row`.
    ///
    /// # Errors
    /// `unsupported`, naming the first group that the target cannot hold.
    pub(super) fn apply(&self, mut parts: Parts, first_row: usize, isa: Isa) -> Result<Parts> {
        let rows = match self.from.cols {
            0 => 0,
            cols => parts.codes.len() / cols,
        };
        let groups = self.to.groups();
        let mut scales = Vec::with_capacity(rows * groups);
        let mut zeros = Vec::with_capacity(rows * groups);
        for row in 0..rows {
            for group in 0..groups {
                let at = Place {
                    fit: self,
                    row,
                    group,
                    shown_row: first_row + row,
                };
                let Group { scale, zero, shift } = at.convert(&parts)?;
                at.shift(&mut parts.codes, shift)?;
                scales.push(scale);
                zeros.push(zero);
            }
        }
        self.check_stored(&scales, &zeros, first_row, isa)?;
        Ok(Parts {
            codes: parts.codes,
            scales,
            zeros,
        })
    }

    /// Refuses scales and biases that the target's type would round.
    fn check_stored(
        &self,
        scales: &[f32],
        zeros: &[f32],
        first_row: usize,
        isa: Isa,
    ) -> Result<()> {
        let Form {
            scale: dtype,
            zero,
            negative_scales,
            ..
        } = self.to.form;
        let place = |at: usize| Place {
            fit: self,
            row: at / self.to.groups(),
            group: at % self.to.groups(),
            shown_row: first_row + at / self.to.groups(),
        };
        if let Some(at) = parts::first_inexact(isa, dtype, scales) {
            return Err(place(at).not_exact("scale", scales[at]));
        }
        if !negative_scales && let Some(at) = scales.iter().position(|scale| *scale < 0.0) {
            return Err(place(at).refuse(format!(
                "the scale is {}, and {} has none below zero",
                scales[at], self.to.name
            )));
        }
        if zero == Origin::Bias
            && let Some(at) = parts::first_inexact(isa, dtype, zeros)
        {
            return Err(place(at).not_exact("bias", zeros[at]));
        }
        Ok(())
    }
}

/// A group of the output, for its conversion and for messages.
struct Place<'a> {
    fit: &'a Fit<'a>,
    /// Among the rows at hand.
    row: usize,
    group: usize,
    /// Among all rows.
    shown_row: usize,
}

impl Place<'_> {
    /// The columns of the group.
    fn columns(&self) -> std::ops::Range<usize> {
        let (len, cols) = (self.fit.to.form.group, self.fit.to.cols);
        self.group * len..((self.group + 1) * len).min(cols)
    }

    /// The codes of the group among those of the rows at hand.
    fn elements(&self) -> std::ops::Range<usize> {
        let (columns, row) = (self.columns(), self.row * self.fit.to.cols);
        row + columns.start..row + columns.end
    }

    fn convert(&self, parts: &Parts) -> Result<Group> {
        let (scale, zero) = self.shared(parts)?;
        let codes = &parts.codes[self.elements()];
        let middle = match self.fit.to.form.zero {
            Origin::Code(code) => Some(f32::from(code)),
            Origin::Point | Origin::Bias => None,
        };
        match (self.fit.from.form.zero, self.fit.to.form.zero) {
            (Origin::Bias, Origin::Bias) => Ok(Group {
                scale,
                zero,
                shift: 0,
            }),
            (Origin::Bias, _) => {
                let point = self.point(scale, zero, middle)?;
                self.check_rounding(codes, scale, point, zero)?;
                self.place_zero(scale, point, middle)
            }
            (_, Origin::Bias) => {
                let bias = (f64::from(scale) * -f64::from(zero)) as f32;
                if f64::from(bias) != f64::from(scale) * -f64::from(zero) {
                    return Err(self.refuse(format!(
                        "the bias of a scale of {scale} and a zero point of {zero} is not exact in f32"
                    )));
                }
                self.check_rounding(codes, scale, zero, bias)?;
                Ok(Group {
                    scale,
                    zero: bias,
                    shift: 0,
                })
            }
            _ => self.place_zero(scale, zero, middle),
        }
    }

    /// The scale and the zero of all elements of the group.
    fn shared(&self, parts: &Parts) -> Result<(f32, f32)> {
        let (from, columns) = (self.fit.from, self.columns());
        let groups = columns.start / from.form.group..columns.end.div_ceil(from.form.group);
        let row = self.row * from.groups();
        let one = |group: usize| (parts.scales[row + group], parts.zeros[row + group]);
        let first = one(groups.start);
        if groups.clone().skip(1).all(|group| one(group) == first) {
            return Ok(first);
        }
        Err(self.refuse(format!(
            "{} has scales of its own for each {} elements, which differ; {} has one for {}. Ask for groups of {}",
            from.name,
            from.form.group,
            self.fit.to.name,
            self.fit.to.form.group,
            from.form.group
        )))
    }

    /// The code of zero that a bias stands for.
    fn point(&self, scale: f32, bias: f32, middle: Option<f32>) -> Result<f32> {
        if bias == 0.0 && scale == 0.0 {
            return Ok(middle.unwrap_or(0.0));
        }
        let point = (-f64::from(bias) / f64::from(scale)).round();
        if point * f64::from(scale) == -f64::from(bias) && point.abs() <= 256.0 {
            return Ok(point as f32);
        }
        Err(self.refuse(format!(
            "the bias {bias} is no multiple of the scale {scale} by a code, as zero points need it; a layout with biases, such as 'mlx' or 'q4_1', may hold it"
        )))
    }

    /// Places zero where the target has it: at `middle`, or anywhere.
    fn place_zero(&self, scale: f32, point: f32, middle: Option<f32>) -> Result<Group> {
        let zero = middle.unwrap_or(point);
        let top = top(self.fit.to.form.bits);
        if !(0.0..=top as f32).contains(&zero) {
            return Err(self.refuse(format!(
                "the zero point {zero} is no code of {} bits",
                self.fit.to.form.bits
            )));
        }
        Ok(Group {
            scale,
            zero,
            shift: (zero - point) as i32,
        })
    }

    /// Whether every code decodes to the same f32 with a zero point as with a bias, which are equal as
    /// real numbers: products may round.
    fn check_rounding(&self, codes: &[u8], scale: f32, point: f32, bias: f32) -> Result<()> {
        // Products of a scale of 16 bits with a code are exact.
        let short = scale.to_bits() & 0xff == 0 && scale.abs() < 2f32.powi(100);
        let same = |code: &u8| {
            let code = f32::from(*code);
            (code - point) * scale == code * scale + bias
        };
        if short || codes.iter().all(same) {
            return Ok(());
        }
        Err(self.refuse(format!(
            "the scale {scale} has so many digits that a code times it, plus a bias, rounds to another f32 than with a zero point"
        )))
    }

    /// Adds to the codes, all of which must be codes of the target then.
    fn shift(&self, codes: &mut [u8], by: i32) -> Result<()> {
        let (from, to) = (self.fit.from.form.bits, self.fit.to.form.bits);
        if by == 0 && from <= to {
            return Ok(());
        }
        let codes = &mut codes[self.elements()];
        let range = codes.iter().fold((u8::MAX, 0), |(low, high), code| {
            (low.min(*code), high.max(*code))
        });
        let (low, high) = (i32::from(range.0) + by, i32::from(range.1) + by);
        if low < 0 || high > top(to) {
            return Err(self.refuse(format!(
                "the codes reach from {low} to {high} where {} has those from 0 to {}; ask for more bits",
                self.fit.to.name,
                top(to)
            )));
        }
        for code in codes {
            *code = code.wrapping_add(by as u8);
        }
        Ok(())
    }

    fn not_exact(&self, what: &str, value: f32) -> Error {
        let dtype = self.fit.to.form.scale;
        if !value.is_finite() {
            return self.refuse(format!(
                "the {what} is {value}, which encodings read differently"
            ));
        }
        self.refuse(format!(
            "the {what} {value:e} is not exact in {dtype}; scales of f32 hold it, where the target has them"
        ))
    }

    /// An error of this group.
    fn refuse(&self, why: String) -> Error {
        let columns = self.columns();
        Error::unsupported(format!(
            "{} to {}, row {}, columns {} to {}: {why}",
            self.fit.from.name,
            self.fit.to.name,
            self.shown_row,
            columns.start,
            columns.end.saturating_sub(1)
        ))
    }
}

/// The largest code.
fn top(bits: u8) -> i32 {
    (1 << bits) - 1
}

fn element(element: Element) -> &'static str {
    match element {
        Element::Unsigned | Element::Signed => "integers",
        Element::E2M1 => "4-bit floats (E2M1)",
        Element::E4M3 => "8-bit floats (E4M3)",
        Element::E5M2 => "8-bit floats (E5M2)",
        Element::Nf4 => "NF4",
        Element::Fp4 => "FP4",
        _ => "another kind",
    }
}

//! The search that the IQ2 and IQ3 formats share: a scale and codebook vectors for the magnitudes of
//! a group of elements.
//!
//! Level l stands for 2 l + 1. Operations and their order are the contract's.

use super::lattice::{Found, Lattice};
use crate::block::number::nearest_int;

/// How a format searches.
#[derive(Clone, Copy)]
pub(in crate::block) struct Method {
    /// The number of steps to either side of the first guess.
    pub(in crate::block) steps: i32,
    pub(in crate::block) step: f32,
    pub(in crate::block) refit: Refit,
}

/// Where to search for a group's scale: at `reach` / (top + i · step), where top is the value of the
/// highest level.
#[derive(Clone, Copy)]
pub(in crate::block) struct Aim {
    /// What the highest level should stand for.
    pub(in crate::block) reach: f32,
    /// The scale to keep if no attempt improves on nothing.
    pub(in crate::block) fallback: f32,
}

/// Which vectors are looked up anew with the scale that was found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::block) enum Refit {
    /// All.
    Always,
    /// All, if any of them had to give way to a neighbour or if no attempt succeeded.
    IfAnyInexact,
    /// Those that had to give way to a neighbour.
    Inexact,
}

/// The codes of `G` vectors and their scale, which may be negative.
#[derive(Clone, Copy)]
pub(in crate::block) struct Fit<const G: usize> {
    pub(in crate::block) scale: f32,
    pub(in crate::block) codes: [u16; G],
}

/// One group under search.
struct Group<'a, const DIM: usize, const LEVELS: usize, const G: usize> {
    lattice: &'a Lattice<DIM, LEVELS>,
    x: &'a [[f32; DIM]; G],
    weights: &'a [[f32; DIM]; G],
    /// Square roots of the weights: neighbours are chosen by these.
    roots: [[f32; DIM]; G],
}

/// Tries scales, keeps the best by weighted squared error, and refits.
pub(in crate::block) fn fit_magnitudes<const DIM: usize, const LEVELS: usize, const G: usize>(
    lattice: &Lattice<DIM, LEVELS>,
    x: &[[f32; DIM]; G],
    weights: &[[f32; DIM]; G],
    method: Method,
    aim: Aim,
) -> Fit<G> {
    let refit = method.refit;
    let group = Group {
        lattice,
        x,
        weights,
        roots: weights.map(|w| w.map(f32::sqrt)),
    };
    let top = (2 * LEVELS - 1) as f32;
    let mut scale = aim.fallback;
    let mut best = 0.0;
    let mut kept = [Found {
        code: 0,
        exact: refit == Refit::Inexact,
    }; G];
    for i in -method.steps..=method.steps {
        let inverse = (top + i as f32 * method.step) / aim.reach;
        let found = std::array::from_fn(|g| group.look_up(g, inverse, 1.0 / inverse));
        let (qx, qq) = group.correlate(&found);
        if qq > 0.0 && qx * qx > best * qq {
            scale = qx / qq;
            best = scale * qx;
            kept = found;
        }
    }
    let stays = |found: &Found| found.exact && refit != Refit::Always;
    if scale > 0.0 && !kept.iter().all(stays) {
        for (g, found) in kept.iter_mut().enumerate() {
            if refit != Refit::Inexact || !found.exact {
                *found = group.look_up(g, 1.0 / scale, scale);
            }
        }
        let (qx, qq) = group.correlate(&kept);
        if qq > 0.0 {
            scale = qx / qq;
        }
    }
    Fit {
        scale,
        codes: kept.map(|found| found.code),
    }
}

/// The vector of the codebook for elements, which are rounded to levels first.
pub(in crate::block) fn look_up<const DIM: usize, const LEVELS: usize>(
    lattice: &Lattice<DIM, LEVELS>,
    x: &[f32; DIM],
    roots: &[f32; DIM],
    inverse: f32,
    scale: f32,
) -> Found {
    let values = std::array::from_fn(|level| (2 * level + 1) as f32);
    let levels = x.map(|x| {
        let level = nearest_int(0.5 * (inverse * x - 1.0));
        level.clamp(0, LEVELS as i32 - 1) as u8
    });
    lattice.nearest(&levels, x, roots, scale, &values)
}

impl<const DIM: usize, const LEVELS: usize, const G: usize> Group<'_, DIM, LEVELS, G> {
    /// The vector for the elements of vector `g`.
    fn look_up(&self, g: usize, inverse: f32, scale: f32) -> Found {
        look_up(self.lattice, &self.x[g], &self.roots[g], inverse, scale)
    }

    /// The weighted sums of value · element and of value².
    fn correlate(&self, found: &[Found; G]) -> (f32, f32) {
        let mut sums = (0.0, 0.0);
        for (g, found) in found.iter().enumerate() {
            let levels = self.lattice.point(found.code);
            for ((x, w), level) in self.x[g].iter().zip(&self.weights[g]).zip(levels) {
                let q = f32::from(2 * level + 1);
                sums.0 += w * x * q;
                sums.1 += w * q * q;
            }
        }
        sums
    }
}

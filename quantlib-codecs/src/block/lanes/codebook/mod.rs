//! The codebook searches of IQ2 and IQ3.
//!
//! A super-block has a few groups of elements, a group a few vectors, and for each group a few dozen
//! scales are tried: a *job* is a group with one of its scales. Rounding and sums have jobs in the
//! lanes, the searches for neighbours have neighbours there.

mod jobs;
mod nearest;

use super::Tile;
use super::header::fit_positive;
use super::number::{MAGIC, sum_block_squares};
use crate::block::codebook::{Aim, Codebook, Fit, Groups, Method, Neighbours, Refit, look_up};
use crate::simd::{Lanes, MAX_LANES, Vector};
use bytemuck::cast_ref;
use jobs::{Elements, Jobs, MAX_JOBS};
use nearest::{Scaled, Tables};

/// The most scales that are tried for a group.
const MAX_TRIALS: usize = 32;

/// How far from its level, in levels, an element may be and be sure to be rounded to the right side:
/// the roundings on the way move it by less than the rest.
const SURE: f32 = 0.5 - 1.0 / 4096.0;

/// The search of a format, with space to work in.
pub(in crate::block) struct Search<
    'a,
    V: Vector,
    const DIM: usize,
    const LEVELS: usize,
    const FIRST: usize,
> {
    l: V,
    book: &'a Codebook<DIM, LEVELS, FIRST>,
    method: Method,
    jobs: Jobs,
}

impl<'a, V: Vector, const DIM: usize, const LEVELS: usize, const FIRST: usize>
    Search<'a, V, DIM, LEVELS, FIRST>
{
    #[inline(always)]
    pub(in crate::block) fn new(
        l: V,
        book: &'a Codebook<DIM, LEVELS, FIRST>,
        method: Method,
    ) -> Self {
        Self {
            l,
            book,
            method,
            jobs: Jobs::new::<V, LEVELS>(method),
        }
    }

    /// What [`Groups::fit_ref`] gives.
    #[inline(always)]
    pub(in crate::block) fn fit<
        const G: usize,
        const LEN: usize,
        const EIGHTS: usize,
        const GROUPS: usize,
    >(
        &mut self,
        groups: &Groups<LEN, EIGHTS, GROUPS>,
    ) -> [Option<Fit<G>>; GROUPS] {
        let elements = Elements::new(groups);
        let mut aims = groups.aims;
        let mut reach = [1.0; GROUPS];
        for g in 0..GROUPS {
            match aims[g] {
                Some(aim) if elements.are_tame(g, aim.reach) => reach[g] = aim.reach,
                _ => aims[g] = None,
            }
        }
        self.jobs
            .round::<V, DIM, LEVELS, FIRST, LEN, GROUPS>(self.l, &elements, &reach);
        for g in 0..GROUPS {
            if aims[g].is_some() {
                self.look_up_all::<G, LEN, GROUPS>(&elements, g);
            }
        }
        self.jobs
            .correlate::<V, DIM, LEVELS, FIRST, LEN, GROUPS>(self.l, &elements);
        let mut fits = [None; GROUPS];
        for g in 0..GROUPS {
            fits[g] = match aims[g] {
                Some(aim) => Some(self.choose(&elements, g, aim)),
                None => groups.fit_group_ref(&self.book.lattice, self.method, g),
            };
        }
        fits
    }

    /// Looks up the vectors of a group for all of its scales.
    #[inline(always)]
    fn look_up_all<const G: usize, const LEN: usize, const GROUPS: usize>(
        &mut self,
        elements: &Elements<LEN, GROUPS>,
        g: usize,
    ) {
        let l = self.l;
        let trials = self.jobs.trials;
        let first = g * self.jobs.stride;
        let scales = part(&self.jobs.scales, first);
        let mut scaled = [l.splat(0.0); MAX_TRIALS];
        for (scaled, scales) in scaled.iter_mut().zip(scales.chunks_exact(V::OCTETS)) {
            let scale = l.octets([scales[0], scales[V::OCTETS - 1]]);
            *scaled = Scaled::<DIM, LEVELS, FIRST>::of(l, scale);
        }
        let neighbours = &self.book.neighbours;
        for k in 0..G {
            let tables =
                Tables::<V, DIM, LEVELS, FIRST>::new(l, &elements.x[g], &elements.roots[g], [k; 2]);
            let numbers = part(&self.jobs.numbers[k], first);
            let words = part_mut(&mut self.jobs.words[k], first);
            // The trials whose lists go on.
            let mut long = [0; MAX_TRIALS];
            let mut long_len = 0;
            // Where vectors have two octets, the last trial may belong to the next group, which
            // overwrites the result.
            for t in (0..MAX_TRIALS).step_by(V::OCTETS) {
                if t >= trials {
                    break;
                }
                let last = t + V::OCTETS - 1;
                let (a, b) = (numbers[t] as usize, numbers[last] as usize);
                let lists = [&neighbours.first[a], &neighbours.first[b]];
                [words[t], words[last]] = tables.nearest(l, scaled[t / V::OCTETS], lists);
                long[long_len % MAX_TRIALS] = t as u8;
                long_len += usize::from(neighbours.more[a] > 0);
                if V::OCTETS > 1 {
                    long[long_len % MAX_TRIALS] = last as u8;
                    long_len += usize::from(neighbours.more[b] > 0);
                }
            }
            for t in &long[..long_len] {
                let t = usize::from(*t) % MAX_TRIALS;
                let scaled = Scaled::<DIM, LEVELS, FIRST>::of(l, l.splat(scales[t]));
                let number = numbers[t] as usize;
                let (first, rest) = (&neighbours.first[number], neighbours.rest(number));
                words[t] = tables.nearest_of_all(l, scaled, first, rest);
            }
        }
    }

    /// The best of all scales for a group, refitted.
    #[inline(always)]
    fn choose<const G: usize, const LEN: usize, const GROUPS: usize>(
        &self,
        elements: &Elements<LEN, GROUPS>,
        g: usize,
        aim: Aim,
    ) -> Fit<G> {
        let refit = self.method.refit;
        let (job, scale) = self.jobs.best(g);
        let mut fit = Fit {
            scale: scale.unwrap_or(aim.fallback),
            codes: [0; G],
        };
        let mut again = [refit != Refit::Inexact; G];
        if scale.is_some() && refit != Refit::Always {
            for k in 0..G {
                again[k] = !self.book.neighbours.exact[self.jobs.numbers[k][job] as usize];
            }
            if refit == Refit::IfAnyInexact && any(&again) {
                again = [true; G];
            }
        }
        if scale.is_some() {
            for k in 0..G {
                if !again[k] || fit.scale <= 0.0 {
                    fit.codes[k] = self.code(self.jobs.words[k][job]);
                }
            }
        }
        if fit.scale > 0.0 && any(&again) {
            self.refit(elements, g, &mut fit, &again);
        }
        fit
    }

    #[inline(always)]
    fn code(&self, word: i32) -> u16 {
        let number = Neighbours::<DIM, LEVELS, FIRST>::number(word);
        self.book.lattice.near(number)[0]
    }

    /// Looks up vectors with the scale that was found, and fits the scale to them.
    #[inline(always)]
    fn refit<const G: usize, const LEN: usize, const GROUPS: usize>(
        &self,
        elements: &Elements<LEN, GROUPS>,
        g: usize,
        fit: &mut Fit<G>,
        again: &[bool; G],
    ) {
        let l = self.l;
        let neighbours = &self.book.neighbours;
        let scale = fit.scale;
        let (x, roots) = (&elements.x[g], &elements.roots[g]);
        let scaled = Scaled::<DIM, LEVELS, FIRST>::of(l, l.splat(scale));
        let rounded = Rounded::<LEN>::new::<LEVELS>(x, 1.0 / scale);
        if rounded.tame {
            for k in (0..G).step_by(V::OCTETS) {
                let pair = [k, k + V::OCTETS - 1];
                let tables = Tables::<V, DIM, LEVELS, FIRST>::new(l, x, roots, pair);
                let a = rounded.number::<DIM, LEVELS, FIRST>(pair[0]);
                let b = rounded.number::<DIM, LEVELS, FIRST>(pair[1]);
                let lists = [&neighbours.first[a], &neighbours.first[b]];
                let found = tables.nearest(l, scaled, lists);
                for o in 0..V::OCTETS {
                    if !again[k + o] {
                        continue;
                    }
                    let number = if o == 0 { a } else { b };
                    let mut word = found[o];
                    if neighbours.more[number] > 0 {
                        let tables = Tables::<V, DIM, LEVELS, FIRST>::new(l, x, roots, [k + o; 2]);
                        let (first, rest) = (&neighbours.first[number], neighbours.rest(number));
                        word = tables.nearest_of_all(l, scaled, first, rest);
                    }
                    fit.codes[k + o] = self.code(word);
                }
            }
        } else {
            let x = cast_ref::<_, [[f32; DIM]; G]>(x);
            let roots = cast_ref::<_, [[f32; DIM]; G]>(roots);
            for k in 0..G {
                if again[k] {
                    let found = look_up(&self.book.lattice, &x[k], &roots[k], 1.0 / scale, scale);
                    fit.codes[k] = found.code;
                }
            }
        }
        let (mut qx, mut qq) = (0.0, 0.0);
        for k in 0..G {
            let levels = self.book.lattice.point(fit.codes[k]);
            for i in 0..DIM {
                let q = f32::from(2 * levels[i] + 1);
                qx += elements.weighted[g][k * DIM + i] * q;
                qq += elements.weights[g][k * DIM + i] * q * q;
            }
        }
        if qq > 0.0 {
            fit.scale = qx / qq;
        }
    }
}

/// The sum of squares of each block of a tile, in order.
#[inline(always)]
pub(in crate::block) fn squares_of_blocks<L: Lanes>(
    l: L,
    tile: &Tile<'_, 256>,
) -> [f32; MAX_LANES] {
    let mut sums = [0.0; MAX_LANES];
    l.store(sum_block_squares(l, &tile.x), &mut sums);
    sums
}

/// The scales of uniform quantizers of 5 levels for 8 groups.
#[inline(always)]
pub(in crate::block) fn uniform_scales<V: Vector, const EIGHTS: usize>(
    l: V,
    groups: &Groups<32, EIGHTS, 8>,
) -> [f32; 8] {
    let (mut x, mut weights) = ([[0.0; MAX_LANES]; 32], [[0.0; MAX_LANES]; 32]);
    for g in 0..8 {
        for i in 0..32 {
            x[i][g] = groups.x(g)[i];
            weights[i][g] = groups.weights[g][i];
        }
    }
    let (mut in_lanes, mut weights_in_lanes) = ([l.splat(0.0); 32], [l.splat(0.0); 32]);
    for i in 0..32 {
        in_lanes[i] = l.read(&x[i]);
        weights_in_lanes[i] = l.read(&weights[i]);
    }
    let fit = fit_positive(l, &in_lanes, &weights_in_lanes, 4);
    let mut scales = [0.0; MAX_LANES];
    l.store(fit.scale, &mut scales);
    let mut own = [0.0; 8];
    own.copy_from_slice(&scales[..8]);
    own
}

/// The jobs of a group, and a few more.
#[inline(always)]
fn part<T>(jobs: &[T; MAX_JOBS], first: usize) -> &[T; MAX_TRIALS] {
    let Some((part, _)) = jobs[first..].split_first_chunk() else {
        unreachable!("there are {MAX_TRIALS} jobs from any group's first on");
    };
    part
}

#[inline(always)]
fn part_mut<T>(jobs: &mut [T; MAX_JOBS], first: usize) -> &mut [T; MAX_TRIALS] {
    let Some((part, _)) = jobs[first..].split_first_chunk_mut() else {
        unreachable!("there are {MAX_TRIALS} jobs from any group's first on");
    };
    part
}

#[inline(always)]
fn any<const G: usize>(flags: &[bool; G]) -> bool {
    let mut any = false;
    for flag in flags {
        any |= *flag;
    }
    any
}

/// The elements of a group, rounded to levels.
struct Rounded<const LEN: usize> {
    levels: [i32; LEN],
    sure: [bool; LEN],
    /// Whether no element is so far out that rounding would wrap around or be off.
    tame: bool,
}

impl<const LEN: usize> Rounded<LEN> {
    #[inline(always)]
    fn new<const LEVELS: usize>(x: &[f32; LEN], inverse: f32) -> Self {
        let mut rounded = Self {
            levels: [0; LEN],
            sure: [false; LEN],
            tame: true,
        };
        let top = (LEVELS - 1) as f32;
        for i in 0..LEN {
            let place = 0.5 * (inverse * x[i] - 1.0);
            let level = (place + MAGIC) - MAGIC;
            rounded.sure[i] = (level - place).abs() <= SURE;
            rounded.tame &= place.abs() < jobs::FAR;
            let level = if level > 0.0 { level } else { 0.0 };
            rounded.levels[i] = (if level < top { level } else { top }) as i32;
        }
        rounded
    }

    /// The number of the list for a vector.
    #[inline(always)]
    fn number<const DIM: usize, const LEVELS: usize, const FIRST: usize>(&self, k: usize) -> usize {
        let mut number = 0;
        let mut sure = true;
        for i in (k * DIM..(k + 1) * DIM).rev() {
            number = number * LEVELS + self.levels[i] as usize;
            sure &= self.sure[i];
        }
        number
            + if sure {
                0
            } else {
                Neighbours::<DIM, LEVELS, FIRST>::UNSURE
            }
    }
}

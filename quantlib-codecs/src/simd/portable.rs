//! Lanes in plain Rust, for every CPU: arrays that the compiler vectorizes as far as it can.

use super::lanes::Lanes;
use super::steps::Steps;
use super::vector::Vector;

const N: usize = 8;

/// Eight lanes without any special instruction.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Aligned, so that it is copied in as few moves as possible.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Eight<T>([T; N]);

/// Lanes that hold are all ones, the others zero, as SIMD comparisons give them.
type Mask = Eight<u32>;

/// Loops, not `from_fn` or `map`: a closure that is not inlined spoils everything.
macro_rules! each_lane {
    ($i:ident => $value:expr) => {{
        let first = {
            let $i = 0;
            $value
        };
        let mut lanes = [first; N];
        let mut $i = 1;
        while $i < N {
            lanes[$i] = $value;
            $i += 1;
        }
        Eight(lanes)
    }};
}

macro_rules! lane_operations {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty, $i:ident => $value:expr;)*) => {
        $(#[inline(always)] fn $name(self, $($arg: $type),*) -> $result { each_lane!($i => $value) })*
    };
}

fn mask(holds: bool) -> u32 {
    if holds { u32::MAX } else { 0 }
}

impl Lanes for Portable {
    type F = Eight<f32>;
    type I = Eight<i32>;
    type M = Mask;
    type Row = Self;
    type Single = Self;

    const N: usize = N;

    #[inline(always)]
    fn row(self) -> Self {
        self
    }

    #[inline(always)]
    fn single(self) -> Self {
        self
    }

    lane_operations! {
        fn add(a: Self::F, b: Self::F) -> Self::F, i => a.0[i] + b.0[i];
        fn sub(a: Self::F, b: Self::F) -> Self::F, i => a.0[i] - b.0[i];
        fn mul(a: Self::F, b: Self::F) -> Self::F, i => a.0[i] * b.0[i];
        fn div(a: Self::F, b: Self::F) -> Self::F, i => a.0[i] / b.0[i];
        fn sqrt(a: Self::F) -> Self::F, i => a.0[i].sqrt();
        fn abs(a: Self::F) -> Self::F, i => a.0[i].abs();
        fn neg(a: Self::F) -> Self::F, i => -a.0[i];
        fn max(a: Self::F, b: Self::F) -> Self::F, i => if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] };
        fn min(a: Self::F, b: Self::F) -> Self::F, i => if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] };
        fn lt(a: Self::F, b: Self::F) -> Mask, i => mask(a.0[i] < b.0[i]);
        fn le(a: Self::F, b: Self::F) -> Mask, i => mask(a.0[i] <= b.0[i]);
        fn eq(a: Self::F, b: Self::F) -> Mask, i => mask(a.0[i] == b.0[i]);
        fn and(a: Mask, b: Mask) -> Mask, i => a.0[i] & b.0[i];
        fn or(a: Mask, b: Mask) -> Mask, i => a.0[i] | b.0[i];
        fn not(a: Mask) -> Mask, i => !a.0[i];
        fn select(m: Mask, a: Self::F, b: Self::F) -> Self::F, i => if m.0[i] != 0 { a.0[i] } else { b.0[i] };
        fn select_i(m: Mask, a: Self::I, b: Self::I) -> Self::I, i => if m.0[i] != 0 { a.0[i] } else { b.0[i] };
        fn sub_i(a: Self::I, b: Self::I) -> Self::I, i => a.0[i].wrapping_sub(b.0[i]);
        fn min_i(a: Self::I, b: Self::I) -> Self::I, i => if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] };
        fn max_i(a: Self::I, b: Self::I) -> Self::I, i => if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] };
        fn and_i(a: Self::I, b: Self::I) -> Self::I, i => a.0[i] & b.0[i];
        fn eq_i(a: Self::I, b: Self::I) -> Mask, i => mask(a.0[i] == b.0[i]);
        fn bits(a: Self::F) -> Self::I, i => a.0[i].to_bits() as i32;
        fn to_float(a: Self::I) -> Self::F, i => a.0[i] as f32;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        Eight([x; N])
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        Eight([x; N])
    }

    #[inline(always)]
    fn step(self, x: Self::F, steps: &Steps) -> Self::F {
        let mut value = self.splat(steps.values[0]);
        for i in 0..15 {
            let reached = self.le(self.splat(steps.thresholds[i]), x);
            value = self.select(reached, self.splat(steps.values[i + 1]), value);
        }
        value
    }

    #[inline(always)]
    fn any(self, a: Mask) -> bool {
        let mut any = 0;
        for lane in a.0 {
            any |= lane;
        }
        any != 0
    }

    #[inline(always)]
    fn all(self, a: Mask) -> bool {
        let mut all = u32::MAX;
        for lane in a.0 {
            all &= lane;
        }
        all != 0
    }

    #[inline(always)]
    fn load_16<const LEN: usize>(self, rows: &[&[f32; LEN]], chunk: usize) -> [Self::F; 16] {
        let mut columns = [self.splat(0.0); 16];
        for (lane, row) in rows[..N].iter().enumerate() {
            let row = &row.as_chunks::<16>().0[chunk];
            for (column, x) in columns.iter_mut().zip(row) {
                column.0[lane] = *x;
            }
        }
        columns
    }

    #[inline(always)]
    fn read_at(self, from: &[f32]) -> Self::F {
        let mut lanes = [0.0; N];
        lanes.copy_from_slice(from);
        Eight(lanes)
    }

    #[inline(always)]
    fn store_at(self, a: Self::F, to: &mut [f32]) {
        to.copy_from_slice(&a.0);
    }

    #[inline(always)]
    fn store_i_at(self, a: Self::I, to: &mut [i32]) {
        to.copy_from_slice(&a.0);
    }
}

impl Vector for Portable {
    #[inline(always)]
    fn octets(self, [number, _]: [f32; 2]) -> Self::F {
        self.splat(number)
    }

    #[inline(always)]
    fn read_digits(self, [octet, _]: [&[i32; 8]; 2]) -> Self::I {
        Eight(*octet)
    }

    #[inline(always)]
    fn look_up(self, table: Self::F, index: Self::I) -> Self::F {
        each_lane!(i => table.0[index.0[i] as usize % N])
    }

    #[inline(always)]
    fn next_digit(self, a: Self::I) -> Self::I {
        each_lane!(i => (a.0[i] as u32 >> 4) as i32)
    }

    #[inline(always)]
    fn least_of_octet(self, a: Self::F) -> Self::F {
        self.least(a)
    }

    #[inline(always)]
    fn least(self, a: Self::F) -> Self::F {
        let mut least = a.0[0];
        for x in a.0 {
            least = if x < least { x } else { least };
        }
        self.splat(least)
    }

    #[inline(always)]
    fn bitmask(self, a: Mask) -> u32 {
        let mut bits = 0;
        for (i, lane) in a.0.iter().enumerate() {
            bits |= lane & (1 << i);
        }
        bits
    }

    #[inline(always)]
    fn read_i_at(self, from: &[i32]) -> Self::I {
        let mut lanes = [0; N];
        lanes.copy_from_slice(from);
        Eight(lanes)
    }
}

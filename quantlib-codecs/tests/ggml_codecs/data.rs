//! The inputs: named distributions of weights and of importance, the same bits on every platform.
//!
//! Only integer arithmetic and correctly rounded float operations are used, so no libm can differ.

/// SplitMix64: tiny, and fixed for ever by its three constants.
pub(crate) struct Random(u64);

impl Random {
    /// A generator whose sequence depends on every byte of `name` (FNV-1a).
    pub(crate) fn named(name: &str) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Finite floats, of all magnitudes alike.
    pub(crate) fn floats(mut self, len: usize) -> Vec<f32> {
        let any = std::iter::repeat_with(|| f32::from_bits(self.bits() as u32));
        any.filter(|x| x.is_finite()).take(len).collect()
    }

    /// Uniform in 0..n.
    fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Close to the standard normal: a sum of 12 uniforms, moved to mean 0.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn sign(&mut self) -> f64 {
        if self.bits() & 1 == 0 { 1.0 } else { -1.0 }
    }

    /// 2^n for n uniform in -range..=range.
    fn power_of_two(&mut self, range: i32) -> f64 {
        let n = self.below(2 * range as u64 + 1) as i32 - range;
        f64::from_bits(((1023 + n) as u64) << 52)
    }
}

/// A named way to fill an array; the function gets the index of the element.
pub(crate) struct Distribution {
    pub(crate) name: &'static str,
    element: fn(&mut Random, usize) -> f64,
}

impl Distribution {
    /// The first `len` elements: for ever the same for the same name.
    pub(crate) fn fill(&self, len: usize) -> Vec<f32> {
        let mut random = Random::named(self.name);
        (0..len)
            .map(|i| (self.element)(&mut random, i) as f32)
            .collect()
    }
}

/// A value that stays the same over each run of `run` elements.
fn per_run(i: usize, run: usize, salt: u64) -> Random {
    let mut random = Random((i / run) as u64 ^ (salt << 32));
    random.bits();
    random
}

macro_rules! distributions {
    ($($name:literal: |$random:ident, $i:ident| $element:expr;)*) => {
        &[$(Distribution { name: $name, element: {
            #[allow(unused_variables)]
            fn element($random: &mut Random, $i: usize) -> f64 { $element }
            element
        } }),*]
    };
}

/// What is quantized.
pub(crate) const WEIGHTS: &[Distribution] = distributions! {
    "normal 1e-6": |r, i| r.normal() * 1e-6;
    "normal 1e-4": |r, i| r.normal() * 1e-4;
    "normal 1e-2": |r, i| r.normal() * 1e-2;
    "normal 1": |r, i| r.normal();
    "normal 1e2": |r, i| r.normal() * 1e2;
    "normal 1e4": |r, i| r.normal() * 1e4;
    // Scales overflow f16.
    "normal 1e7": |r, i| r.normal() * 1e7;
    // Squares come close to the largest f32.
    "normal 1e17": |r, i| r.normal() * 1e17;
    // Around the thresholds below which the searches take a group for zeros.
    "normal 1e-8": |r, i| r.normal() * 1e-8;
    "normal 1e-15": |r, i| r.normal() * 1e-15;
    // Squares are denormal or vanish.
    "normal 1e-21": |r, i| r.normal() * 1e-21;
    // Reciprocals of scales overflow.
    "normal 1e-37": |r, i| r.normal() * 1e-37;
    "denormals": |r, i| r.sign() * f64::from(f32::from_bits(r.below(1 << 23) as u32));
    "zeros": |r, i| 0.0;
    "signed zeros": |r, i| r.sign() * 0.0;
    "constant": |r, i| 0.7;
    "constant negative": |r, i| -0.03;
    "constant groups": |r, i| per_run(i, 16, 1).normal();
    "constant blocks": |r, i| per_run(i, 32, 2).normal();
    "positive": |r, i| r.unit();
    "negative": |r, i| -r.unit();
    "offset": |r, i| 10.0 + 0.1 * r.normal();
    "offset negative": |r, i| -10.0 + 0.1 * r.normal();
    "ramp": |r, i| (i % 512) as f64 / 256.0 - 1.0;
    "heavy tails": |r, i| r.normal() / (r.unit() + 1e-3);
    "laplacian": |r, i| r.normal() * r.normal().abs() * r.unit();
    "outlier in 32": |r, i| if i % 32 == 5 { -40.0 } else { r.normal() };
    "outlier in 256": |r, i| if i % 256 == 200 { 1000.0 } else { r.normal() };
    "one element in 32": |r, i| if i % 32 == 17 { r.normal() } else { 0.0 };
    "all but one equal": |r, i| if i % 32 == 3 { 0.51 } else { 0.5 };
    "alternating": |r, i| if i.is_multiple_of(2) { 0.25 } else { -0.25 };
    "alternating normal": |r, i| r.normal().abs() * if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    "two values": |r, i| if r.bits().is_multiple_of(3) { 2.0 } else { -1.0 };
    "ternary": |r, i| (r.below(3) as f64 - 1.0) * 0.3;
    "sparse": |r, i| if r.below(10) == 0 { r.normal() } else { 0.0 };
    "sparse groups": |r, i| if per_run(i, 8, 3).below(2) == 0 { r.normal() } else { 0.0 };
    "sparse blocks": |r, i| if per_run(i, 32, 4).below(3) == 0 { r.normal() } else { 0.0 };
    // Ties of every rounding.
    "integers": |r, i| r.below(16) as f64 - 8.0;
    "halves": |r, i| (r.below(129) as f64 - 64.0) / 2.0;
    "powers of two": |r, i| r.sign() * r.power_of_two(8);
    "mixed scales": |r, i| r.normal() * per_run(i, 16, 5).power_of_two(12);
    "mixed scales in 8": |r, i| r.normal() * per_run(i, 8, 6).power_of_two(4);
    "wide": |r, i| r.normal() * r.power_of_two(40);
    "f16 values": |r, i| half::f16::from_f64(r.normal() * 0.02).to_f64();
    "bf16 values": |r, i| half::bf16::from_f64(r.normal() * 0.02).to_f64();
};

/// Weights so large that sums overflow on the way, for the types whose encoders in ggml survive
/// that: the searches of the codebooks abort the process.
pub(crate) const EXTREME_WEIGHTS: &[Distribution] = distributions! {
    "normal 1e20": |r, i| r.normal() * 1e20;
    "normal 1e37": |r, i| r.normal() * 1e37;
    "any finite": |r, i| loop {
        let x = f32::from_bits(r.bits() as u32);
        if x.is_finite() {
            break f64::from(x);
        }
    };
};

/// What the columns are weighted with.
pub(crate) const IMPORTANCE: &[Distribution] = distributions! {
    "ones": |r, i| 1.0;
    "uniform": |r, i| r.unit();
    // Mean squares of activations: skewed, with outlier columns.
    "activations": |r, i| { let x = r.normal() / (r.unit() + 0.05); x * x };
    "sparse": |r, i| if r.below(4) == 0 { r.unit() } else { 0.0 };
    "sparse groups": |r, i| if per_run(i, 16, 7).below(2) == 0 { r.unit() } else { 0.0 };
    "zeros": |r, i| 0.0;
    "huge": |r, i| r.unit() * 1e18;
    "tiny": |r, i| r.unit() * 1e-18;
    "wide": |r, i| r.power_of_two(30);
};

/// Random bytes with every bit pattern as likely.
pub(crate) fn bytes(name: &str, len: usize) -> Vec<u8> {
    let mut random = Random::named(name);
    let words = (0..len.div_ceil(8)).map(|_| random.bits().to_le_bytes());
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(len);
    bytes
}

/// Every pattern of two bytes, in order.
pub(crate) fn all_pairs_of_bytes() -> Vec<u8> {
    (0..=u16::MAX).flat_map(u16::to_le_bytes).collect()
}

/// Every f32 where the rounding to f16 or bf16 can change, with its two neighbours; NaNs included.
///
/// The values and ties of both types are multiples of 2^12 when read as integers.
pub(crate) fn rounding_edges() -> Vec<f32> {
    (0..1u32 << 20)
        .map(|edge| edge << 12)
        .flat_map(|edge| [edge.wrapping_sub(1), edge, edge + 1])
        .map(f32::from_bits)
        .collect()
}

//! Encoded rows and vectors to multiply.

use quantlib_codecs::{CodecOptions, DType, Isa};

/// The types that have a codec.
pub(crate) fn types() -> impl Iterator<Item = DType> {
    let all = DType::ALL.iter().copied();
    all.filter(|dtype| quantlib_codecs::has_codec(*dtype))
}

pub(crate) fn available_isas() -> impl Iterator<Item = Isa> {
    let all = Isa::ALL.iter().copied();
    all.filter(|isa| isa.is_available())
}

/// One thread.
pub(crate) fn on(isa: Isa) -> CodecOptions {
    let mut options = CodecOptions::default();
    options.threads = 1;
    options.isa = Some(isa);
    options
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.bits() as u8);
    }

    /// Near the standard normal distribution.
    pub(crate) fn normal(&mut self, len: usize) -> Vec<f32> {
        let mut unit = || (self.bits() >> 40) as f32 / (1u64 << 24) as f32;
        (0..len)
            .map(|_| (0..12).map(|_| unit()).sum::<f32>() - 6.0)
            .collect()
    }
}

/// A matrix in some encoding.
pub(crate) struct Rows {
    pub(crate) dtype: DType,
    pub(crate) cols: usize,
    pub(crate) data: Vec<u8>,
}

impl Rows {
    /// What an encoder makes of normally distributed weights.
    pub(crate) fn encoded(dtype: DType, rows: usize, cols: usize) -> Self {
        let weights = Random::new(dtype.id().into()).normal(rows * cols);
        let importance = vec![1.0; cols];
        let q = quantlib_codecs::quantize(&weights, cols, dtype, Some(&importance)).unwrap();
        Self {
            dtype,
            cols,
            data: q.into_data(),
        }
    }

    /// Random bytes, but no blocks with elements that are not numbers, or large ones: every code in
    /// every place, and every scale.
    pub(crate) fn random(dtype: DType, rows: usize, cols: usize) -> Self {
        let mut random = Random::new(u64::from(dtype.id()) << 32);
        let mut data = vec![0; rows * dtype.row_bytes(cols).unwrap()];
        for block in data.chunks_exact_mut(dtype.block_bytes()) {
            loop {
                random.bytes(block);
                let elements = quantlib_codecs::dequantize(block, dtype).unwrap();
                // Comparisons with NaNs are false.
                if elements.iter().all(|x| x.abs() < 1e4) {
                    break;
                }
            }
        }
        Self { dtype, cols, data }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.len(), self.cols]
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.data.len() / self.dtype.row_bytes(self.cols).unwrap()
    }

    pub(crate) fn decoded(&self) -> Vec<f32> {
        quantlib_codecs::dequantize(&self.data, self.dtype).unwrap()
    }

    /// With zeros for what some bytes of every block hold.
    fn without(&self, bytes: std::ops::Range<usize>) -> Self {
        let mut data = self.data.clone();
        for block in data.chunks_exact_mut(self.dtype.block_bytes()) {
            block[bytes.clone()].fill(0);
        }
        Self { data, ..*self }
    }

    /// The elements in two parts, so that neither has terms that cancel: what the scale gives, and
    /// what the minimum gives.
    pub(crate) fn parts(&self) -> [Vec<f32>; 2] {
        let (scale, min) = match self.dtype {
            DType::Q4_1 | DType::Q5_1 | DType::Q4K | DType::Q5K => (0..2, 2..4),
            DType::Q2K => (80..82, 82..84),
            _ => return [self.decoded(), vec![0.0; self.len() * self.cols]],
        };
        [self.without(min).decoded(), self.without(scale).decoded()]
    }
}

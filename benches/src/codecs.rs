//! Encoders and decoders of every type on every instruction set against ggml's, one thread.

use crate::data::{importance, normal};
use crate::ggml::Ggml;
use crate::timing::{Effort, Middle, in_turn, thread_time};
use quantlib::{CodecOptions, DType, Isa};

/// Where the data is, by its size: 512 KiB of floats, or far more than any cache holds.
#[derive(Clone, Copy)]
pub(crate) enum Where {
    Cache,
    Memory,
}

const COLS: usize = 4096;

impl Where {
    fn rows(self) -> usize {
        match self {
            Self::Cache => 32,
            Self::Memory => 1 << 14,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cache => "in cache",
            Self::Memory => "from memory",
        }
    }
}

/// What all tables share.
pub(crate) struct Codecs<'a> {
    pub(crate) ggml: &'a Ggml,
    pub(crate) isas: &'a [Isa],
    pub(crate) types: &'a [DType],
    pub(crate) effort: Effort,
}

pub(crate) fn options(isa: Option<Isa>, threads: usize) -> CodecOptions {
    let mut options = CodecOptions::default();
    options.threads = threads;
    options.isa = isa;
    options
}

impl Codecs<'_> {
    /// Prints the table of encoders.
    pub(crate) fn encode(&self, place: Where) {
        self.heading("encode to", place);
        let x = normal(place.rows() * COLS);
        let weights = importance(COLS);
        for &dtype in self.types {
            if !matches!(dtype, DType::Iq1S | DType::Iq2Xxs | DType::Iq2Xs) {
                self.encode_row(dtype.name(), dtype, &x, None);
            }
            if dtype.is_quantized() && !matches!(dtype, DType::Q8_1 | DType::Q8K) {
                let what = format!("{dtype}, importance");
                self.encode_row(&what, dtype, &x, Some(&weights));
            }
        }
    }

    fn encode_row(&self, what: &str, dtype: DType, x: &[f32], weights: Option<&[f32]>) {
        let blank = vec![0u8; dtype.tensor_bytes(&[x.len()]).unwrap()];
        let theirs = |out: &mut Vec<u8>| self.ggml.quantize(dtype, x, COLS, weights, out);
        let ours = |isa, out: &mut Vec<u8>| {
            let options = options(Some(isa), 1);
            quantlib::quantize_into(x.into(), COLS, dtype, weights, &options, out).unwrap();
        };
        self.row(what, x.len(), &blank, &theirs, &ours);
    }

    /// Prints the table of decoders.
    pub(crate) fn decode(&self, place: Where) {
        self.heading("decode from", place);
        let x = normal(place.rows() * COLS);
        let weights = importance(COLS);
        let blank = vec![0f32; x.len()];
        for &dtype in self
            .types
            .iter()
            .filter(|dtype| self.ggml.can_decode(**dtype))
        {
            let data = encoded(&x, x.len(), dtype, &weights);
            let theirs = |out: &mut Vec<f32>| self.ggml.dequantize(dtype, &data, out);
            let ours = |isa, out: &mut Vec<f32>| {
                quantlib::dequantize_into(&data, dtype, &options(Some(isa), 1), out).unwrap();
            };
            self.row(dtype.name(), x.len(), &blank, &theirs, &ours);
        }
    }

    fn heading(&self, what: &str, place: Where) {
        print!("\n| {what}, {} | ggml, M elements/s |", place.name());
        self.isas.iter().for_each(|isa| print!(" {isa} |"));
        println!("\n|---|---:|{}", "---:|".repeat(self.isas.len()));
    }

    /// Compares the results, then times, and prints the ratios.
    fn row<O: Clone + PartialEq>(
        &self,
        what: &str,
        elements: usize,
        blank: &O,
        theirs: &dyn Fn(&mut O),
        ours: &dyn Fn(Isa, &mut O),
    ) {
        let mut expected = blank.clone();
        theirs(&mut expected);
        for &isa in self.isas {
            let mut out = blank.clone();
            ours(isa, &mut out);
            assert!(out == expected, "{what} on {isa}: not ggml's result");
        }
        let mut outs = vec![expected; self.isas.len() + 1];
        let (first, rest) = outs.split_first_mut().unwrap();
        let mut ggml = || theirs(first);
        let mut each: Vec<_> = self
            .isas
            .iter()
            .zip(rest)
            .map(|(isa, out)| move || ours(*isa, out))
            .collect();
        let mut engines: Vec<&mut dyn FnMut()> = vec![&mut ggml];
        engines.extend(each.iter_mut().map(|engine| engine as &mut dyn FnMut()));
        let times = in_turn(&mut engines, self.effort, thread_time);
        let speed = elements as f64 / Middle::of(&times[0]).median / 1e6;
        print!("| {what} | {speed:.1} |");
        for ours in &times[1..] {
            print!(" {} |", Middle::ratio(&times[0], ours));
        }
        println!();
    }
}

/// `len` elements, whose rows repeat where the data is only to be long.
pub(crate) fn encoded(x: &[f32], len: usize, dtype: DType, weights: &[f32]) -> Vec<u8> {
    let rows = &x[..x.len().min(Where::Cache.rows() * COLS)];
    let data = quantlib::quantize(rows, COLS, dtype, Some(weights)).unwrap();
    data.data().repeat(len / rows.len())
}

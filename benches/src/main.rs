//! quantlib against its peers: first the results are compared, then both are timed in turn.
//!
//! `cargo run --release -p quantlib-bench [--quick] [PART…] [TYPE…]`: `encode` and `decode` against
//! ggml with data in the cache, `memory` the same with data far larger, `bandwidth` what of the memory's
//! speed is reached, `threads` what more of them are worth, `matvec` products with a vector against
//! ggml-cpu's, `candle` (with that feature) against candle, `machine` what the machine gives just now.
//! All parts and types if none is named.

mod bandwidth;
#[cfg(feature = "candle")]
mod candle;
mod codecs;
mod data;
mod ggml;
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../../quantlib-codecs/tests/matvec/ggml_cpu.rs"]
mod ggml_cpu;
mod machine;
mod matvec;
mod threads;
mod timing;

use codecs::{Codecs, Where};
use ggml::Ggml;
use quantlib::{DType, Isa};
use std::process::ExitCode;
use timing::Effort;

const PARTS: &[&str] = &[
    "encode",
    "decode",
    "memory",
    "bandwidth",
    "threads",
    "matvec",
    "candle",
    "machine",
];

/// Parts that take minutes.
const LONG: &[&str] = &["memory", "bandwidth"];

/// What the command line asks for.
struct Wish {
    parts: Vec<String>,
    types: Vec<DType>,
    quick: bool,
}

impl Wish {
    fn new(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut parts, mut types, mut quick) = (Vec::new(), Vec::new(), false);
        for word in words {
            if word == "--quick" {
                quick = true;
            } else if PARTS.contains(&&word[..]) {
                parts.push(word);
            } else if let Ok(dtype) = word.parse() {
                types.push(dtype);
            } else {
                return Err(format!(
                    "'{word}' is no type and no part; parts are {PARTS:?}"
                ));
            }
        }
        Ok(Self {
            parts,
            types,
            quick,
        })
    }

    /// `--quick` leaves out what takes longer, unless it is named.
    fn has(&self, part: &str) -> bool {
        let usual = !(self.quick && LONG.contains(&part));
        (self.parts.is_empty() && usual) || self.parts.iter().any(|wanted| wanted == part)
    }

    /// The types that were named, or else those of `usual`.
    fn types(&self, usual: impl Fn(DType) -> bool) -> Vec<DType> {
        if !self.types.is_empty() {
            return self.types.clone();
        }
        let all = DType::ALL.iter().copied();
        all.filter(|dtype| dtype.is_quantized() || matches!(dtype, DType::F16 | DType::BF16))
            .filter(|dtype| usual(*dtype) && (!self.quick || is_typical(*dtype)))
            .collect()
    }

    fn effort(&self) -> Effort {
        let (rounds, patience) = if self.quick { (5, 0.3) } else { (11, 5.0) };
        Effort { rounds, patience }
    }
}

/// One type of each kind.
fn is_typical(dtype: DType) -> bool {
    use DType::*;
    matches!(dtype, Q4_0 | Q8_0 | Q4K | Q6K | Iq4Xs | Iq3S | Mxfp4)
}

/// Types that are made in one pass, so that memory may be what they wait for.
fn is_one_pass(dtype: DType) -> bool {
    use DType::*;
    let legacy = matches!(dtype, Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0);
    legacy || matches!(dtype, F16 | BF16 | Q1_0 | Q2_0 | Tq1_0 | Tq2_0 | Mxfp4)
}

fn run(wish: &Wish) -> Result<(), String> {
    let ggml = Ggml::load()?;
    let isas: Vec<Isa> = Isa::ALL.to_vec();
    let isas: Vec<Isa> = isas.into_iter().filter(|isa| isa.is_available()).collect();
    let codecs = |isas, types| Codecs {
        ggml: &ggml,
        isas,
        types,
        effort: wish.effort(),
    };
    let every = wish.types(|_| true);
    if wish.has("machine") {
        machine::table(wish.effort());
    }
    if wish.has("encode") {
        codecs(&isas, &every).encode(Where::Cache);
    }
    if wish.has("decode") {
        codecs(&isas, &every).decode(Where::Cache);
    }
    if wish.has("memory") {
        let best = [Isa::preferred().map_err(|e| e.to_string())?];
        let types = wish.types(is_one_pass);
        codecs(&best, &types).encode(Where::Memory);
        codecs(&best, &every).decode(Where::Memory);
    }
    if wish.has("bandwidth") {
        let decoded = wish.types(|dtype| ggml.can_decode(dtype));
        bandwidth::tables(&decoded, &wish.types(is_one_pass), wish.effort());
    }
    if wish.has("threads") {
        let types = wish.types(|dtype| is_typical(dtype) && (!wish.quick || is_one_pass(dtype)));
        threads::table(&types, wish.effort());
    }
    if wish.has("matvec") {
        matvec::tables(&every, wish.quick, wish.effort());
    }
    #[cfg(feature = "candle")]
    if wish.has("candle") {
        candle::table(&every, wish.effort());
    }
    Ok(())
}

fn main() -> ExitCode {
    match Wish::new(std::env::args().skip(1)).and_then(|wish| run(&wish)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

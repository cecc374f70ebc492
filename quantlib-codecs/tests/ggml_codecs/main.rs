//! Every codec against ggml's own, bit for bit: live where ggml's library is found, and always
//! against golden hashes of what it wrote.
//!
//! `QUANTLIB_REGENERATE=1 cargo test --test ggml_codecs` writes the golden hashes anew from the
//! library that `scripts/get-ggml` fetches. A new codec is one line in the list at the end.

mod data;
mod engine;
mod golden;

use data::{Distribution, EXTREME_WEIGHTS, IMPORTANCE, Random, WEIGHTS};
use engine::{Engine, Ggml, Ours};
use quantlib_codecs::{DType, Isa};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Once;

/// Group → (case, bytes) in a fixed order.
type Outputs = BTreeMap<String, Vec<(String, Vec<u8>)>>;

/// What the codec of a type must do: checked, or, if asked, recorded from ggml.
fn follows_ggml(dtype: DType) {
    if std::env::var_os("QUANTLIB_REGENERATE").is_some() {
        let ggml = Ggml::find().expect("only ggml itself can regenerate golden hashes");
        return golden::write(dtype, &outputs(dtype, ggml));
    }
    let theirs = Ggml::find().map(|ggml| outputs(dtype, ggml));
    for isa in available_isas() {
        let ours = outputs(dtype, &Ours(isa));
        if let Some(theirs) = &theirs {
            compare(&format!("{dtype}, {isa}"), dtype, &ours, theirs);
        }
        golden::check(dtype, &ours);
    }
}

/// The instruction sets of this machine; says on standard error, once, which are left out.
fn available_isas() -> impl Iterator<Item = Isa> {
    static SAY: Once = Once::new();
    SAY.call_once(|| {
        for isa in Isa::ALL.iter().filter(|isa| !isa.is_available()) {
            // Not eprintln!, which the test runner swallows.
            writeln!(
                std::io::stderr(),
                "ggml codecs: {isa} SKIPPED, not on this CPU"
            )
            .ok();
        }
    });
    Isa::ALL.iter().copied().filter(|isa| isa.is_available())
}

/// Runs every case of a type.
fn outputs(dtype: DType, engine: &dyn Engine) -> Outputs {
    let mut outputs = Outputs::new();
    let extreme = if survives_overflow(dtype) {
        EXTREME_WEIGHTS
    } else {
        &[]
    };
    for weights in WEIGHTS.iter().chain(extreme) {
        let group = encode_group(dtype, weights, engine);
        outputs.insert(format!("encode {}", weights.name), group);
    }
    if !dtype.is_quantized() {
        let x = data::rounding_edges();
        let bytes = engine.encode(dtype, &x, x.len(), None);
        outputs.insert("encode rounding edges".into(), vec![("all".into(), bytes)]);
    }
    outputs.insert("decode".into(), decode_group(dtype, engine));
    outputs
}

/// Encodes one distribution in several shapes, without importance and with each kind of it.
fn encode_group(
    dtype: DType,
    weights: &Distribution,
    engine: &dyn Engine,
) -> Vec<(String, Vec<u8>)> {
    let mut group = Vec::new();
    for (rows, cols) in shapes(dtype, weights) {
        let x = weights.fill(rows * cols);
        if !needs_importance(dtype) && !aborts(dtype, &x, None) {
            let bytes = engine.encode(dtype, &x, cols, None);
            group.push((format!("{rows} x {cols}"), bytes));
        }
        for importance in IMPORTANCE {
            let w = importance.fill(cols);
            if !aborts(dtype, &x, Some(&w)) {
                let bytes = engine.encode(dtype, &x, cols, Some(&w));
                let case = format!("{rows} x {cols}, importance {}", importance.name);
                group.push((case, bytes));
            }
        }
    }
    group
}

/// A few rows of each distribution; single blocks, odd numbers of them, and long rows of some.
fn shapes(dtype: DType, weights: &Distribution) -> Vec<(usize, usize)> {
    let block = dtype.block_len();
    match weights.name {
        "normal 1" | "wide" => vec![(3, 512), (1, block), (5, 3 * block), (1, 8192)],
        _ => vec![(3, 512)],
    }
}

/// Whether ggml's encoder gets through sums that overflow.
fn survives_overflow(dtype: DType) -> bool {
    !dtype.name().starts_with("iq")
}

/// The types that ggml refuses to encode without importance.
fn needs_importance(dtype: DType) -> bool {
    matches!(dtype, DType::Iq2Xxs | DType::Iq2Xs | DType::Iq1S)
}

/// Whether ggml aborts the process, or may: its searches in codebooks compare weighted squared errors
/// and insist on finding a finite one.
fn aborts(dtype: DType, x: &[f32], importance: Option<&[f32]>) -> bool {
    use DType::{Iq1M, Iq1S, Iq2S, Iq2Xs, Iq2Xxs, Iq3S, Iq3Xxs};
    let max = |x: &[f32]| {
        x.iter()
            .fold(0.0, |max: f64, x| max.max(f64::from(x.abs())))
    };
    let x = max(x);
    let weight = importance.map_or(x * x, |w| max(w) * 2.0 * x);
    let error = match dtype {
        Iq1M | Iq1S => weight * x * x,
        Iq2S | Iq2Xs | Iq2Xxs | Iq3S | Iq3Xxs => weight.sqrt() * x * x,
        _ => return false,
    };
    16.0 * error > f64::from(f32::MAX)
}

/// Decodes random blocks, and for 2-byte types everything there is. ggml cannot decode Q8_1.
fn decode_group(dtype: DType, engine: &dyn Engine) -> Vec<(String, Vec<u8>)> {
    if dtype == DType::Q8_1 {
        return Vec::new();
    }
    let data = match dtype.block_bytes() {
        2 => data::all_pairs_of_bytes(),
        bytes => data::bytes(dtype.name(), 2000 * bytes),
    };
    let decoded = engine.decode(dtype, &data).into_iter();
    let bits = decoded.flat_map(|y| comparable_bits(dtype, y).to_le_bytes());
    vec![("random blocks".into(), bits.collect())]
}

/// The bits of a decoded element. Where a NaN came out of arithmetic, its sign and payload are the
/// processor's choice, so all such NaNs are one; plain floats keep theirs.
fn comparable_bits(dtype: DType, y: f32) -> u32 {
    if dtype.is_quantized() && y.is_nan() {
        f32::NAN.to_bits()
    } else {
        y.to_bits()
    }
}

/// Panics with the first differing block of every case that differs.
fn compare(what: &str, dtype: DType, ours: &Outputs, ggml: &Outputs) {
    let mut differences = Vec::new();
    for (name, group) in ours {
        for ((case, ours), (_, ggml)) in group.iter().zip(&ggml[name]) {
            if let Some(difference) = first_difference(dtype, name, ours, ggml) {
                differences.push(format!("{name}, {case}: {difference}"));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{what}: {} cases differ from ggml\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn first_difference(dtype: DType, name: &str, ours: &[u8], ggml: &[u8]) -> Option<String> {
    let unit = if name == "decode" {
        4
    } else {
        dtype.block_bytes()
    };
    let (ours, ggml) = (ours.chunks(unit), ggml.chunks(unit));
    assert_eq!(ours.len(), ggml.len());
    let count = ours
        .clone()
        .zip(ggml.clone())
        .filter(|(a, b)| a != b)
        .count();
    let (at, (a, b)) = ours.zip(ggml).enumerate().find(|(_, (a, b))| a != b)?;
    Some(format!(
        "{count} differ, the first is {at}\n  ours {a:02x?}\n  ggml {b:02x?}"
    ))
}

/// Where ggml aborts, ours writes something, without a panic.
#[test]
fn overflowing_errors_do_no_harm() {
    for dtype in DType::ALL.iter().filter(|t| t.is_quantized()) {
        let x = Random::named(dtype.name()).floats(2 * dtype.block_len());
        for ours in Isa::ALL
            .iter()
            .filter(|isa| isa.is_available())
            .map(|isa| Ours(*isa))
        {
            for w in [1e-38, 1.0, 1e38] {
                ours.encode(*dtype, &x, x.len(), Some(&vec![w; x.len()]));
            }
            if !needs_importance(*dtype) {
                ours.encode(*dtype, &x, x.len(), None);
            }
        }
    }
}

#[test]
fn the_same_types_need_importance() {
    for dtype in DType::ALL.iter().filter(|t| t.ggml_id().is_some()) {
        let needed = needs_importance(*dtype);
        if let Some(ggml) = Ggml::find() {
            assert_eq!(ggml.needs_importance(*dtype), needed, "{dtype}");
        }
        let x = vec![0.5; dtype.block_len()];
        if quantlib_codecs::dequantize(&[], *dtype).is_ok() {
            let ours = quantlib_codecs::quantize(&x, x.len(), *dtype, None);
            assert_eq!(ours.is_err(), needed, "{dtype}");
        }
    }
}

/// One test a type.
macro_rules! follow_ggml {
    ($($name:ident => $dtype:ident,)*) => {
        $(#[test] fn $name() { follows_ggml(DType::$dtype); })*

        #[test]
        fn every_codec_is_tested() {
            let tested = [$(DType::$dtype),*];
            for dtype in DType::ALL {
                let has_codec = quantlib_codecs::dequantize(&[], *dtype).is_ok();
                assert_eq!(has_codec, tested.contains(dtype), "{dtype}");
            }
        }
    };
}

follow_ggml! {
    f32 => F32,
    f16 => F16,
    q4_0 => Q4_0,
    q4_1 => Q4_1,
    q5_0 => Q5_0,
    q5_1 => Q5_1,
    q8_0 => Q8_0,
    q8_1 => Q8_1,
    q2_k => Q2K,
    q3_k => Q3K,
    q4_k => Q4K,
    q5_k => Q5K,
    q6_k => Q6K,
    q8_k => Q8K,
    iq2_xxs => Iq2Xxs,
    iq2_xs => Iq2Xs,
    iq3_xxs => Iq3Xxs,
    iq1_s => Iq1S,
    iq4_nl => Iq4Nl,
    iq3_s => Iq3S,
    iq2_s => Iq2S,
    iq4_xs => Iq4Xs,
    iq1_m => Iq1M,
    bf16 => BF16,
    tq1_0 => Tq1_0,
    tq2_0 => Tq2_0,
    mxfp4 => Mxfp4,
    nvfp4 => Nvfp4,
    q1_0 => Q1_0,
    q2_0 => Q2_0,
}

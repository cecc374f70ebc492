//! Every instruction set of this machine against the scalar reference, where `ggml_codecs` does not
//! look: every number of blocks around the lanes, rows that cross tiles, and any bits that are floats.

use proptest::prelude::*;
use quantlib_codecs::{CodecOptions, DType, ErrorKind, Isa};

/// The types whose encoders are not the same code on every instruction set.
const TYPES: &[DType] = &[
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q2K,
    DType::Q3K,
    DType::Q4K,
    DType::Q5K,
    DType::Q6K,
    DType::Iq1S,
    DType::Iq1M,
    DType::Iq2Xxs,
    DType::Iq2Xs,
    DType::Iq2S,
    DType::Iq3Xxs,
    DType::Iq3S,
    DType::Iq4Nl,
    DType::Iq4Xs,
    DType::Q8_0,
    DType::Q8_1,
    DType::Q8K,
    DType::Tq1_0,
    DType::Tq2_0,
    DType::Mxfp4,
    DType::Nvfp4,
    DType::Q1_0,
    DType::Q2_0,
    DType::F16,
    DType::BF16,
];
/// Elements of a super-block: a whole number of blocks of every type.
const BLOCK: usize = 256;

fn encode(isa: Isa, dtype: DType, x: &[f32], cols: usize, importance: Option<&[f32]>) -> Vec<u8> {
    let mut options = CodecOptions::default();
    options.threads = 1;
    options.isa = Some(isa);
    let mut out = vec![0xa5; x.len() / dtype.block_len() * dtype.block_bytes()];
    quantlib_codecs::quantize_into(x.into(), cols, dtype, importance, &options, &mut out).unwrap();
    out
}

/// Those to compare with the reference.
fn fast_isas() -> impl Iterator<Item = Isa> {
    let all = Isa::ALL.iter().copied();
    all.filter(|isa| *isa != Isa::Scalar && isa.is_available())
}

fn check(x: &[f32], cols: usize, importance: &[f32]) {
    check_types(TYPES.iter(), x, cols, importance);
}

fn check_types<'a>(
    types: impl Iterator<Item = &'a DType>,
    x: &[f32],
    cols: usize,
    importance: &[f32],
) {
    for &dtype in types {
        // These have no encoder without importance.
        let needs_importance = matches!(dtype, DType::Iq1S | DType::Iq2Xxs | DType::Iq2Xs);
        let without = (!needs_importance).then_some(None);
        for importance in without.into_iter().chain([Some(importance)]) {
            let expected = encode(Isa::Scalar, dtype, x, cols, importance);
            for isa in fast_isas() {
                let ours = encode(isa, dtype, x, cols, importance);
                let bytes = dtype.block_bytes();
                let mut blocks = ours.chunks(bytes).zip(expected.chunks(bytes));
                let differing = blocks.position(|(ours, expected)| ours != expected);
                let with = importance.is_some();
                assert_eq!(differing, None, "{dtype} on {isa}, importance: {with}");
            }
        }
    }
}

/// Values from -1 to 1 in no obvious order, and some larger ones.
fn weights(len: usize) -> Vec<f32> {
    let value = |i: usize| ((i * i * 7 + i * 13) % 20_011) as f32 / 10_005.5 - 1.0;
    let weight = |i: usize| {
        if i.is_multiple_of(89) {
            7.0 * value(i)
        } else {
            value(i)
        }
    };
    (0..len).map(weight).collect()
}

fn importance(cols: usize) -> Vec<f32> {
    (0..cols).map(|i| (i * i % 37) as f32 + 0.25).collect()
}

#[test]
fn every_number_of_blocks_is_encoded_alike() {
    let x = weights(40 * BLOCK);
    for blocks in 1..=40 {
        // One row, and rows of one block.
        let x = &x[..blocks * BLOCK];
        check(x, blocks * BLOCK, &importance(blocks * BLOCK));
        check(x, BLOCK, &importance(BLOCK));
    }
}

#[test]
fn every_number_of_small_blocks_is_encoded_alike() {
    let x = weights(70 * 32);
    for blocks in 1..=70 {
        let types = TYPES.iter().filter(|dtype| dtype.block_len() == 32);
        check_types(types, &x[..blocks * 32], 32, &importance(32));
    }
}

#[test]
fn rows_may_cross_tiles() {
    for (rows, per_row) in [(13, 3), (7, 5), (5, 7), (3, 11), (2, 33)] {
        let x = weights(rows * per_row * BLOCK);
        check(&x, per_row * BLOCK, &importance(per_row * BLOCK));
    }
}

/// Data in which much is equal, zero or at the ends of what floats can be.
fn degenerate(kind: usize, i: usize) -> f32 {
    let hash = (i as u32).wrapping_mul(2_654_435_761) >> 16;
    match kind {
        // Few levels, zeros of both signs among them.
        0 => [0.0, -0.0, 1.0, -1.0][hash as usize % 4],
        1 => (hash % 8) as f32 - 3.5,
        2 => (hash % 64) as f32 / 64.0,
        // Whole groups of equal elements, and of zeros.
        3 => [0.0, 0.25, -0.25][i / 16 % 3],
        4 if hash.is_multiple_of(10) => 1.0,
        4 => 0.0,
        // Nothing, denormal, and too large to be squared.
        5 => 1e-9 * (hash % 100) as f32,
        6 => f32::from_bits(hash % 1000),
        _ => 1e30 * ((hash % 100) as f32 - 50.0),
    }
}

#[test]
fn degenerate_data_is_encoded_alike() {
    let len = 33 * BLOCK;
    for kind in 0..8 {
        let x: Vec<f32> = (0..len).map(|i| degenerate(kind, i)).collect();
        let sparse = (0..BLOCK).map(|i| (i * i % 3) as f32).collect();
        for importance in [importance(BLOCK), sparse, vec![0.0; BLOCK]] {
            check(&x, BLOCK, &importance);
        }
    }
}

#[test]
fn extreme_groups_are_encoded_alike() {
    for unit in [f32::MIN_POSITIVE, 1e-30, 3e-10, 1e8, 1.441_151_9e17, 1e30] {
        let mixed: Vec<f32> = weights(BLOCK).iter().map(|x| x * unit).collect();
        check(&mixed, BLOCK, &importance(BLOCK));
        check(&[unit; BLOCK], BLOCK, &importance(BLOCK));
        // Weights of zero, so that neighbours tie, and one element far beyond the rest.
        let mut far = mixed.clone();
        far[37] = -2000.0 * unit;
        let mut sparse = importance(BLOCK);
        sparse.iter_mut().skip(1).step_by(3).for_each(|w| *w = 0.0);
        sparse[37] = 0.0;
        check(&far, BLOCK, &sparse);
        check(&far, BLOCK, &[0.0; BLOCK]);
    }
}

#[test]
fn the_preferred_one_is_available() {
    assert!(Isa::preferred().unwrap().is_available());
    assert!(Isa::Scalar.is_available() && Isa::Portable.is_available());
}

#[test]
fn names_are_read_back() {
    for isa in Isa::ALL {
        assert_eq!(isa.name().parse::<Isa>().unwrap(), *isa);
    }
    let error = "sse9".parse::<Isa>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("portable"), "{error}");
}

#[test]
fn what_the_cpu_lacks_is_unsupported() {
    for isa in Isa::ALL.iter().filter(|isa| !isa.is_available()) {
        let mut options = CodecOptions::default();
        options.isa = Some(*isa);
        let x = [0.0; BLOCK];
        let mut out = [0; 144];
        let error = quantlib_codecs::quantize_into(
            x[..].into(),
            BLOCK,
            DType::Q4K,
            None,
            &options,
            &mut out,
        );
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported, "{isa}");
    }
}

/// Any finite bits, in super-blocks each of which keeps to a range of exponents of its own: were
/// they all spread over the whole range, one element would decide everything.
fn super_blocks() -> impl Strategy<Value = Vec<f32>> {
    let super_block = (0u32..255, 0u32..32).prop_flat_map(|(low, spread)| {
        prop::collection::vec(
            (any::<u32>(), low..=(low + spread).min(254)).prop_map(|(bits, exponent)| {
                f32::from_bits((bits & 0x807f_ffff) | (exponent << 23))
            }),
            BLOCK,
        )
    });
    prop::collection::vec(super_block, 1..4).prop_map(|blocks| blocks.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_finite_bits_are_encoded_alike(x in super_blocks(), weights in super_blocks()) {
        let weights: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
        check(&x, BLOCK, &weights[..BLOCK]);
    }
}

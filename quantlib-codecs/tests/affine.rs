//! Planar formats against what MLX, onnxruntime and NNCF wrote (tests/peers/golden_affine.py), on every
//! instruction set of this machine, and against themselves.

#[path = "../../quantlib/tests/report/mod.rs"]
mod report;

use half::{bf16, f16};
use quantlib_codecs::affine::{AffineWish, Clip, GlobalScale, Group};
use quantlib_codecs::planar::{AffineEncoder, AffinePlanesMut, AffineScratch, AffineStatistics};
use quantlib_codecs::{
    AffineLayout, AffineSpec, CodecOptions, DType, ErrorKind, Floats, Isa, NonFinite,
    dequantize_affine_into, quantize_affine, quantize_affine_into,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;

/// One entry of a golden file.
#[derive(Debug, Deserialize)]
struct Case {
    layout: String,
    bits: u8,
    group_size: Option<usize>,
    axis: Option<isize>,
    symmetric: bool,
    global_scale: Option<f32>,
    source: DType,
    shape: [usize; 2],
    sha256: String,
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

impl Case {
    fn spec(&self) -> AffineSpec {
        let wish = AffineWish {
            bits: self.bits,
            group: match (self.group_size, self.axis) {
                (_, None) => Group::Tensor,
                (None, _) => Group::Axis,
                (Some(n), _) => Group::Blocks(n),
            },
            axis: self.axis.unwrap_or(-1),
            symmetric: self.symmetric,
            scale: None,
            clip: Clip::None,
        };
        let mut spec = AffineSpec::for_layout(&self.layout, &wish, self.source).unwrap();
        let scale = self.global_scale.map(GlobalScale::new);
        spec.global_scale = scale.transpose().unwrap();
        spec
    }

    fn sets(&self) -> impl Iterator<Item = &'static str> {
        let wraps = matches!(&self.layout[..], "mxfp4" | "mxfp8" | "nvfp4");
        SETS.into_iter()
            .filter(move |set| !(wraps && *set == "tiny"))
    }
}

const SETS: [&str; 6] = ["uniform", "wide", "degenerate", "halves", "offset", "tiny"];

fn splitmix(x: u64) -> u64 {
    let x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The arrays of golden_affine.py.
fn array(set: &str, [rows, cols]: [usize; 2]) -> Vec<f32> {
    let seed = (SETS.iter().position(|s| *s == set).unwrap() as u64) << 32;
    let bits = |row: usize, col: usize| splitmix((row * cols + col) as u64 + seed);
    let unit = |row, col| (bits(row, col) >> 40) as f32 * 2f32.powi(-23) - 1.0;
    let exponent = |row: usize| (splitmix(row as u64 + seed + (1 << 31)) >> 59) as i32;
    let element = |i: usize| {
        let (row, col) = (i / cols, i % cols);
        let x = unit(row, col);
        match set {
            "uniform" => x,
            "wide" => x * 2f32.powi(exponent(row) - 20),
            "degenerate" => match row % 4 {
                0 => x * 0.0,
                1 => unit(row, 0),
                2 => -x.abs(),
                _ => x.abs(),
            },
            "halves" => ((bits(row, col) >> 59) as f32 - 16.0) / 2.0,
            "offset" => x + 1000.0,
            _ => (f64::from(x) * 2f64.powi(-100 - exponent(row))) as f32,
        }
    };
    (0..rows * cols).map(element).collect()
}

/// Floats of one of the types.
enum Array {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
}

impl Array {
    fn new(x: Vec<f32>, dtype: DType) -> Self {
        match dtype {
            DType::F16 => Self::F16(x.into_iter().map(f16::from_f32).collect()),
            DType::BF16 => Self::BF16(x.into_iter().map(bf16::from_f32).collect()),
            _ => Self::F32(x),
        }
    }

    fn floats(&self) -> Floats<'_> {
        match self {
            Self::F32(x) => Floats::F32(x),
            Self::F16(x) => Floats::F16(x),
            Self::BF16(x) => Floats::BF16(x),
        }
    }
}

/// Codes, scales, zeros.
type Planes = [Vec<u8>; 3];

fn room(layout: &AffineLayout) -> Planes {
    let zeros = layout.zeros().map_or(0, |plane| plane.bytes);
    [layout.codes().bytes, layout.scales().bytes, zeros].map(|bytes| vec![0xa5; bytes])
}

fn borrow([codes, scales, zeros]: &mut Planes) -> AffinePlanesMut<'_> {
    AffinePlanesMut {
        codes,
        scales,
        zeros,
    }
}

fn encode(x: &Array, shape: &[usize], spec: &AffineSpec, options: &CodecOptions) -> Planes {
    let layout = AffineLayout::new(spec, shape).unwrap();
    let mut planes = room(&layout);
    quantize_affine_into(x.floats(), &layout, options, borrow(&mut planes)).unwrap();
    planes
}

fn with(isa: Isa, threads: usize) -> CodecOptions {
    let mut options = CodecOptions::default();
    options.isa = Some(isa);
    options.threads = threads;
    options
}

/// The instruction sets of this machine; says which it has not.
fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.iter().copied().filter(|isa| {
        if !isa.is_available() {
            report::not_run(&format!("planar formats on {isa}: this CPU has it not"));
        }
        isa.is_available()
    })
}

fn check_golden(peer: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/data/golden/affine")
        .join(format!("{peer}.json"));
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for isa in isas() {
        let mut wrong = Vec::new();
        for case in &golden.cases {
            let mut hash = Sha256::new();
            for set in case.sets() {
                let x = Array::new(array(set, case.shape), case.source);
                for plane in encode(&x, &case.shape, &case.spec(), &with(isa, 1)) {
                    hash.update(plane);
                }
            }
            let hash: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
            if hash != case.sha256 {
                wrong.push(case);
            }
        }
        let count = golden.cases.len();
        assert!(
            wrong.is_empty(),
            "{isa}: {} of {count}: {wrong:#?}",
            wrong.len()
        );
    }
}

#[test]
fn equals_mlx() {
    check_golden("mlx");
}

#[test]
fn equals_onnxruntime() {
    check_golden("onnxruntime");
}

#[test]
fn equals_nncf() {
    check_golden("nncf");
}

/// Every preset, in shapes where tiles, bytes and groups do not end together.
fn presets() -> Vec<(AffineSpec, Vec<usize>)> {
    use Group::{Axis, Blocks, Tensor};
    let f16 = DType::F16;
    let mut presets = vec![
        (AffineSpec::mlx(3, 32, f16), vec![700, 96]),
        (AffineSpec::mlx(6, 64, DType::F32), vec![3, 100, 128]),
        (AffineSpec::mlx_float("nvfp4").unwrap(), vec![900, 64]),
        (AffineSpec::mlx_float("mxfp8").unwrap(), vec![900, 64]),
    ];
    let mut relative = AffineSpec::mlx_float("nvfp4").unwrap();
    relative.global_scale = Some(GlobalScale::new(1.0).unwrap());
    presets.push((relative, vec![900, 64]));
    for name in ["nf4", "fp4"] {
        let spec = AffineSpec::bnb4(name, 64, f16).unwrap();
        presets.push((spec.clone(), vec![31, 33, 3]));
        presets.push((spec, vec![40, 32]));
    }
    for name in ["fp8-e4m3", "fp8-e5m2"] {
        for (group, axis) in [(Tensor, 0), (Axis, 1), (Axis, -1), (Blocks(10), 1)] {
            let spec = AffineSpec::fp8(name, group, axis, DType::F32).unwrap();
            presets.push((spec, vec![5, 103, 77]));
        }
    }
    for mode in ["nf4", "fp4", "fp8", "mxfp4", "mxfp8"] {
        let spec = AffineSpec::openvino_float(mode, Blocks(16), 1).unwrap();
        presets.push((spec, vec![8, 96, 64]));
    }
    for symmetric in [false, true] {
        for bits in [2, 4, 8] {
            let spec = AffineSpec::matmul_nbits(bits, 32, symmetric, f16);
            presets.push((spec.clone(), vec![400, 99]));
            presets.push((spec, vec![400, 256]));
        }
        for bits in [1, 2, 3, 4, 5, 6, 7, 8, 16] {
            for (group, axis) in [
                (Tensor, 0),
                (Axis, 0),
                (Axis, 1),
                (Axis, -1),
                (Blocks(10), 1),
            ] {
                let mut spec = AffineSpec::qdq(bits, group, axis, symmetric, DType::F32);
                spec.formula = quantlib_codecs::affine::Formula::OrtQdq;
                presets.push((spec.clone(), vec![5, 103, 77]));
            }
        }
        for bits in [1, 3, 4, 6, 8] {
            let spec = AffineSpec::openvino(bits, Blocks(16), 1, symmetric);
            presets.push((spec, vec![8, 96, 64]));
            // Codes that fill no whole units of OpenVINO's split layouts.
            for (group, axis) in [(Tensor, 0), (Axis, 0), (Axis, 1), (Blocks(7), 1)] {
                let spec = AffineSpec::openvino(bits, group, axis, symmetric);
                presets.push((spec, vec![5, 49, 9]));
            }
        }
    }
    presets
}

#[test]
fn tiles_and_threads_change_nothing() {
    for (spec, shape) in presets() {
        let x = Array::new(array("uniform", [1, shape.iter().product()]), DType::F32);
        let whole = encode(&x, &shape, &spec, &with(Isa::Portable, 1));
        let parallel = encode(&x, &shape, &spec, &with(Isa::Portable, 3));
        assert!(whole == parallel, "threads: {spec:?}");
        assert!(whole == in_tiles(&x, &shape, &spec), "tiles: {spec:?}");
    }
}

/// Encodes tile by tile, the last tile first.
fn in_tiles(x: &Array, shape: &[usize], spec: &AffineSpec) -> Planes {
    let options = CodecOptions::default();
    let layout = AffineLayout::new(spec, shape).unwrap();
    let mut statistics = AffineStatistics::new(&layout, DType::F32);
    let Array::F32(x) = x else { unreachable!() };
    while statistics.wants_pass() {
        for (i, part) in x.chunks(1000).enumerate().rev() {
            statistics.observe(1000 * i, part.into(), &options).unwrap();
        }
        statistics.end_pass().unwrap();
    }
    let encoder = AffineEncoder::new(&layout, &options, statistics).unwrap();
    let mut planes = room(&layout);
    encoder.store_shared(&mut borrow(&mut planes));
    let step = layout.align() * 3;
    let mut scratch = AffineScratch::default();
    for first in (0..layout.units()).step_by(step).rev() {
        let units = first..(first + step).min(layout.units());
        let place = layout.place(units.clone()).unwrap();
        let [codes, scales, zeros] = &mut planes;
        let tile = AffinePlanesMut {
            codes: &mut codes[place.codes],
            scales: &mut scales[place.scales],
            zeros: &mut zeros[place.zeros],
        };
        let src = x[place.elements].into();
        encoder.encode(units, src, tile, &mut scratch).unwrap();
    }
    planes
}

#[test]
fn decoding_is_within_a_step() {
    for (spec, shape) in presets() {
        let x = array("uniform", [1, shape.iter().product()]);
        let q = quantize_affine(x[..].into(), &shape, &spec).unwrap();
        // From -1 to 1: at most a step of the scale, the symmetric edge that is cut off included.
        let step = 2.0 / (2f32.powi(i32::from(spec.bits)) - 1.0).max(1.0);
        let step = match spec.element {
            quantlib_codecs::affine::Element::E2M1 => 0.4,
            quantlib_codecs::affine::Element::E4M3 => 0.07,
            quantlib_codecs::affine::Element::E5M2 => 0.08,
            quantlib_codecs::affine::Element::Nf4 => 0.16,
            quantlib_codecs::affine::Element::Fp4 => 0.17,
            _ => step * 1.01 + 0.002,
        };
        let worst = x
            .iter()
            .zip(q.dequantize().unwrap())
            .map(|(x, y)| (x - y).abs());
        let worst = worst.fold(0.0, f32::max);
        assert!(worst <= step, "{worst} > {step}: {spec:?}");
        let layout = q.layout();
        for isa in isas() {
            let mut out = vec![f32::NAN; x.len()];
            dequantize_affine_into(layout, q.planes(), &with(isa, 2), &mut out).unwrap();
            assert!(out == q.dequantize().unwrap(), "{isa}: {spec:?}");
        }
    }
}

/// The lengths that OpenVINO gives constants of these types.
#[test]
fn split_codes_take_whole_units() {
    let lengths = |bits: u8| {
        let spec = AffineSpec::openvino(bits, Group::Tensor, 0, true);
        [1, 4, 5, 8, 9, 12, 13, 16, 17]
            .map(|n| AffineLayout::new(&spec, &[n]).unwrap().codes().bytes)
    };
    assert_eq!(lengths(3), [3, 3, 3, 3, 6, 6, 6, 6, 9]);
    assert_eq!(lengths(6), [3, 3, 6, 6, 9, 9, 12, 12, 15]);
    assert_eq!(lengths(4), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// Half an element more than whole bytes: the last code's neighbour is that of zero.
#[test]
fn the_last_byte_of_nf4_ends_with_zero() {
    let x = [1.0f32, -1.0, 0.5];
    for (name, last) in [("nf4", 0xC7), ("fp4", 0x50)] {
        let spec = AffineSpec::bnb4(name, 64, DType::F32).unwrap();
        let q = quantize_affine(x[..].into(), &[3, 1], &spec).unwrap();
        assert_eq!(q.codes().last(), Some(&last), "{name}");
        assert_eq!(q.scales(), 1f32.to_le_bytes());
    }
}

#[test]
fn empty_tensors_have_empty_planes() {
    for shape in [vec![0, 64], vec![3, 0], vec![0]] {
        for spec in [
            AffineSpec::mlx(4, 32, DType::F32),
            AffineSpec::qdq(4, Group::Blocks(32), -1, false, DType::F32),
        ] {
            let q = quantize_affine(Floats::F32(&[]), &shape, &spec).unwrap();
            assert!(q.codes().is_empty() && q.dequantize().unwrap().is_empty());
        }
    }
    let spec = AffineSpec::qdq(8, Group::Tensor, 0, false, DType::F32);
    assert!(quantize_affine(Floats::F32(&[]), &[0], &spec).is_ok());
}

#[test]
fn refusals() {
    let x = [0.5f32; 128];
    let kind = |spec: &AffineSpec, shape: &[usize]| {
        quantize_affine(x[..].into(), shape, spec)
            .unwrap_err()
            .kind()
    };
    let mlx = AffineSpec::mlx(4, 64, DType::F32);
    assert_eq!(kind(&mlx, &[2, 32]), ErrorKind::Misuse);
    assert_eq!(kind(&mlx, &[3, 64]), ErrorKind::Misuse);
    assert_eq!(kind(&mlx, &[usize::MAX, 64]), ErrorKind::Limit);
    let with = |change: fn(&mut AffineSpec)| {
        let mut spec = mlx.clone();
        change(&mut spec);
        kind(&spec, &[2, 64])
    };
    assert_eq!(with(|spec| spec.bits = 0), ErrorKind::Misuse);
    assert_eq!(with(|spec| spec.bits = 200), ErrorKind::Misuse);
    assert_eq!(with(|spec| spec.axis = isize::MIN), ErrorKind::Misuse);
    assert_eq!(with(|spec| spec.axis = 0), ErrorKind::Misuse);
    assert_eq!(with(|spec| spec.scale = DType::I8), ErrorKind::Misuse);
    assert_eq!(
        with(|spec| spec.group = Group::Blocks(usize::MAX)),
        ErrorKind::Limit
    );
    let formula = quantlib_codecs::affine::Formula::Nncf;
    let mut spec = mlx.clone();
    spec.formula = formula;
    assert_eq!(kind(&spec, &[2, 64]), ErrorKind::Unsupported);
}

#[test]
fn not_finite_elements() {
    let mut x = vec![1.0f32; 128];
    x[70] = f32::INFINITY;
    for spec in [
        AffineSpec::mlx(4, 64, DType::F32),
        AffineSpec::qdq(8, Group::Tensor, 0, false, DType::F32),
    ] {
        let error = quantize_affine(x[..].into(), &[2, 64], &spec).unwrap_err();
        assert!(error.to_string().contains("element 70 is inf"), "{error}");
        let mut options = CodecOptions::default();
        options.non_finite = NonFinite::Zero;
        let zeroed = Array::F32(
            x.iter()
                .map(|x| if x.is_finite() { *x } else { 0.0 })
                .collect(),
        );
        let x = Array::F32(x.clone());
        let ours = encode(&x, &[2, 64], &spec, &options);
        assert_eq!(ours, encode(&zeroed, &[2, 64], &spec, &options));
    }
}

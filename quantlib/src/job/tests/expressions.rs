//! Random expressions, evaluated in random pieces, against the whole evaluated naively.

use super::{Random, Tensor, model};
use crate::dtype::DType;
use crate::job::evaluate::Source;
use crate::job::products::Memo;
use crate::model::{Expr, Product};
use half::{bf16, f16};
use proptest::prelude::*;

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// A tensor as a list of its blocks, row-major.
#[derive(Clone)]
struct Naive {
    dtype: DType,
    shape: Vec<usize>,
    blocks: Vec<Vec<u8>>,
}

fn encode(dtype: DType, x: f32) -> Vec<u8> {
    match dtype {
        DType::F32 => x.to_le_bytes().to_vec(),
        DType::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
        DType::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
        other => panic!("{other} is no plain float"),
    }
}

fn decode(dtype: DType, block: &[u8]) -> f32 {
    match dtype {
        DType::F32 => f32::from_le_bytes(block.try_into().unwrap()),
        DType::F16 => f16::from_le_bytes(block.try_into().unwrap()).to_f32(),
        DType::BF16 => bf16::from_le_bytes(block.try_into().unwrap()).to_f32(),
        other => panic!("{other} is no plain float"),
    }
}

impl Naive {
    fn map(self, dtype: DType, function: impl Fn(f32) -> f32) -> Self {
        let blocks = self.blocks.iter();
        let blocks = blocks.map(|block| encode(dtype, function(decode(self.dtype, block))));
        Self {
            dtype,
            blocks: blocks.collect(),
            shape: self.shape,
        }
    }

    fn rows(&self) -> usize {
        self.shape
            .split_last()
            .map_or(1, |(_, outer)| outer.iter().product())
    }

    fn transpose(self, axes: &[usize]) -> Self {
        let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        let blocks = (0..self.blocks.len()).map(|flat| {
            let (mut rest, mut index) = (flat, vec![0; shape.len()]);
            for dim in (0..shape.len()).rev() {
                index[axes[dim]] = rest % shape[dim];
                rest /= shape[dim];
            }
            let from = index
                .iter()
                .zip(&self.shape)
                .fold(0, |at, (i, len)| at * len + i);
            self.blocks[from].clone()
        });
        Self {
            dtype: self.dtype,
            blocks: blocks.collect(),
            shape,
        }
    }

    fn slice(self, axis: usize, start: usize, step: usize, len: usize) -> Self {
        let dim = self.shape[axis];
        let outer: usize = self.shape[..axis].iter().product();
        let inner = self.blocks.len() / outer / dim;
        let mut blocks = Vec::new();
        for i in 0..outer {
            for j in (start..).step_by(step).take(len) {
                let from = (i * dim + j) * inner;
                blocks.extend_from_slice(&self.blocks[from..from + inner]);
            }
        }
        let mut shape = self.shape;
        shape[axis] = len;
        Self {
            dtype: self.dtype,
            shape,
            blocks,
        }
    }

    fn swap_rows(self, [a, b, c]: [usize; 3]) -> Self {
        let row = self.blocks.len() / self.rows();
        let mut blocks = Vec::new();
        for i in 0..a {
            for k in 0..c {
                for j in 0..b {
                    let from = (i * b + j) * c + k;
                    blocks.extend_from_slice(&self.blocks[from * row..(from + 1) * row]);
                }
            }
        }
        Self { blocks, ..self }
    }
}

/// Builds an expression and its value side by side.
struct Builder {
    random: Random,
    inputs: Vec<Tensor>,
}

impl Builder {
    fn leaf(&mut self, dtype: DType, shape: Vec<usize>) -> (Expr, Naive) {
        let blocks: usize = shape.iter().product::<usize>() / dtype.block_len();
        if dtype == DType::F32 && self.random.between(0, 4) == 0 {
            let data: Vec<f32> = (0..blocks).map(|_| self.random.float()).collect();
            let blocks = data.iter().map(|x| encode(dtype, *x)).collect();
            let expr = Expr::Values {
                shape: shape.clone(),
                data,
            };
            return (
                expr,
                Naive {
                    dtype,
                    shape,
                    blocks,
                },
            );
        }
        let blocks: Vec<Vec<u8>> = (0..blocks)
            .map(|_| match dtype.is_plain_float() {
                true => encode(dtype, self.random.float()),
                false => (0..dtype.block_bytes())
                    .map(|_| self.random.next() as u8)
                    .collect(),
            })
            .collect();
        let name = format!("input {}", self.inputs.len());
        self.inputs.push(Tensor {
            name: name.clone(),
            dtype,
            shape: shape.clone(),
            data: blocks.concat(),
        });
        (
            Expr::Input(name),
            Naive {
                dtype,
                shape,
                blocks,
            },
        )
    }

    /// 4-bit floats from two inputs.
    fn microscaled(&mut self) -> (Expr, Naive) {
        let mut shape: Vec<usize> = (0..3).map(|_| self.random.between(1, 6)).collect();
        let (scales, scale_bytes) = self.leaf(DType::U8, shape.clone());
        shape.push(16);
        let (codes, code_bytes) = self.leaf(DType::U8, shape.clone());
        let code = |block: &[Vec<u8>], i: usize| (block[i / 2][0] >> (i % 2 * 4)) & 0xF;
        let blocks = code_bytes.blocks.chunks(16).zip(scale_bytes.blocks);
        let blocks = blocks.map(|(block, mut scale)| {
            scale.extend((0..16).map(|i| code(block, i) | (code(block, i + 16) << 4)));
            scale
        });
        let blocks = blocks.collect();
        shape.pop();
        shape[2] *= 32;
        let expr = Expr::Mxfp4 {
            codes: Box::new(codes),
            scales: Box::new(scales),
        };
        let dtype = DType::Mxfp4;
        (
            expr,
            Naive {
                dtype,
                shape,
                blocks,
            },
        )
    }

    /// A tensor times scales that tiles share.
    fn rescaled(&mut self) -> (Expr, Naive) {
        let mut between = |low, high| self.random.between(low, high);
        let (outer, rows, cols) = (between(1, 3), between(1, 7), between(1, 9));
        let tile = [between(1, 8), between(1, 10)];
        let (down, across) = (rows.div_ceil(tile[0]), cols.div_ceil(tile[1]));
        let dtype = self.random.pick(&FLOATS);
        let (of, values) = self.leaf(dtype, vec![outer, rows, cols]);
        let (scales, factors) = self.leaf(DType::F32, vec![outer, down, across]);
        let blocks = values.blocks.iter().enumerate().map(|(at, block)| {
            let (i, row, col) = (at / cols / rows, at / cols % rows, at % cols);
            let factor = (i * down + row / tile[0]) * across + col / tile[1];
            let factor = decode(DType::F32, &factors.blocks[factor]);
            encode(DType::F32, decode(dtype, block) * factor)
        });
        let value = Naive {
            dtype: DType::F32,
            blocks: blocks.collect(),
            shape: values.shape,
        };
        let (of, scales) = (Box::new(of), Box::new(scales));
        (Expr::Rescale { of, scales, tile }, value)
    }

    fn expression(&mut self, depth: usize) -> (Expr, Naive) {
        if depth == 0 {
            match self.random.between(0, 9) {
                0 => return self.microscaled(),
                1 => return self.rescaled(),
                _ => {}
            }
            let dtype = self.random.pick(&[
                FLOATS[0],
                FLOATS[1],
                FLOATS[2],
                DType::I8,
                DType::F64,
                DType::Q8_0,
            ]);
            let mut shape: Vec<usize> = (0..self.random.between(1, 4))
                .map(|_| self.random.between(1, 6))
                .collect();
            if dtype.is_quantized() {
                shape.insert(0, self.random.between(1, 6));
                *shape.last_mut().unwrap() *= dtype.block_len();
            }
            return self.leaf(dtype, shape);
        }
        let (expr, value) = self.expression(depth - 1);
        let of = Box::new(expr);
        let quantized = value.dtype.is_quantized();
        let float = value.dtype.is_plain_float();
        match self.random.between(0, 7) {
            0 if float => {
                let dtype = self.random.pick(&FLOATS);
                (Expr::Cast { of, dtype }, value.map(dtype, |x| x))
            }
            1 if float => {
                let constant = self.random.float();
                (
                    Expr::Add {
                        of,
                        value: constant,
                    },
                    value.map(DType::F32, |x| x + constant),
                )
            }
            2 => {
                let shape = self.other_shape(&value, quantized);
                let expr = Expr::Reshape {
                    of,
                    shape: shape.clone(),
                };
                (expr, Naive { shape, ..value })
            }
            3 if value.shape.len() > 1 || !quantized => {
                let axis = self
                    .random
                    .between(0, value.shape.len() - 1 - usize::from(quantized));
                let dim = value.shape[axis];
                let start = self.random.between(0, dim - 1);
                let step = self.random.between(1, 3);
                let len = self.random.between(1, (dim - start).div_ceil(step));
                let expr = Expr::Slice {
                    of,
                    axis,
                    start,
                    step,
                    len,
                };
                (expr, value.slice(axis, start, step, len))
            }
            4 => {
                let view = self.factors(value.rows());
                (Expr::SwapRows { of, view }, value.swap_rows(view))
            }
            5 if !quantized => {
                let mut axes: Vec<usize> = (0..value.shape.len()).collect();
                for i in (1..axes.len()).rev() {
                    axes.swap(i, self.random.between(0, i));
                }
                let value = value.transpose(&axes);
                (Expr::Transpose { of, axes }, value)
            }
            6 if float => self.add_products(*of, value),
            _ if value.shape.len() > 1 || !quantized => {
                let mut shape = value.shape.clone();
                shape[0] = self.random.between(1, 4);
                let (other, other_value) = self.leaf(value.dtype, shape);
                let mut joined = value;
                joined.shape[0] += other_value.shape[0];
                joined.blocks.extend(other_value.blocks);
                (Expr::Concat(vec![*of, other]), joined)
            }
            _ => (*of, value),
        }
    }

    fn add_products(&mut self, of: Expr, value: Naive) -> (Expr, Naive) {
        let (rows, cols) = (value.rows(), *value.shape.last().unwrap());
        let mut sum = value.map(DType::F32, |x| x);
        let mut products = Vec::new();
        for _ in 0..self.random.between(0, 2) {
            let rank = self.random.between(1, 5);
            let [left_type, right_type] = [self.random.pick(&FLOATS), self.random.pick(&FLOATS)];
            let (left, left_value) = self.leaf(left_type, vec![rows, rank]);
            let (right, right_value) = self.leaf(right_type, vec![rank, cols]);
            let scale = self.random.float();
            for (at, block) in sum.blocks.iter_mut().enumerate() {
                let (row, col) = (at / cols, at % cols);
                let product = (0..rank).fold(0.0, |sum, k| {
                    let left = decode(left_type, &left_value.blocks[row * rank + k]);
                    let right = decode(right_type, &right_value.blocks[k * cols + col]);
                    sum + left * right
                });
                *block = encode(DType::F32, decode(DType::F32, block) + scale * product);
            }
            products.push(Product { left, right, scale });
        }
        let of = Box::new(of);
        (Expr::AddProducts { of, products }, sum)
    }

    fn other_shape(&mut self, value: &Naive, keep_rows: bool) -> Vec<usize> {
        let elements: usize = value.shape.iter().product();
        let last = *value.shape.last().unwrap();
        if keep_rows {
            let [a, b, c] = self.factors(elements / last);
            return vec![a, b, c, last];
        }
        self.factors(elements).to_vec()
    }

    fn factors(&mut self, product: usize) -> [usize; 3] {
        let mut divisor = |of: usize| {
            let divisors: Vec<usize> = (1..=of).filter(|d| of.is_multiple_of(*d)).collect();
            self.random.pick(&divisors)
        };
        let a = divisor(product);
        let b = divisor(product / a);
        [a, b, product / a / b]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn pieces_join_to_the_naive_value(seed in any::<u64>(), depth in 0..6usize, piece in 1..40usize) {
        let mut builder = Builder { random: Random(seed), inputs: Vec::new() };
        let (expr, expected) = builder.expression(depth);
        let model = model(builder.inputs);
        let source = Source::new(&expr, &model).unwrap();
        prop_assert_eq!(source.dtype(), expected.dtype);
        prop_assert_eq!(source.shape(), &expected.shape[..]);
        let expected = expected.blocks.concat();
        let mut found = vec![0xAA; expected.len()];
        let mut memo = Memo::default();
        for (i, out) in found.chunks_mut(piece * source.dtype().block_bytes()).enumerate() {
            source.read(i * piece * source.dtype().block_len(), out, &mut memo).unwrap();
        }
        prop_assert!(found == expected, "{expr:?}");
    }
}

/// Calculations and transposes of more elements than they take at a time.
#[test]
fn long_ranges_cross_chunks() {
    let (rows, cols) = (3, 10_000);
    let values: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
    let expr = Expr::Values {
        shape: vec![rows, cols],
        data: values.clone(),
    };
    let transposed = Expr::Transpose {
        of: Box::new(Expr::Add {
            of: Box::new(expr),
            value: 0.5,
        }),
        axes: vec![1, 0],
    };
    let model = model(Vec::new());
    let source = Source::new(&transposed, &model).unwrap();
    let mut found = vec![0; rows * cols * 4];
    source.read(0, &mut found, &mut Memo::default()).unwrap();
    let expected: Vec<u8> = (0..cols)
        .flat_map(|col| (0..rows).map(move |row| row * cols + col))
        .flat_map(|i| (values[i] + 0.5).to_le_bytes())
        .collect();
    assert!(found == expected);
}

/// Transposes of every size of element, in bands that are full, begun and cut anywhere.
#[test]
fn bands_of_runs_are_gathered() {
    let shapes: [(&[usize], &[usize]); 8] = [
        (&[140, 530], &[1, 0]),
        (&[1, 40], &[1, 0]),
        (&[40, 1], &[1, 0]),
        (&[3, 17, 33], &[0, 2, 1]),
        (&[33, 5, 17], &[2, 1, 0]),
        (&[17, 3, 65], &[2, 0, 1]),
        (&[9, 65, 7], &[1, 0, 2]),
        (&[2, 3, 66, 5], &[3, 1, 0, 2]),
    ];
    let mut random = Random(7);
    for dtype in [DType::I8, DType::F16, DType::F32, DType::I64] {
        for (shape, axes) in shapes {
            let size = dtype.block_bytes();
            let elements = shape.iter().product::<usize>();
            let data: Vec<u8> = (0..elements * size).map(|_| random.next() as u8).collect();
            let naive = Naive {
                dtype,
                shape: shape.to_vec(),
                blocks: data.chunks(size).map(<[u8]>::to_vec).collect(),
            };
            let expected = naive.transpose(axes).blocks.concat();
            let model = model(vec![Tensor {
                name: "w".into(),
                dtype,
                shape: shape.to_vec(),
                data,
            }]);
            let expr = Expr::input("w").transpose(axes);
            let source = Source::new(&expr, &model).unwrap();
            for piece in [elements, 1000, 61, 1] {
                let mut found = vec![0; expected.len()];
                for (i, out) in found.chunks_mut(piece * size).enumerate() {
                    source.read(i * piece, out, &mut Memo::default()).unwrap();
                }
                assert!(
                    found == expected,
                    "{dtype} {shape:?} {axes:?} by {piece} elements"
                );
            }
        }
    }
}

/// Slices with a step, of runs short enough to be read together and of longer ones.
#[test]
fn long_slices_are_gathered() {
    for inner in [1, 3, 5000] {
        let (outer, dim, step) = (2, 30_000 / inner, 2);
        let values: Vec<f32> = (0..outer * dim * inner).map(|i| i as f32).collect();
        let expr = Expr::Slice {
            of: Box::new(Expr::Values {
                shape: vec![outer, dim, inner],
                data: values.clone(),
            }),
            axis: 1,
            start: 1,
            step,
            len: dim / step,
        };
        let model = model(Vec::new());
        let source = Source::new(&expr, &model).unwrap();
        let expected: Vec<u8> = values
            .chunks(inner)
            .skip(1)
            .step_by(step)
            .flatten()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let mut found = vec![0; expected.len()];
        for (i, out) in found.chunks_mut(4 * 7001).enumerate() {
            source.read(i * 7001, out, &mut Memo::default()).unwrap();
        }
        assert!(found == expected, "{inner}");
    }
}

/// An adapter of another file, merged into rows whose order changes.
#[test]
fn inputs_of_attached_models() {
    let tensor = |name: &str, shape: [usize; 2], values: &[f32]| Tensor {
        name: name.into(),
        dtype: DType::F32,
        shape: shape.into(),
        data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let base = model(vec![tensor("w", [2, 3], &[1., 2., 3., 4., 5., 6.])]);
    let adapter = vec![
        tensor("a", [1, 3], &[1., 0., -1.]),
        tensor("b", [2, 1], &[10., 20.]),
    ];
    let both = base.attach("x:", model(adapter)).unwrap();
    assert_eq!(both.own_tensors().len(), 1);
    assert_eq!(both.tensors().len(), 3);
    let merged = Expr::SwapRows {
        of: Box::new(Expr::AddProducts {
            of: Box::new(Expr::input("w")),
            products: vec![Product {
                left: Expr::input("x:b"),
                right: Expr::input("x:a"),
                scale: 0.5,
            }],
        }),
        view: [1, 2, 1],
    };
    assert_eq!(merged.inputs(), ["w", "x:b", "x:a"]);
    let mut found = [0.0; 6];
    Source::new(&merged, &both)
        .unwrap()
        .read_values(0, &mut found, &mut Memo::default())
        .unwrap();
    assert_eq!(found, [6., 2., -2., 14., 5., -4.]);
    assert!(
        both.attach("", model(vec![tensor("w", [1, 1], &[0.])]))
            .is_err()
    );
}

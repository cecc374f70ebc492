//! What becomes of a low-rank update where the matrix that it is for is moved: an expression over the
//! matrix W = B·A, carried out on B and A.

use crate::error::{Error, Result};
use crate::model::{Expr, TensorInfo};
use std::collections::HashMap;

/// The two factors of an update; their dimensions before the last two are those of the matrix, or 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) a: Factor,
    pub(super) b: Factor,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Factor {
    pub(super) expr: Expr,
    pub(super) shape: Vec<usize>,
}

impl Factor {
    pub(super) fn input(tensor: &TensorInfo) -> Self {
        Self {
            expr: Expr::input(&tensor.name),
            shape: tensor.shape.clone(),
        }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            expr: self.expr.transpose([1, 0]),
            shape: self.shape.into_iter().rev().collect(),
        }
    }

    fn reshape(self, shape: Vec<usize>) -> Result<Self> {
        if self.shape.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(inseparable());
        }
        Ok(Self {
            expr: self.expr.reshape(shape.clone()),
            shape,
        })
    }

    fn slice(self, axis: usize, [start, step, len]: [usize; 3]) -> Self {
        let mut shape = self.shape;
        shape[axis] = len;
        let of = Box::new(self.expr);
        let expr = Expr::Slice {
            of,
            axis,
            start,
            step,
            len,
        };
        Self { expr, shape }
    }
}

/// The factors of an expression's value; `inputs` has those of its inputs, which are matrices.
///
/// # Errors
/// `unsupported` if the value is no product of two moved factors.
pub(super) fn pair(expr: &Expr, inputs: &HashMap<&str, Pair>) -> Result<Pair> {
    match expr {
        Expr::Input(name) => inputs.get(name.as_str()).cloned().ok_or_else(inseparable),
        Expr::Cast { of, dtype } => {
            let Pair { a, b } = pair(of, inputs)?;
            let cast = |factor: Factor| Factor {
                expr: factor.expr.cast(*dtype),
                ..factor
            };
            Ok(Pair {
                a: cast(a),
                b: cast(b),
            })
        }
        Expr::Reshape { of, shape } => reshape(pair(of, inputs)?, shape),
        Expr::Concat(parts) => {
            let parts = parts.iter().map(|part| pair(part, inputs));
            concat(&parts.collect::<Result<Vec<_>>>()?)
        }
        Expr::Slice {
            of,
            axis,
            start,
            step,
            len,
        } => slice(pair(of, inputs)?, *axis, [*start, *step, *len]),
        Expr::SwapRows { of, view } => {
            let Pair { a, b } = pair(of, inputs)?;
            match shared(&a) {
                true => Ok(Pair {
                    a,
                    b: Factor {
                        expr: Expr::SwapRows {
                            of: Box::new(b.expr),
                            view: *view,
                        },
                        ..b
                    },
                }),
                false => Err(inseparable()),
            }
        }
        Expr::Transpose { of, axes } if axes[..] == [1, 0] => {
            let Pair { a, b } = pair(of, inputs)?;
            Ok(Pair {
                a: b.transposed(),
                b: a.transposed(),
            })
        }
        _ => Err(inseparable()),
    }
}

fn inseparable() -> Error {
    Error::unsupported(
        "the architecture calculates with this matrix, which a low-rank update does not survive; merge the adapter into the model instead",
    )
}

/// Whether all matrices of a stack have the same A.
fn shared(a: &Factor) -> bool {
    a.shape.iter().rev().skip(2).all(|&dim| dim == 1)
}

fn reshape(Pair { a, b }: Pair, shape: &[usize]) -> Result<Pair> {
    let (Some(&rank), Some(&cols)) = (b.shape.last(), a.shape.last()) else {
        return Err(inseparable());
    };
    let Some((last, outer)) = shape.split_last() else {
        return Err(inseparable());
    };
    if *last != cols || outer.is_empty() {
        return Err(inseparable());
    }
    let mut shape_a = vec![1; outer.len() - 1];
    shape_a.extend([rank, cols]);
    Ok(Pair {
        a: a.reshape(shape_a)?,
        b: b.reshape([outer, &[rank]].concat())?,
    })
}

fn concat(parts: &[Pair]) -> Result<Pair> {
    let first = parts.first().ok_or_else(inseparable)?;
    let b = join(parts.iter().map(|part| &part.b))?;
    if first.b.shape.len() > 2 {
        let a = join(parts.iter().map(|part| &part.a))?;
        return Ok(Pair { a, b });
    }
    match parts.iter().all(|part| part.a == first.a) {
        true => Ok(Pair {
            a: first.a.clone(),
            b,
        }),
        false => Err(inseparable()),
    }
}

fn join<'f>(factors: impl Iterator<Item = &'f Factor> + Clone) -> Result<Factor> {
    let mut shapes = factors.clone().map(|factor| &factor.shape);
    let mut shape = shapes.next().ok_or_else(inseparable)?.clone();
    for other in shapes {
        if other.get(1..) != shape.get(1..) {
            return Err(Error::unsupported(
                "the updates of its parts have different ranks, which cannot be stacked",
            ));
        }
        shape[0] += other[0];
    }
    let exprs = factors.map(|factor| factor.expr.clone());
    Ok(Factor {
        expr: Expr::Concat(exprs.collect()),
        shape,
    })
}

fn slice(Pair { a, b }: Pair, axis: usize, range: [usize; 3]) -> Result<Pair> {
    let last = a.shape.len() - 1;
    if axis > last {
        return Err(inseparable());
    }
    if axis == last {
        return Ok(Pair {
            a: a.slice(axis, range),
            b,
        });
    }
    let of_matrices = axis + 1 < last && a.shape[axis] > 1;
    Ok(Pair {
        a: if of_matrices { a.slice(axis, range) } else { a },
        b: b.slice(axis, range),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn inputs(names: &[&'static str]) -> HashMap<&'static str, Pair> {
        let factor = |name: String, shape: [usize; 2]| {
            Factor::input(&TensorInfo {
                name,
                dtype: DType::F32,
                shape: shape.into(),
            })
        };
        let pair = |name: &&'static str| {
            let a = factor(format!("{name}.a"), [2, 6]);
            let b = factor(format!("{name}.b"), [4, 2]);
            (*name, Pair { a, b })
        };
        names.iter().map(pair).collect()
    }

    #[test]
    fn rows_are_those_of_b() {
        let inputs = inputs(&["w"]);
        let halves = Expr::Concat(vec![
            Expr::input("w").slice(0, 2, 2),
            Expr::input("w").slice(0, 0, 2),
        ]);
        let Pair { a, b } = pair(&halves, &inputs).unwrap();
        assert_eq!(a, inputs["w"].a);
        assert_eq!(b.shape, [4, 2]);
        assert_eq!(b.expr.inputs(), ["w.b"]);
        let turned = pair(&Expr::input("w").transpose([1, 0]), &inputs).unwrap();
        assert_eq!((turned.a.shape, turned.b.shape), (vec![2, 4], vec![6, 2]));
    }

    #[test]
    fn stacks_of_matrices() {
        let inputs = inputs(&["v", "w"]);
        let stacked = |name: &str| Expr::input(name).reshape([1, 4, 6]);
        let stack = Expr::Concat(vec![stacked("v"), stacked("w")]);
        let Pair { a, b } = pair(&stack, &inputs).unwrap();
        assert_eq!((a.shape, b.shape), (vec![2, 2, 6], vec![2, 4, 2]));
        let half = pair(&stack.slice(1, 0, 2), &inputs).unwrap();
        assert_eq!((half.a.shape, half.b.shape), (vec![2, 2, 6], vec![2, 2, 2]));
    }

    #[test]
    fn sums_and_other_rows_are_refused() {
        let inputs = inputs(&["v", "w"]);
        for expr in [
            Expr::Add {
                of: Box::new(Expr::input("w")),
                value: 1.0,
            },
            Expr::Concat(vec![Expr::input("v"), Expr::input("w")]),
            Expr::input("w").reshape([24]),
            Expr::input("w").reshape([2, 12]),
            Expr::input("x"),
        ] {
            assert!(pair(&expr, &inputs).is_err(), "{expr:?}");
        }
    }
}

//! Evaluates [`Expr::AddProducts`](crate::model::Expr::AddProducts): a low-rank adapter merged row by
//! row, so that no product exists as a whole.

use crate::error::Result;
use crate::job::evaluate::{CHUNK, Source};
use crate::model::{Model, Product};
use std::ops::Range;

/// Values and the products that are added to them.
#[derive(Debug)]
pub(super) struct Products<'m> {
    of: Box<Source<'m>>,
    products: Vec<Factors<'m>>,
    cols: usize,
    /// The sum of all ranks.
    ranks: usize,
}

#[derive(Debug)]
struct Factors<'m> {
    left: Source<'m>,
    right: Source<'m>,
    rank: usize,
    /// The sum of the ranks before this one, which tells where its values are kept.
    before: usize,
    scale: f32,
}

/// What is kept while an expression is read piece by piece: the right matrices, which every row
/// needs whole, of the products that were evaluated last.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// Where these products are. The expressions of a job stay where they are.
    owner: usize,
    /// The matrices one after the other.
    right: Vec<f32>,
}

/// Some rows of the left matrices, one matrix after the other.
struct Left {
    rows: Range<usize>,
    values: Vec<f32>,
}

impl<'m> Products<'m> {
    /// Resolves the factors. [`Expr::infer`](crate::model::Expr::infer) has checked the shapes.
    pub(super) fn new(
        of: Box<Source<'m>>,
        products: &'m [Product],
        model: &'m Model,
    ) -> Result<Self> {
        let mut ranks = 0;
        let mut factors = Vec::with_capacity(products.len());
        for product in products {
            let left = Source::new(&product.left, model)?;
            let rank = left.shape().last().copied().unwrap_or(0);
            factors.push(Factors {
                left,
                right: Source::new(&product.right, model)?,
                rank,
                before: ranks,
                scale: product.scale,
            });
            ranks += rank;
        }
        Ok(Self {
            products: factors,
            cols: of.shape().last().copied().unwrap_or(1),
            of,
            ranks,
        })
    }

    pub(super) fn of(&self) -> &Source<'m> {
        &self.of
    }

    /// Bytes of memory that an evaluation needs besides its output.
    pub(super) fn scratch_bytes(&self) -> usize {
        let right = self.ranks.saturating_mul(self.cols);
        let left = self.ranks.saturating_mul(self.rows_at_a_time());
        // Two chunks of sums, and one of each source as it is read, of at most 8 bytes an element.
        let own = right.saturating_add(left).saturating_add(4 * CHUNK);
        let factors = self
            .products
            .iter()
            .flat_map(|factors| [&factors.left, &factors.right]);
        let inner = factors.map(Source::scratch_bytes).max().unwrap_or(0);
        own.saturating_mul(size_of::<f32>())
            .saturating_add(inner.max(self.of.scratch_bytes()))
    }

    /// Fills `out` with f32 elements, the first of them at `start`.
    pub(super) fn read(&self, start: usize, out: &mut [u8], memo: &mut Memo) -> Result<()> {
        let held = self.held(memo)?;
        let done = self.add(&held.right, start, out, memo);
        *memo = held;
        done
    }

    /// The right matrices: those of the memo, or read now.
    fn held(&self, memo: &mut Memo) -> Result<Memo> {
        let owner = std::ptr::from_ref(self).addr();
        if memo.owner == owner {
            return Ok(std::mem::take(memo));
        }
        // What it held is of no use from here on.
        *memo = Memo::default();
        let mut right = vec![0.0; self.ranks * self.cols];
        for factors in &self.products {
            let (first, len) = (factors.before * self.cols, factors.rank * self.cols);
            let values = &mut right[first..first + len];
            factors.right.read_values(0, values, memo)?;
        }
        Ok(Memo { owner, right })
    }

    /// Few enough that their left factors take no more than a chunk.
    fn rows_at_a_time(&self) -> usize {
        (CHUNK / self.ranks.max(1)).max(1)
    }

    fn add(&self, right: &[f32], start: usize, mut out: &mut [u8], memo: &mut Memo) -> Result<()> {
        let last_row = (start + out.len() / size_of::<f32>() - 1) / self.cols;
        let mut left = Left {
            rows: 0..0,
            values: vec![0.0; self.ranks * self.rows_at_a_time()],
        };
        let (mut values, mut sums) = (vec![0.0; CHUNK], vec![0.0; CHUNK]);
        let mut at = start;
        while !out.is_empty() {
            let (row, col) = (at / self.cols, at % self.cols);
            let len = (self.cols - col).min(out.len() / size_of::<f32>());
            let len = len.min(CHUNK);
            if !left.rows.contains(&row) {
                left.rows = row..(row + self.rows_at_a_time()).min(last_row + 1);
                self.read_left(&mut left, memo)?;
            }
            let (values, sums) = (&mut values[..len], &mut sums[..len]);
            self.of.read_values(at, values, memo)?;
            for factors in &self.products {
                let right = &right[factors.before * self.cols..];
                let rows = right.chunks_exact(self.cols).map(|row| &row[col..][..len]);
                factors.sum(left.row(row, factors), rows, sums);
                for (value, sum) in values.iter_mut().zip(&*sums) {
                    *value += factors.scale * sum;
                }
            }
            let (piece, rest) = out.split_at_mut(len * size_of::<f32>());
            for (bytes, value) in piece.chunks_exact_mut(size_of::<f32>()).zip(values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            (at, out) = (at + len, rest);
        }
        Ok(())
    }

    fn read_left(&self, left: &mut Left, memo: &mut Memo) -> Result<()> {
        for factors in &self.products {
            let rows = left.rows.clone();
            let first = factors.before * rows.len();
            let values = &mut left.values[first..first + factors.rank * rows.len()];
            factors
                .left
                .read_values(rows.start * factors.rank, values, memo)?;
        }
        Ok(())
    }
}

impl Left {
    fn row(&self, row: usize, of: &Factors<'_>) -> &[f32] {
        let first = of.before * self.rows.len() + (row - self.rows.start) * of.rank;
        &self.values[first..first + of.rank]
    }
}

impl Factors<'_> {
    /// One row of the product, before it is scaled.
    fn sum<'r>(&self, left: &[f32], right: impl Iterator<Item = &'r [f32]>, sums: &mut [f32]) {
        sums.fill(0.0);
        for (factor, row) in left.iter().zip(right) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += factor * value;
            }
        }
    }
}

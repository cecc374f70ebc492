//! Sums of squared activations, and the weights that follow from them.

use crate::error::{Error, Result};

/// What is known of the inputs of one tensor: for each column the sum of its squared activations,
/// and how many activations went into it. A tensor of several experts has sums for each of them,
/// experts outermost, and either one count for all or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    sums: Vec<f32>,
    counts: Vec<u64>,
}

impl Statistics {
    /// Joins sums and counts.
    ///
    /// # Errors
    /// `malformed` if there are none, if the sums do not divide evenly among the counts, or if a sum
    /// is negative, infinite or NaN.
    pub fn new(sums: Vec<f32>, counts: Vec<u64>) -> Result<Self> {
        if sums.is_empty() || counts.is_empty() || !sums.len().is_multiple_of(counts.len()) {
            return Err(Error::malformed(format!(
                "{} sums of squares cannot be shared among {} counts",
                sums.len(),
                counts.len()
            )));
        }
        check(&sums)?;
        Ok(Self { sums, counts })
    }

    /// No activations yet, of `experts` times `cols` columns.
    pub(super) fn empty(experts: usize, cols: usize) -> Result<Self> {
        let mut sums = Vec::new();
        let len = experts.checked_mul(cols).filter(|&len| len > 0);
        let len = len.filter(|&len| sums.try_reserve_exact(len).is_ok());
        let len = len.ok_or_else(|| {
            Error::misuse(format!("{experts} times {cols} columns cannot be weighed"))
        })?;
        sums.resize(len, 0.0);
        Ok(Self {
            sums,
            counts: vec![0; experts],
        })
    }

    /// Weights as they are, as if of one activation.
    pub(super) fn of_weights(weights: Vec<f32>) -> Self {
        Self {
            sums: weights,
            counts: vec![1],
        }
    }

    /// The sum of squares for each column (of each expert).
    pub fn sums(&self) -> &[f32] {
        &self.sums
    }

    /// The number of activations, one for all or one for each expert.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The mean squares, which are the weights that llama-quantize uses: sums divided by their
    /// counts in f32. An expert without activations weighs all its columns alike, by 1.
    ///
    /// # Errors
    /// `misuse` if a weight is negative, infinite or NaN.
    pub fn weights(&self) -> Result<Vec<f32>> {
        self.clone().into_weights()
    }

    /// [`weights`](Self::weights) in the memory of the sums.
    pub(crate) fn into_weights(self) -> Result<Vec<f32>> {
        let (mut weights, counts) = (self.sums, self.counts);
        check(&weights).map_err(|e| Error::misuse(e.to_string()))?;
        let cols = (weights.len() / counts.len().max(1)).max(1);
        for (weights, &count) in weights.chunks_mut(cols).zip(&counts) {
            match count {
                0 => weights.fill(1.0),
                #[expect(clippy::cast_precision_loss, reason = "llama-quantize divides in f32")]
                _ => weights.iter_mut().for_each(|w| *w /= count as f32),
            }
        }
        Ok(weights)
    }

    /// Adds rows of activations of a tensor without experts.
    pub(super) fn add_rows(&mut self, x: &[f32]) -> Result<()> {
        let cols = self.sums.len();
        let rows = whole_rows(x.len(), cols)?;
        let sums = added(&self.sums, |sums| {
            x.chunks_exact(cols).for_each(|row| add_squares(sums, row));
        })?;
        let counts = &mut self.counts;
        // Files from before experts had counts of their own have as many, all alike.
        if counts.iter().all(|count| *count == counts[0]) {
            counts.truncate(1);
        }
        let counts = added_counts(counts, |_| rows)?;
        (self.sums, self.counts) = (sums, counts);
        Ok(())
    }

    /// Adds rows of activations, each to the expert that took it.
    pub(super) fn add_expert_rows(
        &mut self,
        cols: usize,
        x: &[f32],
        taken: &[usize],
    ) -> Result<()> {
        let rows = whole_rows(x.len(), cols)?;
        if rows != taken.len() as u64 {
            return Err(Error::misuse(format!(
                "{rows} rows of activations need as many numbers of experts, but {} were given",
                taken.len()
            )));
        }
        let experts = self.sums.len() / cols;
        if let Some(expert) = taken.iter().find(|&&expert| expert >= experts) {
            return Err(Error::misuse(format!(
                "there are {experts} experts, so none of number {expert}"
            )));
        }
        let mut times = vec![0; experts];
        let sums = added(&self.sums, |sums| {
            for (row, &expert) in x.chunks_exact(cols).zip(taken) {
                add_squares(&mut sums[expert * cols..][..cols], row);
                times[expert] += 1;
            }
        })?;
        let counts = added_counts(&self.broadcast(experts), |expert| times[expert])?;
        (self.sums, self.counts) = (sums, counts);
        Ok(())
    }

    /// Adds what another run found of the same tensor.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        if self.sums.len() != other.sums.len() {
            return Err(Error::misuse(format!(
                "one matrix has {} columns here and the other {}, so they are not of the same model",
                self.sums.len(),
                other.sums.len()
            )));
        }
        let experts = self.counts.len().max(other.counts.len());
        let (ours, theirs) = (self.broadcast(experts), other.broadcast(experts));
        if ours.len() != theirs.len() {
            return Err(Error::misuse(format!(
                "one matrix has {} experts here and the other {}, so they are not of the same model",
                self.counts.len(),
                other.counts.len()
            )));
        }
        let sums = added(&self.sums, |sums| {
            let pairs = sums.iter_mut().zip(&other.sums);
            pairs.for_each(|(sum, more)| *sum += more);
        })?;
        let counts = added_counts(&ours, |expert| theirs[expert])?;
        (self.sums, self.counts) = (sums, counts);
        Ok(())
    }

    /// The counts, where one stands for all experts.
    fn broadcast(&self, experts: usize) -> Vec<u64> {
        match self.counts[..] {
            [count] => vec![count; experts],
            _ => self.counts.clone(),
        }
    }
}

/// One row's squares, in the order and precision of llama-imatrix: a product and a sum, both
/// rounded to f32.
fn add_squares(sums: &mut [f32], row: &[f32]) {
    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
}

/// The sums after a change; an error, and so no change, if they overflow.
fn added(sums: &[f32], add: impl FnOnce(&mut [f32])) -> Result<Vec<f32>> {
    let mut sums = sums.to_vec();
    add(&mut sums);
    check(&sums).map_err(|_| {
        Error::misuse(
            "the activations have NaN or infinite values, or values whose squares overflow; run the model in f32",
        )
    })?;
    Ok(sums)
}

fn added_counts(counts: &[u64], more: impl Fn(usize) -> u64) -> Result<Vec<u64>> {
    let sums = counts.iter().enumerate();
    let sums = sums.map(|(i, count)| count.checked_add(more(i)));
    sums.collect::<Option<_>>()
        .ok_or_else(|| Error::misuse("more activations than can be counted"))
}

fn whole_rows(len: usize, cols: usize) -> Result<u64> {
    match len.checked_div(cols) {
        Some(rows) if rows * cols == len => Ok(rows as u64),
        _ => Err(Error::misuse(format!(
            "{len} activations are no whole number of rows of {cols} columns"
        ))),
    }
}

/// Fails for what no mean of squares can be.
fn check(sums: &[f32]) -> Result<()> {
    match sums
        .iter()
        .position(|sum| !(sum.is_finite() && *sum >= 0.0))
    {
        None => Ok(()),
        Some(at) => Err(Error::malformed(format!(
            "importance weight {at} is {}, but must be a finite number of 0 or more",
            sums[at]
        ))),
    }
}

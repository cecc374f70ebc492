//! Runs samples and observes.

use super::calibration::{Calibration, TensorRange};
use super::method::{Levels, Method};
use super::observer::Observer;
use crate::error::{Error, Result};

/// Something that runs a model on samples: onnxruntime, or whatever else knows the values between.
pub trait Runner {
    /// Inputs of the model.
    type Sample;

    /// Runs the model on a sample, and hands the tensors of these names to `observe`, in any order: the
    /// index in `tensors`, and all of the tensor's values.
    ///
    /// # Errors
    /// Whatever keeps the model from running, and what `observe` returns.
    fn run(
        &mut self,
        sample: &Self::Sample,
        tensors: &[&str],
        observe: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()>;
}

/// Observes the tensors of a model, sample by sample.
///
/// ```
/// use quantlib::calibrate::{Calibrator, Levels, Method, Runner};
/// /// "x" is the sample, "y" its square.
/// struct Square;
/// impl Runner for Square {
///     type Sample = Vec<f32>;
///     fn run(
///         &mut self,
///         x: &Vec<f32>,
///         tensors: &[&str],
///         observe: &mut dyn FnMut(usize, &[f32]) -> quantlib::Result<()>,
///     ) -> quantlib::Result<()> {
///         let y: Vec<f32> = x.iter().map(|x| x * x).collect();
///         let values = |name: &str| if name == "x" { x } else { &y };
///         (0..tensors.len()).try_for_each(|i| observe(i, values(tensors[i])))
///     }
/// }
/// let mut calibrator = Calibrator::new(["x".to_owned(), "y".to_owned()]);
/// for sample in [vec![1.0, -2.0], vec![0.5, 3.0]] {
///     calibrator.run(&mut Square, &sample)?;
/// }
/// let calibration = calibrator.finish(Method::MinMax, Levels::asymmetric(8))?;
/// assert_eq!((calibration.tensors["x"].low, calibration.tensors["y"].high), (-2.0, 9.0));
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Calibrator {
    tensors: Vec<Observed>,
    budget: usize,
}

#[derive(Clone, Debug)]
struct Observed {
    name: String,
    observer: Observer,
    /// Values of the largest sample so far; none before the first.
    most: Option<usize>,
}

/// Bytes of tensors that are asked for at a time, unless the caller says otherwise.
const BUDGET: usize = 64 << 20;

/// Tensors that are asked for at a time while their sizes are unknown.
const UNKNOWN: usize = 8;

impl Calibrator {
    /// Observes tensors of these names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let observed = |name| Observed {
            name,
            observer: Observer::default(),
            most: None,
        };
        Self {
            tensors: names.into_iter().map(observed).collect(),
            budget: BUDGET,
        }
    }

    /// Asks a runner for at most so many bytes of tensors at a time, as far as they are known from the
    /// samples before: what does not fit takes another run of the sample. One tensor at least.
    pub fn with_budget(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// The names, in the order of their indices.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.iter().map(|tensor| &tensor.name[..])
    }

    /// The indices of the tensors that should be asked for together, group by group, for one sample.
    /// Ask again for each sample: sizes become known.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let unknown = (self.budget / UNKNOWN).max(1);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut left = 0usize;
        for (index, tensor) in self.tensors.iter().enumerate() {
            let bytes = tensor.most.map_or(unknown, |most| most * size_of::<f32>());
            match groups.last_mut() {
                Some(group) if bytes <= left => group.push(index),
                _ => {
                    groups.push(vec![index]);
                    left = self.budget;
                }
            }
            left = left.saturating_sub(bytes);
        }
        groups
    }

    /// Takes in all values that a tensor has in one sample.
    ///
    /// # Errors
    /// `misuse` if there is no tensor of this index.
    pub fn observe(&mut self, index: usize, values: &[f32]) -> Result<()> {
        let tensor = self.tensors.get_mut(index).ok_or_else(|| {
            Error::misuse(format!(
                "tensor {index} was not asked for; see Calibrator::names"
            ))
        })?;
        tensor.observer.observe(values);
        tensor.most = tensor.most.max(Some(values.len()));
        Ok(())
    }

    /// Runs a sample, as often as the budget asks for it.
    ///
    /// # Errors
    /// Those of the runner.
    pub fn run<R: Runner>(&mut self, runner: &mut R, sample: &R::Sample) -> Result<()> {
        for group in self.groups() {
            let names: Vec<_> = group
                .iter()
                .map(|&i| self.tensors[i].name.clone())
                .collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            runner.run(sample, &names, &mut |index, values| {
                let index = group.get(index).copied().unwrap_or(usize::MAX);
                self.observe(index, values)
            })?;
        }
        Ok(())
    }

    /// Bytes that all observers take.
    pub fn memory(&self) -> usize {
        let each = self.tensors.iter().map(|tensor| tensor.observer.memory());
        each.sum()
    }

    /// The ranges of what was observed.
    ///
    /// # Errors
    /// `misuse` if there was nothing to observe.
    pub fn finish(&self, method: Method, levels: Levels) -> Result<Calibration> {
        let mut tensors = self.tensors.iter();
        if let Some(tensor) = tensors.find(|tensor| tensor.most.is_none()) {
            return Err(
                Error::misuse("was in no sample; calibrate with at least one")
                    .in_tensor(&tensor.name),
            );
        }
        let ranges = self.tensors.iter().map(|tensor| {
            let range = TensorRange::of(&tensor.observer, method, levels);
            (tensor.name.clone(), range)
        });
        Ok(Calibration {
            method: Some(method.name().to_owned()),
            tensors: ranges.collect(),
            ..Calibration::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_to_the_budget() {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let mut calibrator = Calibrator::new(names).with_budget(4000);
        assert_eq!(calibrator.groups(), [[0, 1, 2, 3]]);
        for (index, len) in [(0, 500), (1, 500), (2, 1), (3, 5000)] {
            calibrator.observe(index, &vec![1.0; len]).unwrap();
        }
        assert_eq!(calibrator.groups(), [vec![0, 1], vec![2], vec![3]]);
        assert!(calibrator.observe(4, &[]).is_err());
    }

    #[test]
    fn every_tensor_needs_values() {
        let mut calibrator = Calibrator::new(["a", "b"].map(str::to_owned));
        calibrator.observe(0, &[1.0]).unwrap();
        let error = calibrator.finish(Method::MinMax, Levels::asymmetric(8));
        assert!(error.unwrap_err().to_string().contains('b'));
    }
}

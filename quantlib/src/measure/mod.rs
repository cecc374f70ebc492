//! How far two models are apart: tensor by tensor, in bounded memory.

mod comparison;
mod document;
mod pair;
mod subject;
mod sums;

pub use comparison::{Comparison, Reshaped, TensorComparison, Total};
pub use document::MetadataDifference;
pub use sums::Errors;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format;
use crate::job::{DEFAULT_MEMORY_LIMIT, Progress};
use crate::model::{Model, NamePattern, TensorInfo};
use crate::parallel;
use comparison::SCHEMA;
use pair::Pair;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use subject::Subject;
use sums::Sums;

/// How to compare; the default is right for most. None of it but the filter changes the result.
#[derive(Default)]
#[non_exhaustive]
pub struct CompareOptions<'a> {
    /// Compare only tensors in whose name this is found.
    pub filter: Option<NamePattern>,
    /// Number of threads; 0 means all.
    pub threads: usize,
    /// Bytes that tensor data may take in memory; 0 means [`DEFAULT_MEMORY_LIMIT`].
    pub memory_limit: u64,
    /// Called on the calling thread after each tensor, with bytes of A's tensors.
    pub progress: Option<Progress<'a>>,
    /// Set it, from any thread or signal handler, to stop.
    pub cancel: Option<&'a AtomicBool>,
}

/// Compares two opened models tensor by tensor, by the names that they have. Sums are f64 in an
/// order that depends on nothing but the model.
///
/// ```no_run
/// use quantlib::measure::{CompareOptions, compare};
/// let (a, b) = (quantlib::open("f16.gguf")?, quantlib::open("q4_k_m.gguf")?);
/// let comparison = compare(&a, &b, CompareOptions::default())?;
/// println!("{:?} dB", comparison.total.errors.sqnr_db);
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// `io` and `malformed` if a tensor cannot be read, `limit` if not even one piece fits into the
/// memory limit, `cancelled`.
pub fn compare(a: &Model, b: &Model, options: CompareOptions<'_>) -> Result<Comparison> {
    Comparer { options }.run(&Subject::stored(a), &Subject::stored(b))
}

/// [`compare`] for paths. A Hugging Face folder beside a GGUF file is compared as what it would be
/// converted to, in f32.
///
/// # Errors
/// Those of [`compare`], of opening, and of planning the conversion.
pub fn compare_files(
    a: impl AsRef<Path>,
    b: impl AsRef<Path>,
    options: CompareOptions<'_>,
) -> Result<Comparison> {
    let (a_path, b_path) = (a.as_ref(), b.as_ref());
    let (a, b) = (format::open(a_path)?, format::open(b_path)?);
    #[cfg(feature = "hf")]
    {
        let a_plan = Converted::new(&a, a_path, &b)?;
        let b_plan = Converted::new(&b, b_path, &a)?;
        let comparer = Comparer { options };
        comparer.run(
            &Converted::subject(&a, a_plan.as_ref())?,
            &Converted::subject(&b, b_plan.as_ref())?,
        )
    }
    #[cfg(not(feature = "hf"))]
    compare(&a, &b, options)
}

/// What a folder would be converted to.
#[cfg(feature = "hf")]
struct Converted {
    tensors: Vec<crate::model::OutputTensor>,
    metadata: crate::model::Metadata,
}

#[cfg(feature = "hf")]
impl Converted {
    /// None unless this is a folder, and the other model a GGUF.
    fn new(model: &Model, path: &Path, other: &Model) -> Result<Option<Self>> {
        use crate::arch::{ConvertOptions, OutType, convert_plan};
        if !path.is_dir() || other.format() != "gguf" {
            return Ok(None);
        }
        let options = ConvertOptions {
            outtype: OutType::F32,
            ..ConvertOptions::default()
        };
        let folder = format::hf::Folder::open(path)?;
        let plan = convert_plan(&folder, model, &options).map_err(|e| e.in_file(path))?;
        Ok(Some(Self {
            metadata: plan.apply_edits(crate::model::Metadata::new()),
            tensors: plan.tensors,
        }))
    }

    fn subject<'m>(model: &'m Model, plan: Option<&'m Self>) -> Result<Subject<'m>> {
        match plan {
            None => Ok(Subject::stored(model)),
            Some(plan) => Subject::planned(model, &plan.metadata, &plan.tensors),
        }
    }
}

struct Comparer<'a> {
    options: CompareOptions<'a>,
}

impl Comparer<'_> {
    fn includes(&self, info: &TensorInfo) -> bool {
        let filter = self.options.filter.as_ref();
        filter.is_none_or(|filter| filter.is_in(&info.name))
    }

    fn run(mut self, a: &Subject<'_>, b: &Subject<'_>) -> Result<Comparison> {
        let (mut common, mut only_a, mut reshaped) = (Vec::new(), Vec::new(), Vec::new());
        for info in a.infos().filter(|info| self.includes(info)) {
            match b.info(&info.name) {
                None => only_a.push(info.clone()),
                Some(other) if same_shape(info, other) => common.push(info),
                Some(other) => reshaped.push(Reshaped {
                    name: info.name.clone(),
                    a: info.shape.clone(),
                    b: other.shape.clone(),
                }),
            }
        }
        let only_b = b.infos().filter(|info| self.includes(info));
        let only_b = only_b.filter(|info| a.info(&info.name).is_none());
        let only_b = only_b.cloned().collect();
        let (tensors, total) = self.tensors(a, b, &common)?;
        Ok(Comparison {
            schema: SCHEMA,
            a: a.model.path().display().to_string(),
            b: b.model.path().display().to_string(),
            tensors,
            total,
            only_a,
            only_b,
            reshaped,
            metadata: document::differences(a.metadata, b.metadata),
        })
    }

    fn tensors(
        &mut self,
        a: &Subject<'_>,
        b: &Subject<'_>,
        common: &[&TensorInfo],
    ) -> Result<(Vec<TensorComparison>, Total)> {
        let elements: u64 = common.iter().map(|info| info.elements() as u64).sum();
        let bytes = common.iter().map(|info| info.nbytes() as u64).sum();
        let (mut tensors, mut sums, mut done) = (Vec::new(), Sums::default(), 0);
        let (mut bits_a, mut bits_b) = (0.0, 0.0);
        for info in common {
            let (Some(source_a), Some(source_b)) = (a.source(&info.name)?, b.source(&info.name)?)
            else {
                continue;
            };
            let types = (source_a.stored_dtype(), source_b.stored_dtype());
            let found = self
                .pair(Pair::new(source_a, source_b), types, info)
                .map_err(|e| e.in_tensor(&info.name))?;
            #[expect(clippy::cast_precision_loss, reason = "an average for people")]
            let share = info.elements() as f64 / (elements as f64).max(1.0);
            bits_a += found.0.bits_a * share;
            bits_b += found.0.bits_b * share;
            sums = sums.then(&found.1);
            tensors.push(found.0);
            done += info.nbytes() as u64;
            let progress = self.options.progress.as_mut();
            if progress.is_some_and(|tell| tell(done, bytes, &info.name).is_break()) {
                return Err(Error::cancelled());
            }
        }
        let total = Total {
            elements,
            bits_a,
            bits_b,
            identical: tensors.iter().filter(|tensor| tensor.identical).count(),
            errors: sums.errors(),
        };
        Ok((tensors, total))
    }

    fn pair(
        &self,
        pair: Pair<'_>,
        (a, b): (DType, DType),
        info: &TensorInfo,
    ) -> Result<(TensorComparison, Sums)> {
        let limit = match self.options.memory_limit {
            0 => DEFAULT_MEMORY_LIMIT,
            limit => limit,
        };
        let room = usize::try_from(limit).unwrap_or(usize::MAX) / pair.cost().max(1);
        if room == 0 {
            return Err(Error::limit(format!(
                "comparing it takes {} bytes of memory, but the limit is {limit}; raise it",
                pair.cost()
            )));
        }
        let threads = parallel::resolve_threads(self.options.threads).min(room);
        let found = pair.compare(&*parallel::pool(threads)?, self.options.cancel)?;
        let errors = pair.has_errors().then(|| found.sums.errors());
        let tensor = TensorComparison {
            name: info.name.clone(),
            shape: info.shape.clone(),
            a,
            b,
            bits_a: a.bits_per_weight(),
            bits_b: b.bits_per_weight(),
            identical: found.identical && a == b,
            errors,
        };
        Ok((tensor, found.sums))
    }
}

/// Outer dimensions of 1 do not count: GGUF files have them or not.
fn same_shape(a: &TensorInfo, b: &TensorInfo) -> bool {
    let trim = |info: &'_ TensorInfo| {
        let first = info.shape.iter().position(|&dim| dim != 1);
        info.shape[first.unwrap_or(info.shape.len())..].to_vec()
    };
    trim(a) == trim(b)
}

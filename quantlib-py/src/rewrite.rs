//! Whole models with the same values: `quantlib/_rewrite.py`.

use crate::errors::{misuse, to_python};
use crate::job::Wishes;
use crate::value;
use crate::work;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantlib::format::ChatTemplate;
use quantlib::job::{self, ExtractAs, JobOptions};
use quantlib::rewrite::{Change, SplitBy, SplitOptions, Token};
use std::path::PathBuf;

/// Splits a model; the report comes as JSON.
#[pyfunction]
pub fn split_model(
    src: PathBuf,
    prefix: PathBuf,
    max_size: Option<u64>,
    max_tensors: Option<usize>,
    no_tensor_first_split: bool,
    wishes: &Bound<'_, PyDict>,
) -> PyResult<String> {
    let mut options = SplitOptions::default();
    options.no_tensor_first_split = no_tensor_first_split;
    options.by = match (max_size, max_tensors) {
        (Some(_), Some(_)) => return Err(misuse("pass max_size or max_tensors, not both")),
        (Some(bytes), None) => SplitBy::Bytes(bytes),
        (None, Some(tensors)) => SplitBy::Tensors(tensors),
        (None, None) => SplitBy::default(),
    };
    let wishes: Wishes<'_> = wishes.extract()?;
    wishes.run(None, |job| job::split_model(&src, &prefix, &options, job))
}

/// Merges a model; the report comes as JSON.
#[pyfunction]
pub fn merge_model(src: PathBuf, out: PathBuf, wishes: &Bound<'_, PyDict>) -> PyResult<String> {
    let wishes: Wishes<'_> = wishes.extract()?;
    wishes.run(None, |job| job::merge_model(&src, &out, job))
}

/// What is to be changed, in this order.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Edits<'py> {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    chat_template: Option<Vec<(Option<String>, String)>>,
    special_tokens: Vec<(String, Bound<'py, PyAny>)>,
    set: Vec<(String, Bound<'py, PyAny>, Option<String>)>,
}

/// Copies a model with other metadata; the report comes as JSON.
#[pyfunction]
pub fn edit_metadata(
    src: PathBuf,
    out: PathBuf,
    edits: &Bound<'_, PyDict>,
    wishes: &Bound<'_, PyDict>,
) -> PyResult<String> {
    let changes = edits.extract::<Edits<'_>>()?.changes()?;
    let wishes: Wishes<'_> = wishes.extract()?;
    wishes.run(None, |job| job::edit_model(&src, &out, &changes, job))
}

impl Edits<'_> {
    fn changes(self) -> PyResult<Vec<Change>> {
        let mut changes: Vec<_> = self.remove.into_iter().map(Change::remove).collect();
        let renames = self.rename.into_iter();
        changes.extend(renames.map(|(from, to)| Change::Rename { from, to }));
        if let Some(templates) = self.chat_template {
            changes.push(Change::ChatTemplate(chat_template(templates)));
        }
        for (name, token) in self.special_tokens {
            let token = match token.extract::<String>() {
                Ok(text) => Token::Text(text),
                Err(_) => Token::Id(token.extract()?),
            };
            changes.push(Change::SpecialToken { name, token });
        }
        for (key, value, type_name) in self.set {
            let value = value::from_python(&value, type_name.as_deref())?;
            changes.push(Change::set(key, value));
        }
        Ok(changes)
    }
}

/// The only one has no name.
fn chat_template(mut templates: Vec<(Option<String>, String)>) -> ChatTemplate {
    match templates.as_mut_slice() {
        [(None, template)] => ChatTemplate::One(std::mem::take(template)),
        _ => {
            let named = templates.into_iter();
            ChatTemplate::Named(named.map(|(n, t)| (n.unwrap_or_default(), t)).collect())
        }
    }
}

/// Write one tensor of a model into a file, piece by piece: f32 in a NumPy file, integers as they are;
/// or, if raw, the bytes as they are stored.
#[pyfunction]
#[pyo3(signature = (src, name, out, raw=false), text_signature = "(src, name, out, raw=False)")]
pub fn extract_tensor(
    py: Python<'_>,
    src: PathBuf,
    name: &str,
    out: PathBuf,
    raw: bool,
) -> PyResult<()> {
    let form = match raw {
        true => ExtractAs::Raw,
        false => ExtractAs::Npy,
    };
    work::run_silently(py, false, |cancel| {
        let mut options = JobOptions::default();
        options.cancel = cancel.as_deref();
        job::extract_tensor(&src, name, &out, form, options).map(drop)
    })
}

/// Compares two models; the comparison comes as JSON.
#[pyfunction]
pub fn compare(
    py: Python<'_>,
    a: PathBuf,
    b: PathBuf,
    filter: Option<&str>,
    threads: Option<i64>,
    memory_limit: Option<u64>,
) -> PyResult<String> {
    let threads = work::threads(threads)?;
    let filter = filter.map(str::parse).transpose().map_err(to_python)?;
    let found = work::run_silently(py, false, |cancel| {
        let mut options = quantlib::measure::CompareOptions::default();
        options.filter = filter;
        options.threads = threads;
        options.memory_limit = memory_limit.unwrap_or(0);
        options.cancel = cancel.as_deref();
        quantlib::measure::compare_files(&a, &b, options)
    })?;
    serde_json::to_string(&found).map_err(|e| misuse(format!("the comparison is no JSON: {e}")))
}

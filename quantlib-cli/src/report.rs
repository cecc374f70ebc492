//! Runs a job with the command's options, and prints its report.

use crate::args;
use crate::output::{self, Table};
use crate::progress::Progress;
use crate::{signals, size};
use quantlib::job::{JobOptions, Report};
use quantlib::model::ImportanceSource;
use quantlib::{Error, NonFinite};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Runs `job` with a progress bar and signals, and prints what it did or would do.
pub(crate) fn run(
    args: &args::Job,
    non_finite: NonFinite,
    importance: Option<&dyn ImportanceSource>,
    job: impl FnOnce(JobOptions<'_>) -> Result<Report, Error>,
) -> Result<(), Error> {
    let progress = Progress::new();
    let mut tell = |done, total, tensor: &str| {
        progress.set(done, total, tensor);
        ControlFlow::Continue(())
    };
    let mut options = JobOptions::default();
    options.threads = args.threads;
    options.memory_limit = args.memory_limit;
    options.non_finite = non_finite;
    options.importance = importance;
    options.dry_run = args.dry_run;
    options.cancel = Some(signals::cancel_flag());
    options.progress = Some(&mut tell);
    let report = job(options);
    drop(progress);
    let report = report?;
    if args.json {
        return output::json(&report);
    }
    output::text(&show(&report))
}

fn show(report: &Report) -> String {
    let mut text = String::new();
    if report.output.is_none() {
        text += &tensors(report);
        text.push('\n');
    }
    if report.files.len() > 1 {
        text += &files(report);
        text.push('\n');
    }
    for note in &report.notes {
        text += &format!("note: {note}\n");
    }
    text += &summary(report);
    text
}

fn tensors(report: &Report) -> String {
    let mut table = Table::new(&["tensor", "shape", "from", "to", ">bytes"]);
    for tensor in &report.tensors {
        table.row([
            tensor.name.clone(),
            shape(&tensor.shape),
            tensor.from.to_string(),
            tensor.to.to_string(),
            tensor.bytes_out.to_string(),
        ]);
    }
    table.render("")
}

fn files(report: &Report) -> String {
    let mut table = Table::new(&["file", ">tensors", ">bytes"]);
    for (number, file) in (1..).zip(&report.files) {
        let planned = || format!("{number} of {}", report.files.len());
        table.row([
            file.path.clone().unwrap_or_else(planned),
            file.tensors.to_string(),
            file.bytes.to_string(),
        ]);
    }
    table.render("")
}

/// A shape as people write it: `4096 x 14336`.
pub(crate) fn shape(shape: &[usize]) -> String {
    let dims: Vec<_> = shape.iter().map(usize::to_string).collect();
    dims.join(" x ")
}

fn sizes(report: &Report) -> String {
    let file = format!(
        "{} ({} bytes)",
        size::show(report.file_bytes),
        report.file_bytes
    );
    // A model's constants may all be part of its graph.
    if report.tensors.is_empty() {
        return file;
    }
    format!(
        "{file}, {:.2} bits per weight; the tensors took {} before",
        report.bits_per_weight,
        size::show(report.bytes_in),
    )
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        text += &format!(
            "{name:<8} {value}
"
        );
    };
    line(
        "input",
        format!("{} ({})", report.input, report.input_format),
    );
    match &report.output {
        Some(output) => line("output", output.clone()),
        None => line("output", "nothing written: a dry run".to_owned()),
    }
    if let Some(recipe) = &report.recipe {
        line("recipe", recipe.clone());
    }
    if !report.tensors.is_empty() {
        line("tensors", types(report));
    }
    line("size", sizes(report));
    if let (Some(seconds), Some(threads)) = (report.seconds, report.threads) {
        let plural = if threads == 1 { "" } else { "s" };
        line(
            "time",
            format!("{seconds:.2} s with {threads} thread{plural}"),
        );
    }
    text
}

/// How many tensors became what: `74: 48 q4_k, 9 q6_k, 17 f32`.
fn types(report: &Report) -> String {
    // By what they are called: encodings that differ along an axis only are one line here.
    let mut counts = BTreeMap::<String, usize>::new();
    for tensor in &report.tensors {
        *counts.entry(tensor.to.to_string()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counts: Vec<_> = counts
        .iter()
        .map(|(encoding, count)| format!("{count} {encoding}"))
        .collect();
    format!("{}: {}", report.tensors.len(), counts.join(", "))
}

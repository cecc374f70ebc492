//! `quantlib compare`

use crate::args::Compare;
use crate::output::{self, Table};
use crate::progress::Progress;
use crate::{report, signals};
use quantlib::Error;
use quantlib::measure::{CompareOptions, Comparison, Errors, TensorComparison, compare_files};
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// Keys and tensors of one model that are listed at most.
const LISTED: usize = 20;

/// Prints the comparison, and tells whether the models are the same.
pub(crate) fn run(args: Compare) -> Result<bool, Error> {
    let progress = Progress::new();
    let mut tell = |done, total, tensor: &str| {
        progress.set(done, total, tensor);
        ControlFlow::Continue(())
    };
    let mut options = CompareOptions::default();
    options.filter = args.filter;
    options.threads = args.threads;
    options.memory_limit = args.memory_limit;
    options.cancel = Some(signals::cancel_flag());
    options.progress = Some(&mut tell);
    let found = compare_files(&args.a, &args.b, options);
    drop(progress);
    let found = found?;
    if args.json {
        output::json(&found)?;
    } else {
        output::text(&show(&found, args.worst))?;
    }
    Ok(found.is_identical())
}

fn show(found: &Comparison, worst: Option<usize>) -> String {
    let mut text = String::new();
    if !found.tensors.is_empty() {
        text += &tensors(found, worst);
        text.push('\n');
    }
    for (which, infos) in [("A", &found.only_a), ("B", &found.only_b)] {
        text += &list(
            &format!("only in {which}"),
            infos.iter().map(|info| {
                format!(
                    "{} ({}, {})",
                    info.name,
                    info.dtype,
                    report::shape(&info.shape)
                )
            }),
        );
    }
    text += &list(
        "other shapes",
        found.reshaped.iter().map(|tensor| {
            format!(
                "{}: {} and {}",
                tensor.name,
                report::shape(&tensor.a),
                report::shape(&tensor.b)
            )
        }),
    );
    text += &list(
        "other metadata",
        found.metadata.iter().map(|key| {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            format!("{}: {} and {}", key.key, side(&key.a), side(&key.b))
        }),
    );
    text + &summary(found)
}

fn tensors(found: &Comparison, worst: Option<usize>) -> String {
    let headings = [
        "tensor", "shape", "A", "B", ">SQNR", ">RMSE", ">max", ">cosine",
    ];
    let mut table = Table::new(&headings);
    let mut order: Vec<_> = found.tensors.iter().collect();
    if worst.is_some() {
        order.sort_by(|a, b| sqnr(a).partial_cmp(&sqnr(b)).unwrap_or(Ordering::Equal));
    }
    for tensor in order.into_iter().take(worst.unwrap_or(usize::MAX)) {
        let start = [
            tensor.name.clone(),
            report::shape(&tensor.shape),
            tensor.a.to_string(),
            tensor.b.to_string(),
        ];
        table.row(
            start
                .into_iter()
                .chain(numbers(tensor.errors.as_ref(), tensor.identical)),
        );
    }
    let total = &found.total;
    let start = [
        "all",
        "",
        &format!("{:.2}", total.bits_a),
        &format!("{:.2}", total.bits_b),
    ];
    let same = total.identical == found.tensors.len();
    table.row(
        start
            .map(str::to_owned)
            .into_iter()
            .chain(numbers(Some(&total.errors), same)),
    );
    table.render("")
}

/// What tensors are ordered by: those without errors go last.
fn sqnr(tensor: &TensorComparison) -> f64 {
    let errors = tensor.errors.as_ref();
    errors
        .and_then(|errors| errors.sqnr_db)
        .unwrap_or(f64::INFINITY)
}

fn numbers(errors: Option<&Errors>, identical: bool) -> [String; 4] {
    match errors {
        _ if identical => ["identical", "", "", ""].map(str::to_owned),
        None => ["different", "", "", ""].map(str::to_owned),
        Some(errors) => [
            errors
                .sqnr_db
                .map_or_else(|| "equal".to_owned(), |db| format!("{db:.2} dB")),
            format!("{:.3e}", errors.rmse),
            format!("{:.3e}", errors.max_error),
            errors
                .cosine
                .map_or_else(String::new, |cosine| format!("{cosine:.6}")),
        ],
    }
}

fn list(heading: &str, lines: impl ExactSizeIterator<Item = String>) -> String {
    let count = lines.len();
    if count == 0 {
        return String::new();
    }
    let mut text = format!("{heading}: {count}\n");
    for line in lines.take(LISTED) {
        text += &format!("  {line}\n");
    }
    if count > LISTED {
        text += &format!("  and {} more; --json lists all\n", count - LISTED);
    }
    text + "\n"
}

fn summary(found: &Comparison) -> String {
    let non_finite = match found.total.errors.non_finite {
        0 => String::new(),
        count => format!("; {count} pairs with NaN or infinite values left out"),
    };
    format!(
        "A        {}, {:.2} bits per weight\nB        {}, {:.2} bits per weight\ntensors  {} compared, {} of them identical{non_finite}\n",
        found.a,
        found.total.bits_a,
        found.b,
        found.total.bits_b,
        found.tensors.len(),
        found.total.identical,
    )
}

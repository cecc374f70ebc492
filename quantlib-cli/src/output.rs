//! Standard output: text, tables and JSON documents.

use quantlib::{Error, ErrorKind};
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON documents.
pub(crate) const SCHEMA: u32 = 1;

/// Prints text. That the reader had enough (`quantlib types | head`) is no failure.
pub(crate) fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Io,
            format!("cannot write to standard output: {e}"),
        )),
        _ => Ok(()),
    }
}

/// Prints one JSON document.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(document)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot make JSON: {e}")))?;
    text(&(json + "\n"))
}

/// The document of a command that failed.
#[derive(Serialize)]
pub(crate) struct Failure {
    schema: u32,
    error: Wrong,
}

#[derive(Serialize)]
struct Wrong {
    kind: &'static str,
    message: String,
    file: Option<String>,
    tensor: Option<String>,
    key: Option<String>,
}

impl Failure {
    pub(crate) fn new(error: &Error) -> Self {
        Self {
            schema: SCHEMA,
            error: Wrong {
                kind: error.kind().name(),
                message: error.to_string(),
                file: error.file().map(|path| path.display().to_string()),
                tensor: error.tensor().map(str::to_owned),
                key: error.key().map(str::to_owned),
            },
        }
    }
}

/// Columns of text, as wide as their longest cell.
pub(crate) struct Table {
    /// For each column, whether it is aligned to the right, as numbers are.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; those of columns of numbers begin with `>`.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|h| h.starts_with('>')).collect();
        let headings = headings
            .iter()
            .map(|h| h.trim_start_matches('>').to_owned());
        Self {
            right,
            rows: vec![headings.collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, each of which begins with `indent`.
    pub(crate) fn render(&self, indent: &str) -> String {
        let width = |cell: &String| cell.chars().count();
        let widths: Vec<usize> = (0..self.right.len())
            .map(|i| {
                self.rows
                    .iter()
                    .map(|row| width(&row[i]))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.right);
            let cells: Vec<_> = cells
                .map(|((cell, &width), right)| match right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                })
                .collect();
            text.push_str(indent);
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

//! Says what a test could not do, past the test harness, which swallows what passing tests print.

use std::io::Write;

/// Prints to the terminal that a test did not run, and why.
pub(crate) fn not_run(why: &str) {
    let line = format!("NOT RUN: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

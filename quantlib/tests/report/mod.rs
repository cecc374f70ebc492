//! Says what a test could not do, past the test harness, which swallows what passing tests print.

use std::io::Write;

/// Prints to the terminal that a test did not run, and why.
pub(crate) fn not_run(why: &str) {
    writeln!(std::io::stderr(), "NOT RUN: {why}").unwrap();
}

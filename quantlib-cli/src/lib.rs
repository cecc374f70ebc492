//! The `quantlib` command as a library, so that the Python wheel can expose it too.

mod args;
mod compare;
mod convert;
mod edit;
mod extract;
mod inspect;
mod output;
mod progress;
mod quantize;
mod report;
mod signals;
mod size;
mod split;
mod tensor_types;
mod types;

use args::{Args, Command};
use clap::Parser;
use quantlib::{Error, ErrorKind};
use std::ffi::OsString;

/// The exit codes of the command.
mod exit {
    pub(super) const OK: i32 = 0;
    pub(super) const FAILED: i32 = 1;
    /// That of a process that SIGINT ended, as shells report it.
    pub(super) const INTERRUPTED: i32 = 130;
}

/// Runs the command with these arguments, the program's name first, and returns its exit code:
/// 0 for success, 1 for failure, 2 for wrong usage, 130 if it was interrupted.
pub fn run(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Where even the message cannot be written, the exit code remains.
            drop(error.print());
            return error.exit_code();
        }
    };
    let (json, done) = match args.command {
        Command::Quantize(args) => (args.job.json, quantize::run(*args)),
        Command::Convert(args) => (args.job.json, convert::run(args)),
        Command::Inspect(args) => (args.json, inspect::run(&args)),
        Command::Compare(args) => {
            let (json, exit_code) = (args.json, args.exit_code);
            match compare::run(args) {
                Ok(false) if exit_code => return exit::FAILED,
                done => (json, done.map(drop)),
            }
        }
        Command::Split(args) => (args.job.json, split::split(&args)),
        Command::Merge(args) => (args.job.json, split::merge(&args)),
        Command::Edit(args) => (args.job.json, edit::run(&args)),
        Command::Extract(args) => (false, extract::run(&args)),
        Command::Types(args) => (args.json, types::run(&args)),
    };
    match done {
        Ok(()) => exit::OK,
        Err(error) => fail(&error, json),
    }
}

fn fail(error: &Error, json: bool) -> i32 {
    if json {
        drop(output::json(&output::Failure::new(error)));
    }
    eprintln!("error: {error}");
    match error.kind() {
        ErrorKind::Cancelled => exit::INTERRUPTED,
        _ => exit::FAILED,
    }
}

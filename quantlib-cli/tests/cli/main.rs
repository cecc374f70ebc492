//! The command as a user meets it: exit codes, messages, files, signals, full disks.

mod commands;
mod importance;
#[cfg(unix)]
mod interrupted;
mod rewrite;
mod support;

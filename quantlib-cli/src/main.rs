//! The `quantlib` command.

fn main() {}

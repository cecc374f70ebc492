//! The `quantlib` command.

fn main() {
    std::process::exit(quantlib_cli::run(std::env::args_os()));
}

//! Accidents that change no byte: a function that is not inlined into a kernel is compiled for the
//! baseline CPU, and the kernel is many times slower.
#![cfg(target_arch = "x86_64")]

mod calls;
mod counts;

use std::process::{Command, Output};

/// What a program prints, or nothing if it is not installed.
fn output(command: &mut Command) -> Option<Output> {
    let program = command.get_program().to_os_string();
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {} is not installed", program.display());
            None
        }
        Err(error) => panic!("{}: {error}", program.display()),
    }
}

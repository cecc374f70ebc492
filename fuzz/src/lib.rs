//! What all targets do: bytes become a file, the file is opened, what it promises is read.
//!
//! `cargo +nightly fuzz run gguf fuzz/corpus/gguf tests/data/golden/containers` begins with real
//! files. Nothing may panic, hang, or take memory that the file does not justify.

use quantlib::format::gguf::{Dialect, layout};
use quantlib::model::Model;
use std::path::Path;

/// Opens `bytes` with `open`; whatever opens must keep its promises.
pub fn check(bytes: &[u8], open: impl Fn(&Path) -> quantlib::Result<Model>) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("the temporary file is writable");
    match open(file.path()) {
        Ok(model) => check_model(&model),
        Err(error) => assert_eq!(error.file(), Some(file.path()), "{error}"),
    }
}

fn check_model(model: &Model) {
    for info in model.tensors() {
        let data = model.read(&info.name).expect("the header was checked");
        assert_eq!(data.len(), info.nbytes());
    }
    // What was read can be laid out or is refused, without a panic.
    drop(layout(model.tensors(), model.metadata(), Dialect::Ggml));
}

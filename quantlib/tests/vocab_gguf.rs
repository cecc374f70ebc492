//! Real files: every GGUF vocabulary in a folder, read and laid out again, has the same bytes.
//!
//! The folder is named by `QUANTLIB_VOCAB_DIR`; llama.cpp has 19 such files under `models/`.

mod report;

use quantlib::format::gguf::{Dialect, Reader, layout};
use report::not_run;
use std::path::Path;

#[test]
fn vocabularies_laid_out_again_have_the_same_bytes() {
    let Some(folder) = std::env::var_os("QUANTLIB_VOCAB_DIR") else {
        not_run("QUANTLIB_VOCAB_DIR names no folder of GGUF vocabularies");
        return;
    };
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "gguf") {
            compare(&path);
            compared += 1;
        }
    }
    assert!(compared > 0, "QUANTLIB_VOCAB_DIR has no .gguf files");
    println!("{compared} vocabularies compared");
}

fn compare(path: &Path) {
    let model = Reader::open(path).unwrap();
    assert_eq!(model.tensors(), [], "{path:?} is more than a vocabulary");
    let laid_out = layout(model.tensors(), model.metadata(), Dialect::GgufPy).unwrap();
    let mut stored = std::fs::read(path).unwrap();
    // Version 2 is laid out like version 3, which is what we write.
    assert!([2, 3].contains(&stored[4]));
    stored[4] = 3;
    assert!(laid_out.head == stored, "{path:?} differs");
    assert_eq!(laid_out.file_len, stored.len() as u64);
}

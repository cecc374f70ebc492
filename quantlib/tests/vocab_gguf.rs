//! Real files: every GGUF vocabulary of llama.cpp, read and written again, has the same bytes.
//!
//! They are the 19 files `models/ggml-vocab-*.gguf` of llama.cpp's source, which scripts/get-llama-cpp
//! fetches; `QUANTLIB_LLAMA_CPP_DIR` names another copy, `QUANTLIB_VOCAB_DIR` a folder of such files.

mod report;

use quantlib::format::gguf::{Dialect, Reader, layout};
use quantlib::job::{JobOptions, edit_model};
use report::not_run;
use std::env::var_os;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> Option<PathBuf> {
    let fetched = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers/llama.cpp");
    let source = || var_os("QUANTLIB_LLAMA_CPP_DIR").map_or_else(fetched, PathBuf::from);
    let folder =
        var_os("QUANTLIB_VOCAB_DIR").map_or_else(|| source().join("models"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

#[test]
fn vocabularies_written_again_have_the_same_bytes() {
    let Some(folder) = folder() else {
        not_run("no real vocabularies; scripts/get-llama-cpp fetches them");
        return;
    };
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "gguf") {
            compare(&path);
            compared += 1;
        }
    }
    assert!(compared > 0, "the folder has no .gguf files");
    println!("{compared} vocabularies compared");
}

fn compare(path: &Path) {
    let model = Reader::open(path).unwrap();
    assert_eq!(model.tensors(), [], "{path:?} is more than a vocabulary");
    let mut stored = fs::read(path).unwrap();
    // Version 2 is laid out like version 3, which is what we write.
    assert!([2, 3].contains(&stored[4]));
    stored[4] = 3;
    let laid_out = layout(model.tensors(), model.metadata(), Dialect::GgufPy).unwrap();
    assert!(laid_out.head == stored, "{path:?} differs");
    assert_eq!(laid_out.file_len, stored.len() as u64);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("again.gguf");
    edit_model(path, &out, &[], JobOptions::default()).unwrap();
    assert!(fs::read(out).unwrap() == stored, "{path:?} differs");
}

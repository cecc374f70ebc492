//! From a Hugging Face folder to a quantized GGUF in one pass: the files that llama-quantize makes of
//! those that convert_hf_to_gguf.py makes, without the files between.

use crate::cases;
use crate::files::{golden, sha256};
use quantlib::Result;
use quantlib::arch::{ConvertOptions, convert_plan};
use quantlib::format::hf::Folder;
use quantlib::job::{Job, JobOptions};
use quantlib::model::ImportanceSummary;
use quantlib::recipe;
use std::fs;
use std::path::Path;

/// The recipe on what the conversion to `outtype` would write.
fn quantize(folder: &Path, outtype: &str, case: &str, out: &Path) -> Result<Vec<u8>> {
    let model = quantlib::open(folder)?;
    let mut options = ConvertOptions::default();
    options.outtype = outtype.parse()?;
    let converted = convert_plan(&Folder::open(folder)?, &model, &options)?;
    let (recipe, options) = cases::parse(case, &ImportanceSummary::default());
    let plan = recipe::plan_after(&converted, model.metadata(), recipe, &options)?;
    Job::new(&model, &plan)?.run(out, JobOptions::default())?;
    Ok(fs::read(out).unwrap())
}

#[test]
fn folders_become_quantized_files_in_one_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny-llama-2m");
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out.gguf");
    let mut equal = 0;
    for (outtype, files) in &golden().tiny_llama {
        for (case, expected) in &files.outputs {
            match quantize(&folder, outtype, case, &out) {
                Ok(ours) => {
                    let expected = expected.as_ref().expect("llama-quantize refuses none");
                    assert_eq!(&sha256(&ours), expected, "{outtype}: {case}");
                    equal += 1;
                }
                Err(error) => panic!("{outtype}: {case}: {error}"),
            }
        }
    }
    println!("{equal} files equal in one pass");
    assert!(equal >= 80);
}

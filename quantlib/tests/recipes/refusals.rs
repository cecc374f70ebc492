//! What recipes refuse, and that they say what to do about it.

use quantlib::model::{ImportanceSummary, Metadata, TensorInfo, Value};
use quantlib::recipe::{self, Header, QuantizeOptions, Recipe};
use quantlib::{DType, Encoding, Error, ErrorKind};

const TENSOR: &str = "blk.0.ffn_up.weight";

fn tensor(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
    TensorInfo {
        name: name.into(),
        dtype,
        shape: shape.into(),
    }
}

fn metadata(arch: &str) -> Metadata {
    [
        ("general.architecture".to_owned(), Value::from(arch)),
        (format!("{arch}.block_count"), Value::from(1u32)),
    ]
    .into_iter()
    .collect()
}

fn plan(
    arch: &str,
    dtype: DType,
    recipe: Recipe,
    change: impl FnOnce(&mut QuantizeOptions),
) -> Result<Encoding, Error> {
    let tensors = [tensor(TENSOR, dtype, &[2, 4, 256])];
    let metadata = metadata(arch);
    let header = Header {
        tensors: &tensors,
        metadata: &metadata,
        files: &[],
    };
    let mut options = QuantizeOptions::default();
    change(&mut options);
    recipe::plan(&header, recipe, &options).map(|plan| plan.tensors[0].encoding.clone())
}

#[track_caller]
fn refused(result: Result<Encoding, Error>, kind: ErrorKind, advice: &str) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(advice), "{error}");
    error
}

#[test]
fn low_types_need_importance_weights() {
    let matrix = |name: &str, len| {
        let mut summary = ImportanceSummary::default();
        summary.entries.insert(name.into(), len);
        move |options: &mut QuantizeOptions| options.importance = Some(summary)
    };
    let low = |change| plan("llama", DType::F32, Recipe::Iq2Xxs, change);
    for recipe in [Recipe::Iq1S, Recipe::Iq2Xxs, Recipe::Q2KS, Recipe::Iq3Xxs] {
        let result = plan("llama", DType::F32, recipe, |_| {});
        let error = refused(result, ErrorKind::Misuse, "--imatrix");
        assert_eq!(error.tensor(), Some(TENSOR));
    }
    refused(low(matrix("other", 512)), ErrorKind::Misuse, "--imatrix");
    refused(low(matrix(TENSOR, 256)), ErrorKind::Misuse, "2 times 256");
    assert!(low(matrix(TENSOR, 512)).is_ok());
    let plain = plan("llama", DType::F32, Recipe::Q4KM, matrix(TENSOR, 256));
    refused(plain, ErrorKind::Misuse, "2 times 256");
}

#[test]
fn blocks_are_encoded_again_only_if_allowed() {
    let again = |change: fn(&mut QuantizeOptions)| plan("llama", DType::Q8_0, Recipe::Q4_0, change);
    let error = refused(again(|_| {}), ErrorKind::Misuse, "--allow-requantize");
    assert_eq!(error.tensor(), Some(TENSOR));
    let allowed = again(|options| options.allow_requantize = true);
    assert_eq!(allowed.unwrap(), Encoding::Block(DType::Q4_0));
    let same = plan("llama", DType::Q8_0, Recipe::Q8_0, |_| {});
    assert_eq!(same.unwrap(), Encoding::Block(DType::Q8_0));
}

#[test]
fn unknown_architectures_have_no_mixture() {
    let unknown = |recipe, pure| plan("warp", DType::F32, recipe, |options| options.pure = pure);
    let error = refused(
        unknown(Recipe::Q4KM, false),
        ErrorKind::Unsupported,
        "--pure",
    );
    assert!(error.to_string().contains("'warp'"));
    for (recipe, pure) in [(Recipe::Q4KM, true), (Recipe::F16, false)] {
        let expected = Encoding::Block(recipe.dtype());
        assert_eq!(unknown(recipe, pure).unwrap(), expected);
    }
    assert_eq!(
        unknown(Recipe::Copy, false).unwrap(),
        Encoding::Block(DType::F32)
    );
}

#[test]
fn types_that_cannot_be_are_refused() {
    let integers = plan("llama", DType::I32, Recipe::Q8_0, |_| {});
    refused(integers, ErrorKind::Unsupported, "i32");
    let wish = |wish: &'static str| {
        plan("llama", DType::F32, Recipe::Q8_0, move |options| {
            options.tensor_types.push(wish.parse().unwrap());
        })
    };
    refused(wish("ffn=q8_k"), ErrorKind::Misuse, "q8_k");
    refused(wish("ffn=u8"), ErrorKind::Misuse, "u8");
    refused(wish("ffn(=q8_0"), ErrorKind::Misuse, "pattern");
}

#[test]
fn fallbacks_are_noted() {
    let tensors = [tensor(TENSOR, DType::F32, &[4, 96])];
    let metadata = metadata("llama");
    let header = Header {
        tensors: &tensors,
        metadata: &metadata,
        files: &[],
    };
    let plan = recipe::plan(&header, Recipe::Q4KM, &QuantizeOptions::default()).unwrap();
    assert_eq!(plan.tensors[0].encoding, Encoding::Block(DType::Q5_0));
    assert_eq!(
        plan.notes,
        ["blk.0.ffn_up.weight: 96 columns are no multiple of 256, so q5_0 instead of q4_k"]
    );
}

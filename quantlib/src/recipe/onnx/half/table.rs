//! Which operators take f16, and which of their inputs and outputs stay f32 all the same.

use crate::format::onnx::Node;

/// Operators that have no f16, by ONNX's definition or in onnxruntime: the list of onnxruntime's own
/// converter.
const WITHOUT: &[&str] = &[
    "ArrayFeatureExtractor",
    "Binarizer",
    "CastMap",
    "CategoryMapper",
    "CumSum",
    "DictVectorizer",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Max",
    "Min",
    "NonMaxSuppression",
    "Normalizer",
    "OneHotEncoder",
    "RandomUniformLike",
    "Range",
    "RoiAlign",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TopK",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "Upsample",
    "ZipMap",
];

/// Operators that yield f32 or take it only, which that converter does not know.
const ALWAYS_WIDE: &[&str] = &[
    "BlackmanWindow",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "HammingWindow",
    "HannWindow",
    "MatMulIntegerToFloat",
    "MelWeightMatrix",
    "QAttention",
    "QEmbedLayerNormalization",
    "TfIdfVectorizer",
];

/// The operator set from which quantization takes f16.
const HALF_SCALES: i64 = 19;

/// Whether a node calculates in f32 whatever it is given.
pub(super) fn stays_wide(node: &Node<'_>, opset: i64) -> bool {
    let op = node.op_type();
    let old_scales = matches!(op, "QuantizeLinear" | "DequantizeLinear") && opset < HALF_SCALES;
    let known = matches!(node.domain(), "" | "com.microsoft");
    !known || WITHOUT.contains(&op) || ALWAYS_WIDE.contains(&op) || old_scales
}

/// Whether an input of a node in f16 is f32.
pub(super) fn is_wide_input(node: &Node<'_>, input: usize, opset: i64) -> bool {
    if !matches!(input, 1 | 2) {
        return false;
    }
    match (node.op_type(), input) {
        ("Resize", 1) => opset <= 10,
        ("Resize", 2) => opset > 10,
        ("GroupNorm" | "SkipGroupNorm", _) => !node.domain().is_empty(),
        _ => false,
    }
}

/// Whether an output of a node in f16 is f32: what normalizations tell of their statistics.
pub(super) fn is_wide_output(node: &Node<'_>, output: usize) -> bool {
    const NORMALIZE: &[&str] = &[
        "LayerNormalization",
        "SimplifiedLayerNormalization",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
    ];
    matches!(output, 1 | 2) && NORMALIZE.contains(&node.op_type())
}

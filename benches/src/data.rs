//! What is encoded and decoded.

/// Close to normally distributed, always the same.
pub(crate) fn normal(len: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..len)
        .map(|_| (0..12).map(|_| unit()).sum::<f32>() - 6.0)
        .collect()
}

/// Importance weights: all positive, and far from equal.
pub(crate) fn importance(cols: usize) -> Vec<f32> {
    normal(cols).iter().map(|x| x * x).collect()
}

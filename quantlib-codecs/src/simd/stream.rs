//! Writing past the caches, for results that no cache would hold until somebody reads them.

/// Copies `from` to `to`, which does not come to lie in the caches where the CPU can avoid it: the
/// memory of `to` is not read first, and nothing else is driven out. Much slower than a plain copy
/// if `to` is in a cache already. Panics if the lengths differ.
pub(crate) fn copy_past_caches(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    #[cfg(target_arch = "x86_64")]
    super::x86::copy_past_caches(from, to);
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_whatever_lies_wherever() {
        let from: Vec<f32> = (0..200).map(|i| i as f32).collect();
        for start in 0..20 {
            for len in [0, 1, 3, 15, 16, 17, 40, 64, 100] {
                let mut to = vec![-1.0; 200];
                copy_past_caches(&from[..len], &mut to[start..start + len]);
                assert_eq!(to[start..start + len], from[..len]);
                let around = to[..start].iter().chain(&to[start + len..]);
                assert!(around.copied().all(|x| x == -1.0), "{start} {len}");
            }
        }
    }
}

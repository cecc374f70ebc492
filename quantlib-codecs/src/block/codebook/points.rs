//! The codebooks' vectors, expanded at compile time.

use super::sets;

/// The levels of every vector of a codebook, in the order of the codes.
pub(in crate::block) type Points<const DIM: usize, const N: usize> = [[u8; DIM]; N];

pub(in crate::block) static IQ2_XXS: Points<8, 256> = expand(&sets::IQ2_XXS, 3);
pub(in crate::block) static IQ2_XS: Points<8, 512> = expand(&sets::IQ2_XS, 3);
pub(in crate::block) static IQ2_S: Points<8, 1024> = expand(&sets::IQ2_S, 3);
pub(in crate::block) static IQ1: Points<8, 2048> = expand(&sets::IQ1, 3);
pub(in crate::block) static IQ3_XXS: Points<4, 256> = expand(&sets::IQ3_XXS, 8);
pub(in crate::block) static IQ3_S: Points<4, 512> = expand(&sets::IQ3_S, 8);

/// The vectors of a set whose levels are digits in base `base`. Does not compile unless there are N.
const fn expand<const DIM: usize, const N: usize>(set: &[u32], base: usize) -> Points<DIM, N> {
    let mut points = [[0; DIM]; N];
    let mut len = 0;
    let mut number = 0;
    while number < 32 * set.len() {
        if (set[number / 32] >> (number % 32)) & 1 == 1 {
            let mut rest = number;
            let mut i = 0;
            while i < DIM {
                points[len][i] = (rest % base) as u8;
                rest /= base;
                i += 1;
            }
            len += 1;
        }
        number += 1;
    }
    assert!(len == N);
    points
}

/// What a format decodes each vector to, given the magnitude of each level.
pub(in crate::block) const fn magnitudes<const DIM: usize, const N: usize>(
    points: &Points<DIM, N>,
    of_level: &[u8],
) -> [[u8; DIM]; N] {
    let mut magnitudes = [[0; DIM]; N];
    let mut n = 0;
    while n < N {
        let mut i = 0;
        while i < DIM {
            magnitudes[n][i] = of_level[points[n][i] as usize];
            i += 1;
        }
        n += 1;
    }
    magnitudes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// SHA-256 of the bytes of llama.cpp's table of the same name in ggml-common.h.
    fn assert_is<const DIM: usize, const N: usize>(
        points: &Points<DIM, N>,
        of_level: &[u8],
        table: &str,
        sha256: &str,
    ) {
        let digest = Sha256::digest(magnitudes(points, of_level).as_flattened());
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, sha256, "{table}");
    }

    #[test]
    fn codebooks_are_those_of_the_contract() {
        let two_bits = &[8, 25, 43];
        assert_is(
            &IQ2_XXS,
            two_bits,
            "iq2xxs_grid",
            "05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54",
        );
        assert_is(
            &IQ2_XS,
            two_bits,
            "iq2xs_grid",
            "06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de",
        );
        assert_is(
            &IQ2_S,
            two_bits,
            "iq2s_grid",
            "e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88",
        );
        assert_is(
            &IQ1,
            &[255, 0, 1],
            "iq1s_grid",
            "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a",
        );
        assert_is(
            &IQ3_XXS,
            &[4, 12, 20, 28, 36, 44, 52, 62],
            "iq3xxs_grid",
            "46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d",
        );
        assert_is(
            &IQ3_S,
            &[1, 3, 5, 7, 9, 11, 13, 15],
            "iq3s_grid",
            "bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f",
        );
    }
}

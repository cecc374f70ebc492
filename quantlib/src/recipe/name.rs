//! The recipes by name: llama-quantize's file types.

use crate::dtype::DType;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Builds the enum and its table from one list:
/// `Variant = "name", number in the file, type of most tensors;`
macro_rules! recipes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $file_type:literal, $dtype:ident;)*) => {
        /// What most tensors become, and which mixture of other types the sensitive ones get.
        ///
        /// Parses from llama-quantize's names in either case, its aliases (`q3_k`, `q4_k` and
        /// `q5_k` mean the medium mixture) and its numbers.
        ///
        /// ```
        /// use quantlib::recipe::Recipe;
        /// assert_eq!("q4_k".parse::<Recipe>()?, Recipe::Q4KM);
        /// assert_eq!("15".parse::<Recipe>()?.name(), "q4_k_m");
        /// # Ok::<(), quantlib::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Recipe { $($(#[$doc])* $variant,)* }

        impl Recipe {
            /// Every recipe, smallest files first.
            pub const ALL: &[Recipe] = &[$(Recipe::$variant),*];

            /// The name in lower case: `"q4_k_m"`.
            pub const fn name(self) -> &'static str {
                match self { $(Recipe::$variant => $name,)* }
            }

            /// The number that `general.file_type` gets; [`Copy`](Recipe::Copy) keeps the input's.
            pub const fn file_type(self) -> u32 {
                match self { $(Recipe::$variant => $file_type,)* }
            }

            /// The type of most tensors, and of all that can have it under `--pure`.
            pub const fn dtype(self) -> DType {
                match self { $(Recipe::$variant => DType::$dtype,)* }
            }
        }
    };
}

recipes! {
    /// 1.13 bits.
    Q1_0 = "q1_0", 40, Q1_0;
    /// 1.56 bits; needs an importance matrix.
    Iq1S = "iq1_s", 24, Iq1S;
    /// 1.69 bits, for ternary models.
    Tq1_0 = "tq1_0", 36, Tq1_0;
    /// 1.75 bits; needs an importance matrix.
    Iq1M = "iq1_m", 31, Iq1M;
    /// 2.06 bits, for ternary models.
    Tq2_0 = "tq2_0", 37, Tq2_0;
    /// 2.06 bits; needs an importance matrix.
    Iq2Xxs = "iq2_xxs", 19, Iq2Xxs;
    /// 2.25 bits.
    Q2_0 = "q2_0", 41, Q2_0;
    /// 2.31 bits; needs an importance matrix.
    Iq2Xs = "iq2_xs", 20, Iq2Xs;
    /// 2.31 bits with more for attention; needs an importance matrix.
    Iq2S = "iq2_s", 28, Iq2Xs;
    /// 2.56 bits; needs an importance matrix.
    Iq2M = "iq2_m", 29, Iq2S;
    /// 2.63 bits with more for the first layers; needs an importance matrix.
    Q2KS = "q2_k_s", 21, Q2K;
    /// 2.63 bits with 3.44 for the sensitive tensors.
    Q2K = "q2_k", 10, Q2K;
    /// 3.06 bits; needs an importance matrix.
    Iq3Xxs = "iq3_xxs", 23, Iq3Xxs;
    /// Between 3.06 and 3.44 bits; needs an importance matrix.
    Iq3Xs = "iq3_xs", 22, Iq3S;
    /// 3.44 bits.
    Iq3S = "iq3_s", 26, Iq3S;
    /// 3.44 bits with 4.5 for the sensitive tensors.
    Iq3M = "iq3_m", 27, Iq3S;
    /// 3.44 bits.
    Q3KS = "q3_k_s", 11, Q3K;
    /// 3.44 bits with 4.5 for the sensitive tensors.
    Q3KM = "q3_k_m", 12, Q3K;
    /// 3.44 bits with 5.5 for the sensitive tensors.
    Q3KL = "q3_k_l", 13, Q3K;
    /// 4.25 bits.
    Iq4Xs = "iq4_xs", 30, Iq4Xs;
    /// 4.25 bits for experts, 8.5 for the rest.
    Mxfp4Moe = "mxfp4_moe", 38, Mxfp4;
    /// 4.5 bits, non-linear codes.
    Iq4Nl = "iq4_nl", 25, Iq4Nl;
    /// 4.5 bits.
    Q4_0 = "q4_0", 2, Q4_0;
    /// 4.5 bits with 5.5 for the first layers.
    Q4KS = "q4_k_s", 14, Q4K;
    /// 4.5 bits with 6.56 for half of the sensitive tensors: the usual choice.
    Q4KM = "q4_k_m", 15, Q4K;
    /// 5 bits.
    Q4_1 = "q4_1", 3, Q4_1;
    /// 5.5 bits.
    Q5_0 = "q5_0", 8, Q5_0;
    /// 5.5 bits.
    Q5KS = "q5_k_s", 16, Q5K;
    /// 5.5 bits with 6.56 for half of the sensitive tensors.
    Q5KM = "q5_k_m", 17, Q5K;
    /// 6 bits.
    Q5_1 = "q5_1", 9, Q5_1;
    /// 6.56 bits.
    Q6K = "q6_k", 18, Q6K;
    /// 8.5 bits.
    Q8_0 = "q8_0", 7, Q8_0;
    /// Half precision for all matrices.
    F16 = "f16", 1, F16;
    /// The upper half of single precision for all matrices.
    BF16 = "bf16", 32, BF16;
    /// Single precision for all matrices.
    F32 = "f32", 0, F32;
    /// Every tensor as it is stored, in llama-quantize's order.
    Copy = "copy", 0, F32;
}

/// Names that mean another recipe.
const ALIASES: [(&str, Recipe); 3] = [
    ("q3_k", Recipe::Q3KM),
    ("q4_k", Recipe::Q4KM),
    ("q5_k", Recipe::Q5KM),
];

impl Recipe {
    /// Other names that parse as this recipe.
    pub fn aliases(self) -> impl Iterator<Item = &'static str> {
        ALIASES
            .iter()
            .filter(move |(_, recipe)| *recipe == self)
            .map(|(name, _)| *name)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `misuse` with the known names for an unknown one.
impl FromStr for Recipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::ALL.iter().map(|&recipe| (recipe.name(), recipe));
        let numbered = |number: u32| {
            let mut written = Self::ALL.iter().filter(|&&recipe| recipe != Self::Copy);
            written.find(|recipe| recipe.file_type() == number).copied()
        };
        named
            .chain(ALIASES)
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, recipe)| recipe)
            .or_else(|| numbered(name.parse().ok()?))
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|recipe| recipe.name()).collect();
                Error::misuse(format!(
                    "unknown recipe '{name}'; the recipes are {}",
                    known.join(", ")
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_numbers_parse() {
        for &recipe in Recipe::ALL {
            assert_eq!(
                recipe.name().to_uppercase().parse::<Recipe>().unwrap(),
                recipe
            );
            for alias in recipe.aliases() {
                assert_eq!(alias.parse::<Recipe>().unwrap(), recipe);
            }
            let number = recipe.file_type().to_string();
            let expected = match recipe {
                Recipe::Copy => Recipe::F32,
                other => other,
            };
            assert_eq!(number.parse::<Recipe>().unwrap(), expected);
        }
        for wrong in ["", "q4", "39", "nvfp4", "-1", "q4_k_m "] {
            assert!(wrong.parse::<Recipe>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_order_is_by_bits() {
        let bits: Vec<_> = Recipe::ALL
            .iter()
            .take(Recipe::ALL.len() - 1)
            .map(|recipe| recipe.dtype().bits_per_weight())
            .collect();
        assert!(bits.is_sorted(), "{bits:?}");
    }
}

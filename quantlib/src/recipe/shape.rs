//! What a tensor's shape allows.

use crate::dtype::DType;
use crate::error::{Error, Result};

/// The shape without leading ones, as ggml counts dimensions; at least one dimension.
pub(super) fn trimmed(shape: &[usize]) -> &[usize] {
    let Some(last) = shape.len().checked_sub(1) else {
        return &[1];
    };
    let ones = shape[..last].iter().take_while(|&&dim| dim == 1).count();
    &shape[ones..]
}

/// The type that rows of `cols` elements get where another was wanted.
///
/// # Errors
/// `misuse` if neither the type fits nor is another defined for it.
pub(super) fn fallback(wanted: DType, cols: usize) -> Result<DType> {
    let fits = |dtype: DType| cols.is_multiple_of(dtype.block_len());
    if fits(wanted) {
        return Ok(wanted);
    }
    let smaller = match wanted {
        DType::Iq1S | DType::Iq1M => DType::Iq4Nl,
        DType::Iq2Xxs | DType::Iq2Xs | DType::Iq2S => DType::Iq4Nl,
        DType::Iq3Xxs | DType::Iq3S | DType::Iq4Xs => DType::Iq4Nl,
        DType::Q2_0 | DType::Q2K | DType::Q3K | DType::Tq1_0 | DType::Tq2_0 => DType::Q4_0,
        DType::Q4K => DType::Q5_0,
        DType::Q5K => DType::Q5_1,
        DType::Q6K => DType::Q8_0,
        _ if wanted.block_len() <= 32 => wanted,
        _ => {
            return Err(Error::misuse(format!(
                "{wanted} needs a multiple of {} columns, but there are {cols}, and no other type stands in for it; choose one for this tensor with --tensor-type",
                wanted.block_len()
            )));
        }
    };
    Ok(if fits(smaller) { smaller } else { DType::F16 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_ones_go() {
        assert_eq!(trimmed(&[1, 1, 3, 1]), [3, 1]);
        assert_eq!(trimmed(&[1, 1]), [1]);
        assert_eq!(trimmed(&[]), [1]);
        assert_eq!(trimmed(&[0, 2]), [0, 2]);
    }

    #[test]
    fn rows_that_do_not_fit_fall_back() {
        assert_eq!(fallback(DType::Q4K, 512).unwrap(), DType::Q4K);
        assert_eq!(fallback(DType::Q4K, 384).unwrap(), DType::Q5_0);
        assert_eq!(fallback(DType::Q4K, 100).unwrap(), DType::F16);
        assert_eq!(fallback(DType::Q8_0, 100).unwrap(), DType::F16);
        assert_eq!(fallback(DType::Q2_0, 32).unwrap(), DType::Q4_0);
        assert_eq!(fallback(DType::Iq4Xs, 32).unwrap(), DType::Iq4Nl);
        assert!(fallback(DType::Q1_0, 32).is_err());
        assert!(fallback(DType::Nvfp4, 32).is_err());
        assert_eq!(fallback(DType::F32, 7).unwrap(), DType::F32);
    }
}

//! 8-bit floats.

use super::F16;

/// The value of a float with 4 exponent bits and no infinities (`float8_e4m3fn`).
pub(crate) fn e4m3(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 0xF), f32::from(code & 7));
    let size = match (exponent, code & 7) {
        (0xF, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    size.copysign(if code < 0x80 { 1.0 } else { -1.0 })
}

/// The value of a float with 5 exponent bits (`float8_e5m2`): the upper half of an f16.
pub(crate) fn e5m2(code: u8) -> f32 {
    F16::from_bits(u16::from(code) << 8).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        for (code, value) in [
            (0x00, 0.0),
            (0x01, 2f32.powi(-9)),
            (0x07, 7.0 * 2f32.powi(-9)),
            (0x08, 2f32.powi(-6)),
            (0x38, 1.0),
            (0xB9, -1.125),
            (0x7E, 448.0),
        ] {
            assert_eq!(e4m3(code), value, "{code:#x}");
        }
        assert!(e4m3(0x7F).is_nan() && e4m3(0xFF).is_nan());
        assert!(e4m3(0x80).is_sign_negative());
        assert_eq!((e5m2(0x3C), e5m2(0xC4)), (1.0, -4.0));
    }

    #[test]
    fn codes_are_in_order() {
        assert!((0..0x7E).all(|code| e4m3(code) < e4m3(code + 1)));
        assert!((0..0x7B).all(|code| e5m2(code) < e5m2(code + 1)));
    }
}

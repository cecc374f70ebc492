//! 8-bit floats.

use super::F16;

/// The value of a float with 4 exponent bits and no infinities (`float8_e4m3fn`).
#[inline(always)]
pub fn e4m3(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 0xF), f32::from(code & 7));
    let size = match (exponent, code & 7) {
        (0xF, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    size.copysign(if code < 0x80 { 1.0 } else { -1.0 })
}

/// The value of a float with 5 exponent bits (`float8_e5m2`): the upper half of an f16.
#[inline(always)]
pub fn e5m2(code: u8) -> f32 {
    F16::from_bits(u16::from(code) << 8).to_f32()
}

/// The nearest float with 4 exponent bits and no infinities, ties to even; what is larger than 448
/// becomes 448, NaN the NaN.
#[inline(always)]
pub fn to_e4m3(x: f32) -> u8 {
    let sign = (x.to_bits() >> 24) as u8 & 0x80;
    let size = x.abs();
    // Adding 2^14 leaves the spacing of subnormal codes, 2^-9.
    let subnormal = (size + 16384.0).to_bits() - 16384f32.to_bits();
    let bits = size.to_bits();
    // The exponent's bias goes from 127 to 7, the mantissa from 23 bits to 3.
    let normal = (bits.wrapping_add(0x7_ffff + ((bits >> 20) & 1)) >> 20).wrapping_sub(120 << 3);
    let code = if size < 2f32.powi(-6) {
        subnormal
    } else {
        normal
    };
    let code = if size >= 448.0 { 0x7E } else { code };
    let code = if x.is_nan() { 0x7F } else { code };
    sign | code as u8
}

/// The nearest float with 5 exponent bits, ties to even; what is larger than 57344, also an infinity,
/// becomes that, NaN the NaN.
#[inline(always)]
pub fn to_e5m2(x: f32) -> u8 {
    let sign = (x.to_bits() >> 24) as u8 & 0x80;
    let size = x.abs();
    // Adding 2^7 leaves the spacing of subnormal codes, 2^-16.
    let subnormal = (size + 128.0).to_bits() - 128f32.to_bits();
    let bits = size.to_bits();
    // The exponent's bias goes from 127 to 15, the mantissa from 23 bits to 2.
    let normal = (bits.wrapping_add(0xf_ffff + ((bits >> 21) & 1)) >> 21).wrapping_sub(112 << 2);
    let code = if size < 2f32.powi(-14) {
        subnormal
    } else {
        normal
    };
    let code = if size >= 57344.0 { 0x7B } else { code };
    let code = if x.is_nan() { 0x7F } else { code };
    sign | code as u8
}

/// The power of two with this code (`float8_e8m0fnu`).
#[inline(always)]
pub fn e8m0(code: u8) -> f32 {
    let bits = match code {
        0 => 1 << 22,
        255 => f32::NAN.to_bits(),
        _ => u32::from(code) << 23,
    };
    f32::from_bits(bits)
}

/// The least power of two that is not below `x`, a positive number.
#[inline(always)]
pub fn to_e8m0(x: f32) -> u8 {
    let code = x.abs().to_bits().wrapping_add(0x7f_ffff) >> 23;
    // Subnormals from 2^-127 down are code 0, those above it 1.
    let code = if x.abs() <= f32::from_bits(1 << 22) {
        0
    } else {
        code
    };
    code.min(254) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_what_is_beside_it() {
        for code in 0..0x7E {
            let (x, next) = (e4m3(code), e4m3(code + 1));
            let middle = (x + next) / 2.0;
            let even = code + (code & 1);
            assert_eq!(to_e4m3(x), code);
            assert_eq!(to_e4m3(-x), code | 0x80);
            assert_eq!(to_e4m3(middle), even);
            assert_eq!(to_e4m3(middle.next_down()), code);
            assert_eq!(to_e4m3(middle.next_up()), code + 1);
        }
        for code in 0..0x7B {
            let (x, next) = (e5m2(code), e5m2(code + 1));
            let middle = (x + next) / 2.0;
            let even = code + (code & 1);
            assert_eq!(to_e5m2(x), code);
            assert_eq!(to_e5m2(-x), code | 0x80);
            assert_eq!(to_e5m2(middle), even);
            assert_eq!(to_e5m2(middle.next_down()), code);
            assert_eq!(to_e5m2(middle.next_up()), code + 1);
        }
        assert_eq!([57344.0, 60000.0, f32::INFINITY].map(to_e5m2), [0x7B; 3]);
        assert_eq!(to_e5m2(f32::NAN), 0x7F);
        assert_eq!([448.0, 449.0, 1e9].map(to_e4m3), [0x7E; 3]);
        assert_eq!(to_e4m3(f32::NAN), 0x7F);
    }

    #[test]
    fn powers_of_two() {
        for code in 0..255 {
            let x = e8m0(code);
            assert_eq!(to_e8m0(x), code);
            assert_eq!(to_e8m0(x.next_down()), code);
            assert_eq!(to_e8m0(x.next_up()), (code + 1).min(254));
        }
        assert!(e8m0(255).is_nan());
    }

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
